import os

import pytest

from posteriori.files import atomic_path


def test_replaces_and_leaves_nothing_else(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with atomic_path(target) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".txt"
    assert target.read_text() == "new"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("write", [True, False])
def test_error_keeps_the_old_file(tmp_path, error, write):
    target = tmp_path / "a.txt"
    target.write_text("old")

    def fail() -> None:
        with atomic_path(target) as temporary:
            if write:
                temporary.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_file_mode_is_the_usual_one(tmp_path):
    (tmp_path / "plain").write_text("")
    with atomic_path(tmp_path / "a") as temporary:
        temporary.write_text("")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_name_as_long_as_the_file_system_takes(tmp_path):
    target = tmp_path / ("x" * 251 + ".txt")
    with atomic_path(target) as temporary:
        temporary.write_text("new")
    assert target.read_text() == "new"


def test_follows_a_link(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with atomic_path(tmp_path / "link") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_refuses_what_is_not_a_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist; create it first"), atomic_path(tmp_path / "no" / "a"):
        pass
    for path in (tmp_path, "/dev/null"):
        with pytest.raises(OSError, match="is not a file; give another name"), atomic_path(path):
            pass
    assert os.listdir(tmp_path) == []
