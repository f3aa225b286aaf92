import os
import subprocess
import sys

import pytest

COMMANDS = [
    *(["demo"], ["serve"], ["restore"], ["denoise"], ["sample"], ["train"], ["verify"], ["samplers"], ["operators"]),
    *(["priors", name] for name in ("list", "show", "pull", "add", "convert", "evaluate")),
]


@pytest.mark.parametrize("command", [[], ["priors"], *COMMANDS], ids=" ".join)
def test_help_imports_nothing_heavy(command):
    """`--help` answers in under half a second because torch and diffusers wait inside the commands."""
    code = (
        "import sys\n"
        "from posteriori.cli import main\n"
        f"sys.argv = ['posteriori', *{command!r}, '--help']\n"
        "try:\n    main()\nexcept SystemExit as stopped:\n    assert not stopped.code\n"
        "heavy = {'torch', 'diffusers', 'numpy', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    assert "Usage" in shown.stdout


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_has_two_examples(command):
    code = f"import sys; from posteriori.cli import main; sys.argv = ['posteriori', *{command!r}, '--help']; main()"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stdout
    lines = " ".join(shown.split("Examples:")[1].split())
    assert lines.count(f"posteriori {' '.join(command)}") >= 2


def test_the_shell_completes_commands_and_options():
    def complete(words, place):
        environment = os.environ | {"COMP_WORDS": words, "COMP_CWORD": place, "_POSTERIORI_COMPLETE": "complete_bash"}
        code = "import sys; from posteriori.cli import main; sys.argv = ['posteriori']; main()"
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment
        )
        return done.stdout.split()

    assert complete("posteriori res", "1") == ["restore"]
    assert complete("posteriori restore --mask-", "2") == ["--mask-invert"]
