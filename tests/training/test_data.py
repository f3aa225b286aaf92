import os
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from posteriori.errors import PosterioriError
from posteriori.training.data import batch, list_names, load_images, load_whole, split_names


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(7):
        Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(tmp_path / f"{i}.png")
    (tmp_path / "notes.txt").write_text("not an image")
    return tmp_path


def test_names_are_sorted_images_only_and_the_same_from_a_zip(folder, tmp_path_factory):
    archive = tmp_path_factory.mktemp("zip") / "data.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in folder.iterdir():
            file.write(path, path.name)
    assert list_names(folder) == [f"{i}.png" for i in range(7)] == list_names(archive)
    a, b = (load_images(source, list_names(source), 16).pixels for source in (folder, archive))
    assert torch.equal(a, b)
    assert a.shape == (7, 3, 16, 16)


def test_held_out_names_are_a_slice_of_the_sorted_names():
    names = [f"{i:05d}.webp" for i in range(5096)]
    training, held_out = split_names(names, "52::53")
    assert held_out == names[52::53]
    assert len(held_out) == 96
    assert not set(training) & set(held_out)
    assert sorted(training + held_out) == names
    assert split_names(names, "") == (names, [])


def test_the_faces_keep_their_held_out_names(shared):
    names = list_names(shared / "data" / "faces-128.zip")
    training, _ = split_names(names, "52::53")
    assert len(training) == 5000
    assert not set(training) & set(sorted(names)[52::53])


