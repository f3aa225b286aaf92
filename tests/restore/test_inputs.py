import hashlib
import io
import os
import pickle
import struct
from datetime import timedelta
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from posteriori.errors import PosterioriError
from posteriori.files import atomic_folder
from posteriori.images import files as images_files
from posteriori.images.files import load_image
from posteriori.images.fit import fit
from posteriori.images.picture import BUNDLED, read_picture
from posteriori.jobs.lock import claimed_folder
from posteriori.jobs.memory import peak_memory
from posteriori.operators import Mask
from posteriori.restore.inputs import Loaded, Source, find_sources, load, passed_over, size_of
from posteriori.restore.masks import MaskFile, Masks

SHAPE = (3, 4, 6)
Y = np.linspace(-1.5, 1.5, 72, dtype=np.float32).reshape(SHAPE)


def files(folder: Path, *names: str) -> list[str]:
    """Empty files of these names; their paths."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return [str(folder / name) for name in names]


def names(paths: list[str]) -> list[str]:
    return [source.name for source in find_sources(paths)]


def test_find_sources_takes_a_file_once_however_it_is_called(tmp_path, monkeypatch):
    files(tmp_path, "a.png", "sub/b.png")
    monkeypatch.chdir(tmp_path)
    found = find_sources(["a.png", "./a.png", str(tmp_path / "a.png"), "sub", "sub/../sub/b.png"])
    assert [source.path for source in found] == ["a.png", "sub/b.png"]


def test_find_sources_gives_files_in_the_order_they_came(tmp_path):
    paths = files(tmp_path, "z.png", "a.npy", "no suffix", "m.tar.png")
    assert find_sources(paths) == [
        Source(path, name) for path, name in zip(paths, ["z", "a", "no suffix", "m.tar"], strict=True)
    ]


def test_find_sources_sorts_what_a_folder_holds_and_reads(tmp_path):
    suffixes = ["jfif", "jpg", "jpe", "webp", "tif", "tiff", "gif", "npz", "PNG"]
    files(tmp_path, *(f"{9 - i}.{suffix}" for i, suffix in enumerate(suffixes)))
    files(tmp_path, "notes.txt", "x.ico", "png", ".hidden/a.png", "below/._a.png")
    (tmp_path / "folder.png").mkdir()
    found = find_sources([str(tmp_path)])
    assert [Path(source.path).suffix for source in found] == [f".{suffix}" for suffix in reversed(suffixes)]
    assert [source.name for source in found] == list("123456789")


def test_find_sources_leaves_out_what_is_hidden_in_a_folder_but_not_what_is_named(tmp_path):
    # A Mac writes "._a.png" on foreign discs, and a killed save leaves a dotted temporary file.
    hidden, _ = files(tmp_path, "._a.png", "a.png")
    assert names([str(tmp_path)]) == ["a"]
    assert find_sources([hidden]) == [Source(hidden, "_a")]


def test_find_sources_numbers_equal_names_and_none_is_taken_twice(tmp_path):
    assert names(files(tmp_path, "a/x.png", "b/x.png", "c/x.jpg")) == ["x", "x-2", "x-3"]
    assert names(files(tmp_path, "a/x.png", "b/x.png", "x-2.png")) == ["x", "x-2", "x-2-2"]
    assert names(files(tmp_path, "x-2.png", "a/x.png", "b/x.png")) == ["x-2", "x", "x-3"]


def test_find_sources_numbers_names_that_differ_in_capitals(tmp_path):
    """Their folders would be one where the file system says so."""
    assert names(files(tmp_path, "a/x.png", "b/X.png")) == ["x", "X-2"]


def test_find_sources_gives_a_file_once_however_often_it_is_named(tmp_path):
    (path,) = files(tmp_path, "x.png")
    assert find_sources([path, str(tmp_path), path]) == [Source(path, "x")]
    assert names(["coffee", "coffee"]) == ["coffee"]


def test_find_sources_follows_links(tmp_path):
    files(tmp_path, "real/x.png")
    (tmp_path / "link.png").symlink_to("real/x.png")
    (tmp_path / "folder").symlink_to("real")
    (tmp_path / "broken.png").symlink_to("nowhere")
    assert names([str(tmp_path)]) == ["link"]
    assert names([str(tmp_path / "folder")]) == ["x"]
    with pytest.raises(FileNotFoundError, match=r"broken\.png does not exist"):
        find_sources([str(tmp_path / "broken.png")])


def test_find_sources_takes_a_bundled_name_for_what_it_is_beside_a_file_or_folder_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files(tmp_path, "coffee/x.png", "chelsea")
    assert find_sources(["coffee", "chelsea"]) == [Source("coffee", "coffee"), Source("chelsea", "chelsea")]
    found = find_sources([*BUNDLED, "./coffee", "./chelsea"])
    assert [source.name for source in found] == [*BUNDLED, "x", "chelsea-2"]
    assert [source.path for source in found][-2:] == ["coffee/x.png", "./chelsea"]
    loaded = load(find_sources(["coffee"])[0], (3, 8, 8), "resize", arrays=False)
    assert torch.equal(loaded.x, load_image("coffee", 8))


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("two words.png", "two words"),
        ("Küche-写真.png", "Küche-写真"),
        ("-rf.png", "-rf"),
        ("$x^2$ [red].png", "$x^2$ [red]"),
        (".png", "png"),
        (".lock.png", "lock"),
        ("..png", "input"),
        ("...png", "input"),
        ("....png", "input"),
        (" .png", "input"),
        (".x.partial.png", "x.partial"),
        ("results.json.png", "results.json-2"),
        ("Results.JSON.png", "Results.JSON-2"),
        ("dots...png", "dots"),
        ("a\nb\x1b[0m.png", "a_b_[0m"),
        (os.fsdecode(b"\xff.png"), "_"),
        ("x" * 251 + ".png", "x" * 251),
    ],
)
def test_names_are_folders_that_lie_in_out_and_stay_there(tmp_path, file, name):
    (path,) = files(tmp_path / "in", file)
    assert names([path]) == [name]
    out = tmp_path / "out"
    with claimed_folder(out):
        (out / "results.json").write_text("[]")
        with atomic_folder(out / name) as folder:
            (folder / "restored.png").touch()
    with claimed_folder(out):
        assert (out / name / "restored.png").is_file()
    assert {".lock", "results.json", name} == set(os.listdir(out)) | {".lock"}
    assert sorted(os.listdir(tmp_path)) == ["in", "out"]


def test_find_sources_refuses_what_is_missing_or_holds_nothing(tmp_path):
    files(tmp_path, "empty/notes.txt")
    with pytest.raises(FileNotFoundError, match=r"no\.png does not exist: give a picture, .* astronaut, chelsea, "):
        find_sources(["coffee", str(tmp_path / "no.png")])
    with pytest.raises(ValueError, match=r"empty holds no picture: give a folder with \.png, \.jpg, "):
        find_sources([str(tmp_path / "empty")])
    assert find_sources([]) == []


def test_find_sources_keeps_the_tree_of_a_folder(tmp_path):
    files(tmp_path, "in/b.png", "in/sub/a.png", "in/sub/.b.png", "in/sub/deep/c.nii.gz", "in/sub.jpg", "in/x/y.txt")
    found = find_sources([str(tmp_path / "in")])
    assert [source.name for source in found] == ["b", "sub-2", "sub/a", "sub/deep/c"]
    assert passed_over([str(tmp_path / "in"), "coffee"]) == [str(tmp_path / "in/x/y.txt")]


def test_folders_that_cannot_be_read_are_named(tmp_path, closed):
    (tmp_path / "a.png").touch()
    closed(tmp_path / "below")
    assert [source.name for source in find_sources([str(tmp_path)])] == ["a"]
    assert passed_over([str(tmp_path)]) == [str(tmp_path / "below")]
    with pytest.raises(PermissionError):
        find_sources([str(tmp_path / "below")])


def test_find_sources_takes_no_earlier_results_for_inputs(tmp_path):
    files(tmp_path, "a.png", "out/a/restored.png", "out/a/manifest.json", "out/results.json", "cut/b/restored.png")
    (tmp_path / "cut/b/manifest.json").touch()  # of a run that was killed before it wrote results.json
    assert [source.name for source in find_sources([str(tmp_path)])] == ["a"]


def test_a_dash_is_standard_input(tmp_path, monkeypatch):
    for data in (encoded_png(noise(4, 6)), npy(Y)):
        images_files._stream.cache_clear()
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(data)))
        source = find_sources(["-"])[0]
        assert source == Source("-", "stdin")
        loaded = [load(source, SHAPE, None, arrays=True) for _ in range(2)]
        assert torch.equal(loaded[0].x, loaded[1].x), "which can be read once"
        assert loaded[0].about["sha256"] == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("name", ["a.png", "a.npy"])
def test_a_pipe_is_read_once(tmp_path, name):
    """As of ``restore <(convert ...)``: whoever reads it again would wait for ever, or find it empty."""
    os.mkfifo(tmp_path / name)
    data = npy(Y) if name.endswith(".npy") else encoded_png(noise(4, 6))
    Thread(target=(tmp_path / name).write_bytes, args=(data,), daemon=True).start()
    source = find_sources([str(tmp_path / name)])[0]
    assert size_of(source) in (None, (4, 6))
    assert load(source, SHAPE, None, arrays=True).about["sha256"] == hashlib.sha256(data).hexdigest()


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    with (tmp_path / "film.png").open("wb") as file:
        file.truncate(2**40)  # with nothing in it, which takes no room
    with pytest.raises(PosterioriError, match=r"film\.png has more than 4 GiB, which no picture has: give a PNG"):
        load(Source(str(tmp_path / "film.png"), "film"), None, None, arrays=True)
    monkeypatch.setattr(images_files, "MOST", 2**20)
    images_files._stream.cache_clear()
    with pytest.raises(PosterioriError, match=r"/dev/zero has more than 0\.000976562 GiB, which no picture has"):
        load(Source("/dev/zero", "zero"), None, None, arrays=True)


def encoded_png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("inputs")


def read(folder: Path, data: bytes, shape: tuple[int, ...] = SHAPE) -> Loaded:
    (folder / "y.npy").write_bytes(data)
    return load(Source(str(folder / "y.npy"), "y"), shape, None, arrays=True)


def npy(array: np.ndarray, **options) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def declared(text: str, body: bytes = b"") -> bytes:
    """An array's file with the header ``text``."""
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + body


