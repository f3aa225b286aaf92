"""The study of samplers on operators: what it says of what runs, and the page of what was measured."""

import numpy as np
import pytest
from tests.helpers import image_mixture

from posteriori.errors import PosterioriError
from posteriori.images.files import load_image
from posteriori.jobs.store import Result, Store
from posteriori.loop import sample
from posteriori.samplers import SAMPLERS
from posteriori.settings.text import parse_operator
from posteriori.studies.guide import operators
from posteriori.studies.guide.operators import HEADING, admitted, fitting, likelihood, measured, ranked


def test_what_runs_is_what_sample_takes():
    like = likelihood(parse_operator("motion-blur(size=5)", (3, 8, 8)))
    run, needs = fitting(like)
    assert needs.startswith("an operator with an SVD and Gaussian noise: ddrm, ddnm, ")
    refused = needs.partition(": ")[2].split(", ")
    assert {*run.split(", "), *refused} == {cls.name for cls in SAMPLERS}
    for cls in SAMPLERS:
        if cls.name in refused:
            with pytest.raises(PosterioriError, match="take one of ") as error:
                sample(image_mixture(), like, cls(), progress=False)
            assert str(error.value).endswith(run)


def test_every_operator_is_in_one_row():
    names = [name for row in admitted().rows for name in row[0].split(", ")]
    assert names[-2:] == ["any operator", "where the noise is not Gaussian"]
    assert sorted(names[:-2]) == sorted(text.partition("(")[0] for text in operators.texts())


def test_the_best_are_first_and_those_that_failed_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(operators, "texts", lambda: ["ct(views=6)", "box-mask"])
    jobs = operators.jobs.__wrapped__("faces-64")
    monkeypatch.setattr(operators, "jobs", lambda prior: jobs)
    store, picture = Store(tmp_path / "out"), np.full((64, 64, 3), 128, np.uint8)
    for i, job in enumerate(jobs):
        values = {"psnr": [20.0 + i, 22.0 + i], "lpips": [0.1, 0.2], "seconds": 1.5}
        store.write(job, Result({"failed": "NaN"}) if i == 5 else Result(values, {"picture": picture}))
    found = {job: store.read(job) for job in jobs}
    assert [job for job, _ in ranked(found, "ct(views=6)")] == [jobs[i] for i in (4, 2, 0)]
    assert measured(found).rows[1][1] == f"{jobs[3].name}: 24.00 dB, 0.150, 1.5 s"
    page = tmp_path / "page.md"
    other = "### photo, 128 x 128\n\nKept."
    page.write_text(f"# Operators\n\nBefore.\n\n{HEADING}\nold\n\n### faces-64, 64 x 64\n\nold\n\n{other}\n", "utf-8")
    operators.write(page, ["faces-64"], store)
    text = page.read_text("utf-8")
    assert text.startswith(f"# Operators\n\nBefore.\n\n{HEADING}")
    assert "old" not in text
    assert f"Reached NaN: {jobs[5].name} on box-mask." in text
    assert "(page/faces-64.jpg)" in text
    assert text.endswith(f"{other}\n")
    assert load_image(tmp_path / "page/faces-64.jpg").shape[1] == 3
    operators.write(page, ["faces-64"], store)
    assert page.read_text("utf-8") == text
