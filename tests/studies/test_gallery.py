"""How the gallery's pictures are degraded."""

import shutil
import subprocess

import pytest

from posteriori.diagnosis.noise import find_noise
from posteriori.diagnosis.scratches import find_scratches
from posteriori.images.files import load_image, save_image
from posteriori.settings.text import read_operator
from posteriori.studies.guide.damage import high_iso, moved, scratched


def has_imagemagick() -> bool:
    """Whether ``convert`` is ImageMagick's: other programs have that name too."""
    if not shutil.which("convert"):
        return False
    told = subprocess.run(["convert", "-version"], capture_output=True, text=True, check=False)
    return told.returncode == 0 and "ImageMagick" in told.stdout


MAGICK = pytest.mark.skipif(not has_imagemagick(), reason="needs ImageMagick's convert")


def test_a_simulated_sensor_has_a_cameras_noise(tmp_path):
    save_image(load_image("coffee"), tmp_path / "x.png")
    for name in ("a.jpg", "b.jpg"):
        high_iso(tmp_path / "x.png", tmp_path / name)
    assert (tmp_path / "a.jpg").read_bytes() == (tmp_path / "b.jpg").read_bytes()
    y = load_image(tmp_path / "a.jpg")
    assert find_noise(y).correlated
    assert 8 < (y - load_image("coffee")).std() * 127.5 < 25


@MAGICK
def test_the_kernel_is_imagemagicks_blur(tmp_path):
    save_image(load_image("coffee"), tmp_path / "x.png")
    moved(tmp_path / "x.png", tmp_path / "y.jpg")
    A = read_operator(f"blur(kernel={tmp_path / 'kernel.png'})").build((3, 400, 600))
    inside = (..., slice(20, -20), slice(20, -20))
    x, y = load_image("coffee"), load_image(tmp_path / "y.jpg")
    assert (A(x) - y)[inside].std() < 0.1 * (x - y)[inside].std()


@MAGICK
def test_the_scratches_are_sure(tmp_path):
    save_image(load_image("chelsea"), tmp_path / "x.png")
    scratched(tmp_path / "x.png", tmp_path / "y.png")
    found = find_scratches(load_image(tmp_path / "y.png"))
    assert found
    assert found.sure
