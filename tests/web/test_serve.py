"""The command that shows the page."""

import os
import sys
import zipfile

import pytest
from typer.testing import CliRunner

from posteriori.cli import app
from posteriori.errors import PosterioriError


@pytest.fixture
def served(monkeypatch):
    """What the page would have been served with."""
    server = pytest.importorskip("posteriori.web.server", reason="the page needs gradio: pip install 'posteriori[web]'")
    found = []
    monkeypatch.setattr(server, "serve", lambda *given: found.append(given))
    return found


def test_it_listens_to_this_machine_alone_unless_told_and_warns_without_a_password(served):
    shown = CliRunner().invoke(app, ["serve"])
    assert "warning" not in shown.output
    shown = CliRunner().invoke(app, ["serve", "--host", "0.0.0.0"])
    assert "anybody who reaches 0.0.0.0 can use this page" in shown.output
    shown = CliRunner().invoke(app, ["serve", "--host", "0.0.0.0"], env={"POSTERIORI_AUTH": "ann:secret:2"})
    assert "warning" not in shown.output
    assert [(host, auth) for host, _, _, _, auth in served] == [
        ("127.0.0.1", None),
        ("0.0.0.0", None),
        ("0.0.0.0", ("ann", "secret:2")),
    ]
    assert all(offer.meanings["steps"] and offer.meanings["range"] for _, _, _, offer, _ in served)


@pytest.mark.parametrize("auth", ["ann", "ann:", ":secret"])
def test_a_password_without_a_name_is_refused(served, auth):
    with pytest.raises(PosterioriError, match="--auth takes USER:PASSWORD"):
        CliRunner().invoke(app, ["serve", "--auth", auth], catch_exceptions=False)
    assert not served


def test_without_gradio_one_line_says_what_to_install(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("posteriori.web")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(PosterioriError, match=r"pip install 'posteriori\[web\]'"):
        CliRunner().invoke(app, ["serve"], catch_exceptions=False)


def test_results_of_a_machine_without_a_clock_are_packed(tmp_path):
    """It begins in 1970, and zips in 1980."""
    tabs = pytest.importorskip("posteriori.web.tabs", reason="the page needs gradio: pip install 'posteriori[web]'")
    (tmp_path / "restored.png").touch()
    os.utime(tmp_path / "restored.png", (0, 0))
    tabs._pack(tmp_path, tmp_path / "all.zip", "posteriori restore")
    with zipfile.ZipFile(tmp_path / "all.zip") as packed:
        assert packed.namelist() == ["restored.png", "command.txt"]