@pytest.mark.parametrize("dtype", ["<f2", ">f2", "<f4", ">f4", "<f8", ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("row", [(), (1,)])
def test_every_float_and_order_is_read(folder, dtype, order, row):
    y = np.asarray(Y.reshape(row + SHAPE), dtype, order)
    loaded = read(folder, npy(y))
    assert loaded.x.dtype == torch.float32
    assert loaded.x.is_contiguous()
    assert loaded.x.shape == (1, *SHAPE)
    assert np.array_equal(loaded.x[0], Y.astype(dtype).astype(np.float32))
    assert loaded.window == (0, 0, 4, 6)
    assert loaded.size == (4, 6)


def test_an_array_says_which_file_it_was(folder):
    about = read(folder, npy(Y)).about
    assert about.keys() == {"file", "sha256", "kind"}
    assert about["kind"] == "array"
    assert about["file"] == str(folder / "y.npy")
    assert about["sha256"] == hashlib.sha256(npy(Y)).hexdigest()


def test_a_measurement_may_have_any_shape(folder):
    assert torch.equal(read(folder, npy(np.arange(5.0)), (5,)).x, torch.arange(5.0)[None])


@pytest.mark.parametrize(
    ("array", "problem"),
    [
        (Y[:2], r"has shape \(2, 4, 6\): this measurement has \(3, 4, 6\)"),
        (Y[None, None], r"has shape \(1, 1, 3, 4, 6\)"),
        (np.stack([Y, Y]), r"has shape \(2, 3, 4, 6\)"),
        (Y.swapaxes(1, 2), r"has shape \(3, 6, 4\)"),
        (np.float32(1), r"has shape \(\)"),
        (Y.astype(np.int16), "holds int16: give floating-point numbers .* scale, or name the range .* --range"),
        (Y.astype(np.uint8), "holds uint8: give floating-point numbers .* scale, or name the range .* --range"),
        (Y > 0, "holds bool: give floating-point numbers"),
        (Y.astype(complex), "holds complex128: give floating-point numbers"),
        (np.zeros(SHAPE, [("re", "f4"), ("im", "f4")]), "holds .*re.*: give floating-point numbers"),
        (np.full(SHAPE, "1.0"), "holds <U3: give floating-point numbers"),
        (np.where(Y > 1, np.nan, Y), "holds NaN, infinity or numbers beyond float32: give finite numbers"),
        (np.where(Y > 1, -np.inf, Y), "holds NaN, infinity"),
        (np.full(SHAPE, 0x7FF0000000000001, np.uint64).view(float), "holds NaN, infinity"),  # signalling NaN
        (Y.astype(float) * 1e300, "holds NaN, infinity or numbers beyond float32"),
    ],
)
def test_other_arrays_are_refused(folder, array, problem):
    with pytest.raises(ValueError, match=rf"y\.npy {problem}") as caught:
        read(folder, npy(array))
    assert "\n" not in str(caught.value)


def test_an_archive_is_read_where_it_holds_one_array(folder):
    for save in (np.savez, np.savez_compressed):
        file = io.BytesIO()
        save(file, y=Y, z=Y)
        with pytest.raises(ValueError, match=r"y\.npy is an archive of y, z: give one with a single array"):
            read(folder, file.getvalue())
        file = io.BytesIO()
        save(file, y=Y)
        assert np.array_equal(read(folder, file.getvalue()).x[0], Y)


FLOATS = "{'descr': '<f4', 'fortran_order': False, 'shape': "
NO_ARRAYS = {
    "empty": b"",
    "magic alone": b"\x93NUMPY",
    "no archive": b"PK\x03\x04 no archive",
    "text": b"hello" * 99,
    "body cut": npy(Y)[:-1],
    "header cut": npy(Y)[:40],
    "terabytes": declared(FLOATS + "(1000000000000,)}", bytes(64)),
    "terabytes of rows": declared(FLOATS + "(3, 4, 6, 1000000000)}", bytes(64)),
    "beyond 64 bits": declared(FLOATS + f"({10**40},)}}", bytes(64)),
    "negative": declared(FLOATS + "(-1,)}", bytes(64)),
    "Python 2, cut": declared(FLOATS + "(3L, 4L"),
    "too deep": declared("(" * 9000),
    "never closed": declared("[" * 150 + "1"),
    "odd literals": declared("{'descr': '<f4', 'fortran_order': 1is 1, 'shape': (3,)}"),
}


@pytest.mark.parametrize("data", NO_ARRAYS.values(), ids=NO_ARRAYS)
def test_what_is_no_array_is_refused_at_no_cost(folder, data):
    before = peak_memory(torch.device("cpu"))
    with pytest.raises(ValueError, match=r"y\.npy is not a NumPy array( of numbers \(.+\))?: give ") as caught:
        read(folder, data)
    assert "\n" not in str(caught.value)
    assert peak_memory(torch.device("cpu")) - before < 100 * 2**20


def test_an_array_of_python_2_is_read(folder):
    data = declared(FLOATS + "(3L, 4L, 6L), }\n", Y.tobytes())
    assert np.array_equal(read(folder, data).x[0], Y)


@pytest.mark.parametrize("kind", ["array", "pickle", "archive"])
def test_code_in_an_array_never_runs(folder, tmp_path, kind):
    code = _Code(str(tmp_path / kind))
    file = io.BytesIO()
    match kind:
        case "array":
            np.save(file, np.array([code], object), allow_pickle=True)
        case "pickle":
            pickle.dump(code, file)
        case "archive":
            np.savez(file, y=np.array([code], object))
    with pytest.raises(ValueError, match=r"y\.npy is not an? (NumPy array|archive)"):
        read(folder, file.getvalue())
    assert not (tmp_path / kind).exists()
    pickle.loads(pickle.dumps(code))
    assert (tmp_path / kind).exists(), "the code does run where it may"


def test_simulating_needs_pictures(folder):
    (folder / "y.npy").write_bytes(npy(Y))
    with pytest.raises(ValueError, match=r"y\.npy is a measurement, .*: leave --simulate out"):
        load(Source(str(folder / "y.npy"), "y"), SHAPE, None, arrays=False)


@settings(max_examples=300, deadline=timedelta(seconds=20), derandomize=True, database=None)
@given(data=st.data())
def test_a_damaged_array_is_read_or_refused_in_one_line(folder, data):
    damaged = bytearray(data.draw(st.sampled_from([npy(Y), npy(Y.T.copy().T), npy(Y.astype(">f8"))])))
    for _ in range(data.draw(st.integers(1, 4))):
        at, end = sorted(data.draw(st.integers(0, 140)) for _ in range(2))  # the header ends at 128
        match data.draw(st.sampled_from(["flip", "digit", "cut", "insert", "remove", "repeat"])):
            case "flip":
                damaged[at : at + 1] = bytes(b ^ data.draw(st.integers(1, 255)) for b in damaged[at : at + 1])
            case "digit":
                damaged[at : at + 1] = data.draw(st.sampled_from([b"9", b"99999", b"-", b"(", b"'", b"O", b"L", b"\\"]))
            case "cut":
                del damaged[end:]
            case "insert":
                damaged[at:at] = data.draw(st.binary(max_size=12))
            case "remove":
                del damaged[at:end]
            case "repeat":
                damaged[at:at] = damaged[at:end]
    try:
        loaded = read(folder, bytes(damaged))
    except ValueError as error:
        message = str(error)
        assert message.startswith(f"{folder / 'y.npy'} ")
        assert len(message.splitlines()) == 1
        assert len(message) < 600
    else:
        assert loaded.x.shape == (1, *SHAPE)
        assert loaded.x.dtype == torch.float32
        assert loaded.x.isfinite().all()


class _Code:
    """Makes a file where it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def save(path: Path, pixels: np.ndarray, **options) -> Source:
    Image.fromarray(pixels).save(path, **options)
    return Source(str(path), path.stem)


def noise(h: int, w: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (h, w, 3), np.uint8)


def test_the_scale_of_a_picture_is_that_of_the_eight_bits(tmp_path):
    pixels = noise(4, 6)
    loaded = load(save(tmp_path / "x.png", pixels), SHAPE, None, arrays=True)
    assert loaded.x.dtype == torch.float32
    torch.testing.assert_close(loaded.x[0], torch.from_numpy(pixels).permute(2, 0, 1) / 127.5 - 1)
    assert loaded.window == (0, 0, 4, 6)
    assert loaded.size == (4, 6)
    assert loaded.about.keys() == {"file", "sha256", "kind", "width", "height", "notes"}
    assert (loaded.about["kind"], loaded.about["width"], loaded.about["height"]) == ("picture", 6, 4)
    assert loaded.about["notes"] == []


@pytest.mark.parametrize(("how", "size"), [("crop", (9, 7)), ("pad", (2, 5)), ("resize", (9, 9))])
def test_a_fitted_picture_says_so_and_how_large_it_was(tmp_path, how, size):
    pixels = noise(*size)
    loaded = load(save(tmp_path / "x.png", pixels), SHAPE, how, arrays=False)
    fitted = fit(pixels, 4, 6, how, "x.png")
    torch.testing.assert_close(loaded.x[0], torch.from_numpy(fitted.pixels.copy()).permute(2, 0, 1) / 127.5 - 1)
    assert loaded.x.is_contiguous()
    assert loaded.window == fitted.window
    assert loaded.size == size
    assert loaded.about["fit"] == fitted.note


def test_the_notes_of_the_file_are_kept(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    loaded = load(save(tmp_path / "x.png", noise(6, 4)[..., 0], exif=exif), SHAPE, None, arrays=False)
    assert loaded.size == (4, 6)
    assert loaded.about["notes"] == ["turned as its EXIF says"]


def test_a_refused_picture_is_named(tmp_path):
    source = save(tmp_path / "x.png", noise(5, 6))
    with pytest.raises(ValueError, match=r"x\.png is 6 x 5 pixels, and 6 x 4 are needed: choose --fit crop"):
        load(source, SHAPE, None, arrays=True)
    for shape in ((2, 5, 6), (7,)):
        with pytest.raises(ValueError, match=r"x\.png is a picture, and this operator measures \(.*\): give an array"):
            load(source, shape, None, arrays=True)
    with pytest.raises(FileNotFoundError, match=r"no\.png cannot be read"):
        load(Source(str(tmp_path / "no.png"), "no"), SHAPE, None, arrays=True)
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(ValueError, match=r"text\.png is not a picture"):
        load(Source(str(tmp_path / "text.png"), "text"), SHAPE, None, arrays=True)


BLACK, WHITE = 0, 255


def mask(path: Path, pixels: object, invert: bool = False, **options) -> MaskFile:
    return MaskFile.read(save(path, np.asarray(pixels, np.uint8), **options).path, invert=invert)


def test_greys_are_white_but_for_what_jpeg_leaves_of_black(tmp_path):
    grey = [[BLACK, 15, 16], [128, 239, WHITE]]
    assert mask(tmp_path / "m.png", grey).pixels.tolist() == [[0, 0, 255], [255, 255, 255]]
    grey = [[WHITE, 240, 239], [128, 15, BLACK]]
    assert mask(tmp_path / "m.png", grey, invert=True).pixels.tolist() == [[0, 0, 255], [255, 255, 255]]


def test_the_colours_of_a_mask_count_by_their_mean(tmp_path):
    colours = [[[0, 0, 255], [47, 0, 1], [47, 0, 0]]]
    assert mask(tmp_path / "m.png", colours).pixels.tolist() == [[255, 255, 0]]


def test_what_is_transparent_in_a_mask_is_white(tmp_path):
    painted = np.zeros((4, 6, 4), np.uint8)
    painted[:, :3, 3] = 255
    assert mask(tmp_path / "m.png", painted).pixels.tolist() == [[0, 0, 0, 255, 255, 255]] * 4


@pytest.mark.parametrize("colour", [(255, 0, 0), (255, 255, 255), (0, 160, 255)])
def test_strokes_on_a_clear_layer_are_what_is_to_be_restored(tmp_path, colour):
    layer = np.zeros((4, 6, 4), np.uint8)
    layer[1, :, :3], layer[1, :, 3] = colour, [255, 255, 255, 255, 128, 8]
    expected = np.zeros((4, 6))
    expected[1] = [255, 255, 255, 255, 255, 0]
    found = mask(tmp_path / "m.png", layer)
    np.testing.assert_allclose(found.pixels, expected, atol=0.01)
    expected[1, 4] = 0  # half a stroke: there is damage in it either way
    np.testing.assert_allclose(mask(tmp_path / "m.png", layer, invert=True).pixels, 255 - expected, atol=0.01)


def test_the_ringing_of_a_jpeg_does_a_mask_no_harm(tmp_path):
    pixels = np.zeros((32, 32), np.uint8)
    pixels[5:20, 9:30] = WHITE
    read = mask(tmp_path / "m.jpg", pixels, quality=75)
    assert not np.array_equal(read_picture((tmp_path / "m.jpg").read_bytes(), "m").pixels[..., 0], pixels)
    assert read.pixels[pixels > 0].all()
    assert (read.pixels > 0).sum() < 1.1 * (pixels > 0).sum()


def test_a_soft_edge_leaves_no_outline(tmp_path):
    """The damage, white, has been laid over the picture as a brush does: what is kept has next to none of it."""
    y, x = np.mgrid[:64, :64]
    alpha = np.clip(6 - np.abs(x - y) / 1.5, 0, 4) / 4
    read = mask(tmp_path / "m.png", (255 * alpha).round())
    damaged = 100 + alpha * (255 - 100)
    source = save(tmp_path / "x.png", np.repeat(damaged[..., None], 3, 2).astype(np.uint8))
    hidden = read.hidden(load(source, (3, 64, 64), None, arrays=False), (3, 64, 64), None, source)[0].numpy()
    assert 0.1 < hidden.mean() < 0.5
    assert np.abs(damaged - 100)[~hidden].max() <= 16 / 255 * 155
    assert np.abs(damaged - 100)[alpha < 0.5].max() > 50, "as half a brush would leave"


@pytest.mark.parametrize("width", [2, 3, 9])
def test_what_is_kept_of_a_resized_picture_has_next_to_nothing_of_what_is_restored(tmp_path, width):
    """A scratch of ``width`` pixels, white on grey, in a picture that is brought to an eighth."""
    scratch = np.zeros((128, 128), np.uint8)
    for i in range(20, 108):
        scratch[i, i // 2 + 30 : i // 2 + 30 + width] = WHITE
    read = mask(tmp_path / "m.png", scratch)
    source = save(tmp_path / "x.png", np.where(scratch[..., None] > 0, WHITE, 100).repeat(3, 2).astype(np.uint8))
    shape = (3, 16, 16)
    loaded = load(source, shape, "resize", arrays=False)
    keep = ~read.hidden(loaded, shape, "resize", source)[0]
    off = (loaded.x[0, 0] - (100 / 127.5 - 1)).abs() * 127.5
    assert 0.6 < keep.float().mean() < 0.95
    assert off[~keep].max() > 32 / 255 * 155
    assert off[keep].max() <= 16 / 255 * 155 + 1


@pytest.mark.parametrize(
    ("colour", "invert", "message"),
    [
        (WHITE, False, "white: nothing would be left to restore from; white is to be restored and black kept"),
        (BLACK, False, "black: there would be nothing to restore; white is to be restored and black kept"),
        (
            BLACK,
            True,
            "black: nothing would be left to restore from; "
            "white is to be restored and black kept, swapped by --mask-invert",
        ),
        (
            WHITE,
            True,
            "white: there would be nothing to restore; "
            "white is to be restored and black kept, swapped by --mask-invert",
        ),
    ],
)
def test_a_mask_of_one_colour_is_refused_by_its_name(tmp_path, colour, invert, message):
    with pytest.raises(ValueError, match=r"m\.png is all ") as caught:
        mask(tmp_path / "m.png", np.full((2, 3), colour), invert)
    assert str(caught.value) == f"{tmp_path / 'm.png'} is all {message}"


def test_a_mask_that_is_no_picture_is_refused(tmp_path):
    (tmp_path / "m.png").write_text("hello")
    with pytest.raises(ValueError, match=r"m\.png is not a picture"):
        MaskFile.read(str(tmp_path / "m.png"), invert=False)
    with pytest.raises(FileNotFoundError, match=r"no\.png cannot be read"):
        MaskFile.read(str(tmp_path / "no.png"), invert=False)


@pytest.mark.parametrize(
    ("how", "size"),
    [(None, (8, 12)), ("crop", (11, 15)), ("pad", (5, 6)), ("resize", (24, 30)), ("resize", (4, 6))],
)
def test_a_mask_goes_the_way_of_its_picture(tmp_path, how, size):
    """A picture of the mask itself is black exactly where it is kept."""
    pixels = np.where(np.random.default_rng(1).random(size) < 0.4, WHITE, BLACK)
    if how == "resize":  # which leaves nothing of single pixels
        pixels[:] = np.where(np.arange(size[1]) < size[1] // 3, WHITE, BLACK)
    read = mask(tmp_path / "m.png", pixels)
    source = Source(read.path, "m")
    loaded = load(source, (3, 8, 12), how, arrays=False)
    keep = ~read.hidden(loaded, (3, 8, 12), how, source)
    assert keep.shape == (1, 8, 12)
    kept = torch.equal if how != "resize" else lambda a, b: bool((a <= b).all())
    assert kept(keep, loaded.x[0, :1] < 0)
    swapped = ~MaskFile.read(read.path, invert=True).hidden(loaded, (3, 8, 12), how, source)
    if how == "resize":
        assert not (swapped & keep).any()  # what has of both is kept by neither
    else:
        assert torch.equal(swapped, ~keep)
    assert torch.equal(Mask((3, 8, 12), keep).keep[0], keep[0])


def test_a_region_of_a_picture_has_that_of_its_mask(tmp_path):
    hidden = np.zeros((9, 12))
    hidden[3:5, 4:11] = WHITE
    read, source = mask(tmp_path / "m.png", hidden), save(tmp_path / "x.png", noise(9, 12))
    loaded = load(source, None, None, arrays=True, region=(4, 2, 6, 4))
    assert torch.equal(loaded.x, load(source, None, None, arrays=True).x[..., 2:6, 4:10])
    found = read.hidden(loaded, SHAPE, None, source)
    assert np.array_equal(found[0], hidden[2:6, 4:10] / WHITE)
    assert loaded.about["region"] == [4, 2, 6, 4]


def test_a_mask_of_the_fitted_size_is_taken_as_it_is(tmp_path):
    hidden = np.zeros((4, 6))
    hidden[1, 2:5] = WHITE
    read = mask(tmp_path / "m.png", hidden)
    for how, size in (("crop", (9, 9)), ("pad", (2, 3)), ("resize", (7, 5))):
        source = save(tmp_path / "x.png", noise(*size))
        found = read.hidden(load(source, SHAPE, how, arrays=False), SHAPE, how, source)
        assert np.array_equal(found[0], hidden / WHITE)


def test_a_mask_of_any_other_size_is_refused(tmp_path):
    read = mask(tmp_path / "m.png", [[BLACK, WHITE]] * 5)
    source = save(tmp_path / "x.png", noise(9, 7))
    for how in ("crop", "resize"):
        loaded = load(source, SHAPE, how, arrays=False)
        with pytest.raises(ValueError, match=r"m\.png is 2 x 5 pixels and .*x\.png is 7 x 9: give a mask of that size"):
            read.hidden(loaded, SHAPE, how, source)


def test_a_mask_serves_measurements_too(tmp_path):
    np.save(tmp_path / "y.npy", Y)
    source = Source(str(tmp_path / "y.npy"), "y")
    hidden = np.zeros((4, 6))
    hidden[1:3, 2:5] = WHITE
    found = mask(tmp_path / "m.png", hidden).hidden(load(source, SHAPE, None, arrays=True), SHAPE, None, source)
    assert np.array_equal(found[0], hidden / WHITE)


def test_masks_of_a_folder_go_by_the_names_of_the_pictures(tmp_path):
    (tmp_path / "masks").mkdir()
    for name, column in (("a", 0), ("b", 1)):
        hidden = np.zeros((4, 6), np.uint8)
        hidden[:, column] = WHITE
        save(tmp_path / "masks" / f"{name}.png", hidden)
    sources = [Source("pictures/b.jpg", "b"), Source("others/a.jpg", "a")]
    masks = Masks.read(str(tmp_path / "masks"), sources, invert=False)
    assert [masks.of(source).pixels[0].argmax() for source in sources] == [1, 0]
    with pytest.raises(ValueError, match=r"masks has no mask for c\.jpg: put one picture there with the name c"):
        Masks.read(str(tmp_path / "masks"), [Source("c.jpg", "c")], invert=False)
    save(tmp_path / "masks" / "a.bmp", hidden)
    with pytest.raises(ValueError, match=r"masks has a\.bmp and a\.png for others/a\.jpg: put one"):
        Masks.read(str(tmp_path / "masks"), sources, invert=False)
