"""Runs the notebooks of docs/notebooks/ and writes what they print and draw: python docs/notebook.py, a minute.

The notebooks are Python files in jupytext's percent format. Jupyter (with jupytext), VS Code and PyCharm open them as
notebooks, python runs them, ruff and git read them; nothing has to be installed for it. marimo would be a dependency.
"""

import re
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

HERE = Path(__file__).parent / "notebooks"


def cells(path: Path) -> Iterator[tuple[bool, str]]:
    """Whether a cell is code, and its text."""
    for head, text in re.findall(r"^# %%(.*)\n((?:(?!# %%).*\n?)*)", path.read_text("utf-8"), re.MULTILINE):
        prose = "markdown" in head
        yield not prose, (re.sub(r"^# ?", "", text, flags=re.MULTILINE) if prose else text).strip()


def write(path: Path) -> None:
    """NAME.md beside NAME.py: its cells, with what they print and the figures that they leave open."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    parts, names = [], {"__name__": "notebook"}
    for code, text in cells(path):
        parts.append(f"```python\n{text}\n```" if code else text)
        if not code:
            continue
        printed = StringIO()
        with redirect_stdout(printed):
            exec(compile(text, path.name, "exec"), names)
        if printed.getvalue():
            parts.append(f"```text\n{printed.getvalue().rstrip()}\n```")
        for number in plt.get_fignums():
            name = f"{path.stem}-{len(parts)}.webp"
            plt.figure(number).savefig(HERE / name, dpi=130, pil_kwargs={"quality": 90})
            parts.append(f"![What the cell draws]({name})")
        plt.close("all")
    note = f"[{path.name}]({path.name}) opens in Jupyter (with jupytext), VS Code or PyCharm, and runs as it is."
    title, _, rest = parts[0].partition("\n\n")
    (HERE / f"{path.stem}.md").write_text("\n\n".join([title, note, rest, *parts[1:]]) + "\n", "utf-8")


if __name__ == "__main__":
    for name in sys.argv[1:] or sorted(HERE.glob("*.py")):
        write(Path(name))
