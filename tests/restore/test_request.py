"""What `posteriori restore` is asked, as an object and as a line to type."""

import shlex

import pytest
from typer.testing import CliRunner

from posteriori.cli import app
from posteriori.errors import PosterioriError, UsageError
from posteriori.restore.request import Request


def test_the_line_to_type_asks_the_same(monkeypatch, tmp_path):
    """With every option that decides pictures away from its default, and names that a shell would take apart."""
    asked = Request(
        files=("my photo.jpg", "./-x;rm.png"),
        sampler="dps(scale=0.3)",
        noise="5/255",
        samples=8,
        interval=0.9,
        widen=1.5,
        steps=20,
        mask="a mask's.png",
        mask_invert=True,
        fit="pad",
        range="0..255",
        format="tiff",
        region="1,2,64,64",
        max_memory="4G",
        prior="photo",
        seed=3,
        batch=2,
        device="cpu",
        dtype="float32",
    )
    found = []

    def plans(request, out, look, find):
        found.append((request, out))
        raise PosterioriError("far enough")

    monkeypatch.setattr("posteriori.restore.plans.plans", plans)
    words = shlex.split(asked.command("out dir"))
    assert words[:2] == ["posteriori", "restore"]
    CliRunner().invoke(app, words[1:])
    assert [(own, str(out)) for own, out in found] == [(asked, "out dir")]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"operator": "identity", "mask": "m.png"}, "not both"),
        ({"simulate": True}, "--simulate degrades pictures"),
        ({"mask_invert": True}, "give --mask FILE too"),
        ({"widen": 2.0}, "give --interval too"),
        ({"time": "60s", "steps": 10}, "not both"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, said):
    with pytest.raises(UsageError, match=said):
        Request(("x.png",), **options)
