"""The files and commands of docs/extending.md."""

import json
import re
import shlex
from pathlib import Path

import pytest

DOCS = (Path(__file__).parents[2] / "docs/extending.md").read_text().replace("\\\n", "")
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", DOCS, re.DOTALL) for line in block.splitlines()]


@pytest.mark.usefixtures("examples")
@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_run(command, posteriori, tiny_prior):
    words = re.sub(r"steps([= ])50", r"steps\g<1>2", command).replace("log4", "log2")
    few = [] if "steps" in words else ["--steps", 2]
    answer = posteriori(*shlex.split(words)[1:], *few, "--prior", tiny_prior, "--out", "out")
    assert answer.code == 0, answer.err


def test_results_name_their_code_and_are_of_one_version(restore, face, examples):
    command = [face, "--simulate", "--operator", "my.py:Blur", "--sampler", "mine.py:Nudged", "--out", "out"]
    assert restore(*command).code == 0
    found = json.loads(Path("out/face/manifest.json").read_text())
    assert [Path(code["file"]).name for code in found["code"]] == ["mine.py", "my.py"]
    for code, text in zip(found["code"], ("sampler", "operator"), strict=True):
        path = Path(code["file"])
        assert path.is_absolute()
        assert found["settings"][text].startswith(f"{path.name}#{code['sha256'][:16]}:")
    made = Path("out/face/restored.png").stat().st_mtime_ns
    assert restore(*command).code == 0
    assert Path("out/face/restored.png").stat().st_mtime_ns == made
    Path("my.py").write_text(examples["my.py"] + "# changed\n")
    answer = restore(*command)
    assert answer.code == 1
    assert "already exists, made with other settings (operator" in answer.err


def test_a_faulty_one_is_told_before_any_work(restore, face, examples):
    Path("my.py").write_text(examples["my.py"].replace("stride=1)", "stride=1)[:1]"))
    answer = restore(face, "--simulate", "--operator", "my.py:Blur", "--sampler", "dps", "--out", "out")
    assert (answer.code, answer.err) == (
        1,
        "posteriori: my.py:Blur: A(x) is (1, 3, 32, 32) for x (2, 3, 32, 32): give a y for each x\n",
    )
    assert not Path("out").exists()
