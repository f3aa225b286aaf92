import subprocess
import sys

import pytest


@pytest.mark.parametrize("command", [[], ["demo"], ["train"], ["priors"], ["priors", "list"]])
def test_help_imports_nothing_heavy(command):
    """`--help` answers in under half a second because torch and diffusers wait inside the commands."""
    code = (
        "import sys\n"
        "from posteriori.cli import main\n"
        f"sys.argv = ['posteriori', *{command!r}, '--help']\n"
        "try:\n    main()\nexcept SystemExit as stopped:\n    assert not stopped.code\n"
        "heavy = {'torch', 'diffusers', 'numpy', 'matplotlib', 'torchmetrics'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    assert "Usage" in shown.stdout


@pytest.mark.parametrize("command", [["demo"], ["train"]])
def test_help_has_two_examples(command):
    code = f"import sys; from posteriori.cli import main; sys.argv = ['posteriori', *{command!r}, '--help']; main()"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stdout
    assert shown.count(f"posteriori {command[0]} ") >= 3  # the usage line and two examples
