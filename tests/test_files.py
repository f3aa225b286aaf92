import json
import math
import os
import shutil

import numpy as np
import pytest

from posteriori.files import PARTIAL, atomic_folder, atomic_path, read_json, writable_folder, write_json
from posteriori.jobs.lock import claimed_folder


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


def filled(path, text: str) -> None:
    with atomic_folder(path) as folder:
        (folder / "a.txt").write_text(text)
        (folder / "below").mkdir()


def test_a_folder_appears_whole_and_takes_the_place_of_another(tmp_path):
    target = tmp_path / "deep" / "x"
    filled(target, "old")
    (target / "of the old alone").touch()
    with atomic_folder(target) as folder:
        (folder / "a.txt").write_text("new")
        assert (target / "a.txt").read_text() == "old"
        assert folder.name.startswith(".")
        assert folder.name.endswith(PARTIAL)
    assert (target / "a.txt").read_text() == "new"
    assert os.listdir(target) == ["a.txt"]
    assert os.listdir(target.parent) == ["x"]


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_keeps_the_old_folder(tmp_path, error, there):
    target = tmp_path / "x"
    if there:
        filled(target, "old")

    def fail() -> None:
        with atomic_folder(target) as folder:
            (folder / "a.txt").write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert os.listdir(tmp_path) == ["x"] * there
    assert not there or (target / "a.txt").read_text() == "old"


def test_a_folder_that_cannot_be_replaced_keeps_what_it_held(tmp_path):
    target = tmp_path / "x"
    filled(target, "old")

    def fail() -> None:
        with atomic_folder(target) as folder:
            folder.rmdir()  # so that nothing is there to take the old folder's place

    with pytest.raises(FileNotFoundError):
        fail()
    assert (target / "a.txt").read_text() == "old"
    assert os.listdir(tmp_path) == ["x"]


def test_a_folder_whose_place_is_none_is_named(tmp_path):
    """Not the temporary one beside it, whose name says nothing."""
    (tmp_path / "file").touch()
    why = "give another place, and leave its folder there meanwhile"
    with pytest.raises(NotADirectoryError) as refused:
        filled(tmp_path / "file" / "x", "new")
    assert str(refused.value) == f"{tmp_path}/file/x cannot be written (Not a directory): {why}"

    def removed() -> None:
        with atomic_folder(tmp_path / "deep" / "x") as folder:
            shutil.rmtree(tmp_path / "deep")
            (folder / "a.txt").write_text("late")

    with pytest.raises(FileNotFoundError) as refused:
        removed()
    assert str(refused.value) == f"{tmp_path}/deep/x cannot be written (No such file or directory): {why}"


def test_json_may_begin_with_the_mark_that_windows_writes(tmp_path):
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf" + b'{"size": 8}')
    assert read_json(tmp_path / "a.json") == {"size": 8}


def test_a_folder_never_replaces_a_file(tmp_path):
    (tmp_path / "x").write_text("precious")
    with pytest.raises(OSError, match="x cannot be written: it exists and is not a folder; give another name"):
        filled(tmp_path / "x", "new")
    assert (tmp_path / "x").read_text() == "precious"
    assert os.listdir(tmp_path) == ["x"]


def test_a_folder_follows_a_link(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "real")
    filled(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "a.txt").read_text() == "new"


def test_a_folders_name_is_as_long_as_the_file_system_takes(tmp_path):
    filled(tmp_path / ("x" * 255), "old")
    filled(tmp_path / ("x" * 255), "new")
    assert (tmp_path / ("x" * 255) / "a.txt").read_text() == "new"


def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"file cannot be written to \(.*\): give another folder with --out"):
        writable_folder(tmp_path / "file")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_read_only_folder_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OSError, match=r"cannot be written to \(Permission denied\)"), claimed_folder(tmp_path):
        pass


def test_json_has_null_for_what_is_not_finite(tmp_path):
    value = {"a": [math.nan, 1.5, (math.inf, -math.inf)], "b": {"c": np.float64("nan"), "d": "nan"}, "e": True}
    write_json(value, tmp_path / "x.json")
    expected = {"a": [None, 1.5, [None, None]], "b": {"c": None, "d": "nan"}, "e": True}
    assert json.loads((tmp_path / "x.json").read_text("utf-8")) == expected


def test_json_is_readable_in_every_script_and_holds_any_file_name(tmp_path):
    names = ["Küche/写真.png", 'a "b" \\ c', os.fsdecode(b"\xff.png")]
    write_json(names, tmp_path / "x.json")
    text = (tmp_path / "x.json").read_text("utf-8")
    assert "Küche/写真.png" in text
    assert text.endswith("]\n")
    assert json.loads(text) == names


def test_json_that_cannot_be_written_keeps_the_old_file(tmp_path):
    write_json(1, tmp_path / "x.json")
    with pytest.raises(TypeError):
        write_json({"a": 1, "b": object()}, tmp_path / "x.json")
    assert (tmp_path / "x.json").read_text() == "1\n"
    assert os.listdir(tmp_path) == ["x.json"]