def test_a_broken_image_is_named(folder):
    (folder / "3.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"3\.png is not a picture"):
        load_images(folder, list_names(folder), 16)


def test_hidden_files_are_no_images(folder, tmp_path_factory):
    """A Mac writes its own files beside the pictures, named like them."""
    names = list_names(folder)
    archive = tmp_path_factory.mktemp("zip") / "data.zip"
    hidden = ["__MACOSX/photos/._0.png", "._0.png", ".trash/0.png", "below/.hidden/0.png"]
    with zipfile.ZipFile(archive, "w") as file:
        for name in names:
            file.write(folder / name, f"photos/{name}")
        for name in hidden:
            file.writestr(name, b"Mac OS X")
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(b"Mac OS X")
    assert list_names(folder) == names
    assert list_names(archive) == [f"photos/{name}" for name in names]


@pytest.mark.parametrize("load", [load_images, load_whole])
def test_a_damaged_image_is_left_out_and_named_where_that_is_asked(folder, load):
    names, whole = list_names(folder), load(folder, list_names(folder), 16)
    (folder / "3.png").write_bytes((folder / "3.png").read_bytes()[:600])
    (folder / "4.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"3\.png is damaged"):
        load(folder, names[:4], 16)
    images = load(folder, names[:4], 16, tolerant=True)
    assert images.names == names[:3]
    assert all(torch.equal(a, b) for a, b in zip(images.pixels, whole.pixels[:3], strict=True))
    assert len(images.damaged) == 1
    assert "3.png is damaged" in images.damaged[0]
    with pytest.raises(
        ValueError, match=r"2 of 7 pictures in .* are damaged, and at most 5% may be: .*3\.png"
    ) as caught:
        load(folder, names, 16, tolerant=True)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="1 of 1 pictures"):
        load(folder, ["4.png"], 16, tolerant=True)


def test_the_share_of_damaged_images_is_of_all(tmp_path):
    for i in range(40):
        Image.new("RGB", (16, 16)).save(tmp_path / f"{i:02d}.png")
    for i, fits in ((3, True), (30, True), (39, False)):
        (tmp_path / f"{i:02d}.png").write_bytes(b"no image")
        if fits:
            assert len(load_images(tmp_path, list_names(tmp_path), 16, tolerant=True)) == 40 - (1 if i == 3 else 2)
        else:
            with pytest.raises(ValueError, match="3 of 40"):
                load_images(tmp_path, list_names(tmp_path), 16, tolerant=True)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_what_is_no_file_is_left_out(folder):
    """A pipe, from which nothing would ever come, and a link to nothing."""
    os.mkfifo(folder / "00.png")
    images = load_images(folder, list_names(folder), 16, tolerant=True)
    assert images.damaged == [f"{folder}/00.png cannot be read (it is not a file)"]
    (folder / "00.png").unlink()
    (folder / "00.png").symlink_to("nothing")
    images = load_images(folder, list_names(folder), 16, tolerant=True)
    assert images.damaged == [f"{folder}/00.png cannot be read (No such file or directory)"]


def test_a_folder_that_cannot_be_read_is_named(folder, closed):
    closed(folder / "below")
    with pytest.raises(
        PosterioriError, match=r"below cannot be read \(Permission denied\): make it readable, or remove"
    ):
        list_names(folder)
    closed(folder / ".hidden")
    assert list_names(folder)


def test_a_zip_with_one_damaged_entry_is_read_without_it(folder, tmp_path_factory):
    archive = tmp_path_factory.mktemp("zip") / "data.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name in list_names(folder):
            file.write(folder / name, name)
    data = bytearray(archive.read_bytes())
    data[data.index(b"IDAT") + 20] ^= 1  # of the first: its checksum does not fit
    archive.write_bytes(data)
    images = load_images(archive, list_names(archive), 16, tolerant=True)
    assert len(images) == 6
    assert "data.zip/" in images.damaged[0]
    assert "cannot be read (Bad CRC-32" in images.damaged[0]


def test_a_folder_without_images_says_so(tmp_path):
    with pytest.raises(ValueError, match="holds no picture"):
        list_names(tmp_path)
    with pytest.raises(ValueError, match="neither a folder nor a zip"):
        list_names(tmp_path / "missing")


def _batch(images, step, **changed):
    settings = {"size": 16, "batch_size": 3, "crop": "centre", "min_crop": 0.8, "colour": 0.1, "seed": 0} | changed
    return batch(images, step, **settings)


def test_a_batch_is_a_function_of_seed_and_step(folder):
    images = load_images(folder, list_names(folder), 20)
    torch.manual_seed(0)
    a = _batch(images, 5)
    torch.manual_seed(1)
    assert torch.equal(a, _batch(images, 5))
    assert not torch.equal(a, _batch(images, 6))
    assert not torch.equal(a, _batch(images, 5, seed=1))
    assert a.shape == (3, 3, 16, 16)
    assert a.abs().max() <= 1


def test_an_epoch_shows_every_image_once(folder):
    images = load_images(folder, list_names(folder), 16)
    plain = images.pixels.float() / 127.5 - 1
    seen = torch.cat([_batch(images, step, min_crop=1.0, colour=0.0) for step in range(7)])  # three epochs of 7

    def name(image):
        distances = [min((image - p).abs().max(), (image.flip(-1) - p).abs().max()) for p in plain]
        assert min(distances) == 0
        return int(np.argmin(distances))

    shown = [name(image) for image in seen]
    for epoch in (shown[:7], shown[7:14], shown[14:]):
        assert sorted(epoch) == list(range(7))
    assert shown[:7] != shown[7:14]


def test_random_crops_are_windows_of_the_picture_as_it_is(tmp_path):
    """Every pixel of a ramp says where it came from: red the row, green the column."""
    y, x = np.mgrid[:40, :60]
    Image.fromarray(np.stack([y, x, 0 * x], -1).astype(np.uint8)).save(tmp_path / "ramp.png")
    images = load_whole(tmp_path, ["ramp.png"], 16)
    crops = [_batch(images, step, batch_size=1, crop="random", colour=0.0)[0] for step in range(200)]
    corners, flips = set(), 0
    for crop in crops:
        rows, columns = ((crop[:2] + 1) * 127.5).round().long()
        flipped = bool(columns[0, 0] > columns[0, -1])
        top, left = int(rows[0, 0]), int(columns.min())
        expected = torch.arange(left, left + 16)
        assert torch.equal(rows, torch.arange(top, top + 16)[:, None].expand(16, 16))
        assert torch.equal(columns, (expected.flip(0) if flipped else expected).expand(16, 16))
        corners.add((top, left))
        flips += flipped
    assert {min(c) for c in zip(*corners, strict=True)} == {0}
    assert [max(c) for c in zip(*corners, strict=True)] == [24, 44]
    assert 70 < flips < 130


def test_whole_pictures_keep_their_size_but_for_the_stride(folder):
    names = list_names(folder)
    assert load_whole(folder, names, 16).pixels[0].shape == (3, 20, 24)
    assert load_whole(folder, names, 16, stride=8).pixels[0].shape == (3, 16, 24)


def test_a_picture_smaller_than_the_crop_is_named(folder):
    with pytest.raises(ValueError, match=r"0\.png is 24 x 20, smaller than size = 32: lower size"):
        load_whole(folder, list_names(folder), 32)
