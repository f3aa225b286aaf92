import errno
import os
import re
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)  # one worker a core: threads inside a worker would fight over them


@pytest.fixture(scope="session")
def golden() -> Path:
    """The recorded numbers that are kept with the tests."""
    return Path(__file__).parent / "golden"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder beside the checkout with what is too large for it."""
    path = Path(__file__).parents[2] / "shared"
    if not path.is_dir():
        pytest.skip("../shared is not here: it holds recordings too large for the repository")
    return path


@pytest.fixture
def examples(tmp_path, monkeypatch) -> dict[str, str]:
    """The files of docs/extending.md by name, written into the current folder."""
    text = (Path(__file__).parents[1] / "docs/extending.md").read_text()
    found = dict(re.findall(r"`(\w+\.py)`:\n\n```python\n(.*?)```", text, re.DOTALL))
    monkeypatch.chdir(tmp_path)
    for name, code in found.items():
        (tmp_path / name).write_text(code)
    return found


@pytest.fixture
def closed(monkeypatch):
    """Makes a folder that nobody may read, not even the superuser; one at a time."""
    now = []

    def guarded(real):
        def listed(path="."):
            if os.fspath(path) in now:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(path))
            return real(path)

        return listed

    for name in ("scandir", "listdir"):
        monkeypatch.setattr(os, name, guarded(getattr(os, name)))

    def make(path: Path) -> None:
        path.mkdir()
        now[:] = [str(path)]

    return make
