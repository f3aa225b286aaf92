"""A picture that there is no memory for is refused by its head, in one line that says what to do."""

import numpy as np
import pytest
from PIL import Image

from posteriori.images.files import load_image, save_image
from posteriori.restore import inputs, room

BLUR = ["--operator", "gaussian-blur(sigma=2.0)", "--sampler", "dps", "--steps", 1]


@pytest.fixture
def large(tmp_path):
    """81 megapixels in a file of 10 kB, beside a small picture."""
    folder = tmp_path / "in"
    folder.mkdir()
    Image.new("1", (9000, 9000)).save(folder / "large.png")
    save_image(load_image("coffee", size=32), folder / "small.png")
    return folder


@pytest.fixture
def small_machine(monkeypatch):
    monkeypatch.setattr(room, "free_memory", lambda device: 8 * 2**30)


@pytest.mark.parametrize(
    "command", [["restore"], ["restore", *BLUR], ["restore", *BLUR, "--simulate"], ["denoise", "--sigma", 0.1]]
)
def test_it_is_refused_before_it_is_read_and_the_others_are_restored(
    posteriori, any_size_prior, large, tmp_path, small_machine, monkeypatch, command
):
    read, decode = [], inputs.read_picture
    monkeypatch.setattr(
        inputs, "read_picture", lambda data, path, *rest: read.append(path) or decode(data, path, *rest)
    )
    name, *options = command
    answer = posteriori(name, large, *options, "--prior", any_size_prior, "--quiet", "--out", tmp_path / "out")
    assert answer.code == 1
    (line,) = answer.err.strip().splitlines()
    assert "large.png is 9000 x 9000 pixels, which take about " in line
    assert "8 GiB are free: give a --region of about " in line
    assert set(read) == {str(large / "small.png")}
    assert (tmp_path / "out" / "small" / "manifest.json").exists()
    assert not (tmp_path / "out" / "large").exists()


def test_fewer_samples_are_named_where_there_are_several(posteriori, any_size_prior, large, tmp_path, small_machine):
    words = ["restore", large / "large.png", *BLUR, "--samples", 2, "--quiet"]
    answer = posteriori(*words, "--prior", any_size_prior, "--out", tmp_path / "out")
    assert answer.code == 1
    assert "fewer --samples" in answer.err


def test_the_region_that_is_named_is_taken(posteriori, any_size_prior, large, tmp_path, small_machine):
    words = ["restore", large / "large.png", *BLUR, "--region", "0,0,64,64", "--quiet"]
    assert posteriori(*words, "--prior", any_size_prior, "--out", tmp_path / "out").code == 0


def test_a_measurement_is_known_by_its_head(tmp_path):
    np.save(tmp_path / "y.npy", np.zeros((3, 40, 50), np.float32))
    assert inputs.size_of(inputs.Source(str(tmp_path / "y.npy"), "y")) == (40, 50)
    (tmp_path / "no.png").write_bytes(b"no picture")
    assert inputs.size_of(inputs.Source(str(tmp_path / "no.png"), "no")) is None
