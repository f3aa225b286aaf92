"""What the README and docs/ say exists: the files they link to, and the commands they show."""

import json
import re
import shlex
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from typer.main import get_command

import posteriori
from posteriori.cli import app, main
from posteriori.errors import PosterioriError
from posteriori.settings.text import parse_noise_model, read_operator, read_sampler
from posteriori.studies.suite.suite import read

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    *(page for page in sorted((ROOT / "docs").rglob("*.md")) if page.parent.name != "reference"),
]


def commands(page: Path) -> list[list[str]]:
    """The words of every `posteriori ...` line in the page's blocks of code, lines that go on joined."""
    blocks = re.findall(r"^```(?:sh|console)\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    shown = [line.removeprefix("$ ") for line in lines if line.startswith(("posteriori ", "$ posteriori "))]
    return [shlex.split(line, comments=True)[1:] for line in shown]


TUTORIALS = [page for page in PAGES if page.parent.name == "tutorials" and "```python" in page.read_text()]
NOTEBOOKS = sorted((ROOT / "docs/notebooks").glob("*.py"))
COMMANDS = [pytest.param(words, id=f"{page.stem}: {' '.join(words)}") for page in PAGES for words in commands(page)]


@pytest.mark.parametrize("words", COMMANDS)
def test_a_command_that_is_shown_is_one_that_can_be_given(words):
    """Names, options and their values are parsed, and nothing is run."""
    command = get_command(app)
    while words[:1] and words[0] in getattr(command, "commands", ()):
        command, words = command.commands[words[0]], words[1:]
    command.make_context(command.name, words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_leads_to_a_file(page):
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text())
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not missing


@pytest.fixture
def few_steps(tmp_path, monkeypatch):
    """In an empty folder, samplers take fewer steps than they say."""
    sample = posteriori.sample

    def shorter(prior, likelihood, sampler, **given):
        sampler = replace(sampler, steps=4) if hasattr(sampler, "steps") else sampler
        return sample(prior, likelihood, sampler, **given)

    monkeypatch.setattr(posteriori, "sample", shorter)
    monkeypatch.chdir(tmp_path)


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.usefixtures("few_steps")
@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_tutorial_runs_from_top_to_bottom(page):
    names: dict = {}
    for code in blocks(page, "python"):
        exec(code, names)


@pytest.mark.usefixtures("few_steps")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom(path):
    plt.switch_backend("agg")
    exec(path.read_text(), {})
    assert plt.get_fignums()
    plt.close("all")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebooks_page_has_its_cells(path):
    shown = [code.strip() for code in blocks(path.with_suffix(".md"), "python")]
    cells = re.findall(r"^# %%\n(.*?)(?=^# %%|\Z)", path.read_text(), re.DOTALL | re.MULTILINE)
    assert shown == [cell.strip() for cell in cells]


@pytest.mark.parametrize("page", [page for page in PAGES if "```toml" in page.read_text()], ids=lambda page: page.stem)
def test_a_suite_that_is_shown_can_be_run(page, tmp_path):
    for code in blocks(page, "toml"):
        (tmp_path / "study.toml").write_text(code)
        assert read(str(tmp_path / "study.toml")).tasks


def test_every_text_that_is_shown_is_one_that_is_read():
    page = (ROOT / "docs/text-form.md").read_text()
    table = page[: page.index("## What can a value be?")]
    for text in re.findall(r"^\| `(.+?)` \|", table, re.MULTILINE):
        if "my.py" not in text and "kernel.png" not in text:  # which are files
            assert any(is_read(text, by) for by in (read_sampler, read_operator, parse_noise_model)), text


def is_read(text: str, by: Callable[[str], object]) -> bool:
    try:
        return by(text) is not None
    except PosterioriError:
        return False


def test_every_key_of_a_manifest_is_explained(tmp_path, monkeypatch):
    words = ["restore", "astronaut", "--simulate", "--fit", "resize", "--operator", "box-mask", "--sampler", "diffpir"]
    words += ["--steps", "2", "--samples", "2", "--interval", "0.9", "--out", str(tmp_path / "out"), "--quiet"]
    monkeypatch.setattr("sys.argv", ["posteriori", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    folder = tmp_path / "out/astronaut"
    written = json.loads((folder / "manifest.json").read_text())
    told = set(re.findall(r"`([^`]+)`", (ROOT / "docs/files.md").read_text()))
    assert not {*written, *written["settings"]} - told
    assert not {path.name for path in folder.iterdir() if not path.name.startswith("sample-")} - told


def test_every_file_that_names_the_version_or_the_dependencies_agrees():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    recipe = (ROOT / "conda" / "recipe.yaml").read_text()
    assert f'version: "{posteriori.__version__}"' in recipe
    assert f"\nversion: {posteriori.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    named = {"torch": "pytorch", "matplotlib": "matplotlib-base"}
    for needed in project["dependencies"]:
        name, bound = re.fullmatch(r"([\w-]+)(.*)", needed).groups()
        assert f"    - {named.get(name, name)} {bound}\n" in recipe
