"""What the README and docs/ say exists: the files they link to, and the commands they show."""

import re
import shlex
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from typer.main import get_command

import posteriori
from posteriori.cli import app

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


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_tutorial_runs_from_top_to_bottom(page, tmp_path, monkeypatch):
    """In fewer steps than it says."""
    sample = posteriori.sample

    def shorter(prior, likelihood, sampler, **given):
        sampler = replace(sampler, steps=8) if hasattr(sampler, "steps") else sampler
        return sample(prior, likelihood, sampler, **given)

    monkeypatch.setattr(posteriori, "sample", shorter)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for code in re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE):
        exec(code, names)


def test_every_file_that_names_the_version_or_the_dependencies_agrees():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    recipe = (ROOT / "conda" / "recipe.yaml").read_text()
    assert f'version: "{posteriori.__version__}"' in recipe
    assert f"\nversion: {posteriori.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    named = {"torch": "pytorch", "matplotlib": "matplotlib-base"}
    for needed in project["dependencies"]:
        name, bound = re.fullmatch(r"([\w-]+)(.*)", needed).groups()
        assert f"    - {named.get(name, name)} {bound}\n" in recipe
