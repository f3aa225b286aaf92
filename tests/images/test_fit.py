import re
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from posteriori.images.fit import Fit, cut, fit, noise_left, read_region

HOWS = get_args(Fit)


def picture(h: int, w: int, *channels: int) -> np.ndarray:
    """Noise: no two places look alike."""
    return np.random.default_rng(0).integers(0, 256, (h, w, *channels), np.uint8)


@pytest.mark.parametrize("how", [None, *HOWS])
def test_a_picture_of_the_size_is_left_alone(how):
    pixels = picture(5, 7, 3)
    fitted = fit(pixels, 5, 7, how, "x.png")
    assert fitted.pixels is pixels
    assert fitted.window == (0, 0, 5, 7)
    assert fitted.note == ""


@pytest.mark.parametrize("channels", [(), (3,)])
@pytest.mark.parametrize(
    ("size", "target", "top", "left"),
    [((8, 8), (4, 4), 2, 2), ((7, 9), (4, 4), 1, 2), ((5, 6), (5, 3), 0, 1), ((4, 5), (1, 2), 1, 1)],
)
def test_crop_takes_the_centre(size, target, top, left, channels):
    pixels = picture(*size, *channels)
    fitted = fit(pixels, *target, "crop", "x.png")
    assert np.array_equal(fitted.pixels, pixels[top:, left:][: target[0], : target[1]])
    assert fitted.window == (0, 0, *target)
    assert fitted.note == f"centre {target[1]} x {target[0]} of {size[1]} x {size[0]} pixels"


def test_pad_mirrors_the_borders():
    fitted = fit(np.array([[1, 2], [3, 4]], np.uint8), 3, 7, "pad", "mask.png")
    assert fitted.pixels.tolist() == [[2, 1, 1, 2, 2, 1, 1], [4, 3, 3, 4, 4, 3, 3], [4, 3, 3, 4, 4, 3, 3]]
    assert fitted.window == (0, 2, 2, 2)
    assert fitted.note == "2 x 2 pixels mirrored at the borders to 7 x 3"


@pytest.mark.parametrize("channels", [(), (3,)])
@pytest.mark.parametrize(("size", "target"), [((4, 4), (8, 8)), ((5, 7), (8, 12)), ((1, 3), (9, 3)), ((6, 5), (6, 6))])
def test_the_window_of_a_padded_picture_holds_its_pixels(size, target, channels):
    pixels = picture(*size, *channels)
    fitted = fit(pixels, *target, "pad", "x.png")
    top, left, height, width = fitted.window
    assert fitted.pixels.shape == (*target, *channels)
    assert (height, width) == size
    assert (top, left) == ((target[0] - size[0]) // 2, (target[1] - size[1]) // 2)
    assert np.array_equal(fitted.pixels[top : top + height, left : left + width], pixels)


@pytest.mark.parametrize("channels", [(), (3,)])
@pytest.mark.parametrize(
    ("size", "target"), [((9, 9), (4, 4)), ((10, 15), (4, 6)), ((3, 2), (9, 6)), ((7, 7), (31, 31))]
)
def test_a_picture_of_the_same_proportions_is_resized_whole(size, target, channels):
    pixels = picture(*size, *channels)
    fitted = fit(pixels, *target, "resize", "x.png")
    expected = Image.fromarray(pixels).resize(target[::-1], Image.Resampling.LANCZOS)
    assert np.array_equal(fitted.pixels, np.asarray(expected))
    assert fitted.window == (0, 0, *target)


@pytest.mark.parametrize(
    ("size", "target", "part"),
    [
        ((16, 24), (8, 8), np.s_[:, 4:20]),
        ((25, 16), (8, 8), np.s_[4:20]),
        ((16, 16), (4, 8), np.s_[4:12]),
        ((5, 9), (10, 10), np.s_[:, 2:7]),
    ],
)
def test_other_proportions_are_cut_at_the_centre_before_resizing(size, target, part):
    pixels = picture(*size, 3)
    fitted = fit(pixels, *target, "resize", "x.png")
    cut = pixels[part]
    expected = Image.fromarray(cut).resize(target[::-1], Image.Resampling.LANCZOS)
    assert np.array_equal(fitted.pixels, np.asarray(expected))
    sizes = [f"{w} x {h}" for h, w in (cut.shape[:2], size, target)]
    assert fitted.note == "centre {} of {} pixels resized to {}".format(*sizes)


def test_the_part_that_is_resized_is_never_empty():
    pixels = picture(1, 3, 3)
    assert np.array_equal(fit(pixels, 90, 3, "resize", "x.png").pixels, np.broadcast_to(pixels[:, 1:2], (90, 3, 3)))


@pytest.mark.parametrize(
    ("how", "size", "others"),
    [
        (None, (9, 9), ["crop", "pad", "resize"]),
        (None, (3, 9), ["crop", "pad", "resize"]),
        ("crop", (4, 9), ["pad", "resize"]),
        ("crop", (9, 5), ["pad", "resize"]),
        ("pad", (4, 9), ["crop", "resize"]),
        ("pad", (9, 5), ["crop", "resize"]),
    ],
)
def test_what_cannot_be_done_names_both_sizes_and_the_other_choices(how, size, others):
    with pytest.raises(ValueError, match=r"^a/x\.png is .* pixels, and 6 x 8 are needed[:;] .*choose --fit ") as caught:
        fit(picture(*size, 3), 8, 6, how, "a/x.png")
    message = str(caught.value)
    assert f"a/x.png is {size[1]} x {size[0]} pixels" in message
    choices = message.split("--fit ")[1]
    assert [other for other in HOWS if re.search(rf"\b{other}\b", choices)] == others
    assert "\n" not in message


SIDES = st.one_of(st.integers(1, 40), st.integers(1, 2000))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    size=st.tuples(SIDES, st.integers(1, 40)), target=st.tuples(SIDES, st.integers(1, 40)), how=st.sampled_from(HOWS)
)
def test_the_result_has_the_size_and_the_window_lies_inside(size, target, how):
    pixels = picture(*size, 3)
    try:
        fitted = fit(pixels, *target, how, "x.png")
    except ValueError:
        smaller, larger = (any(a < b for a, b in zip(*pair, strict=True)) for pair in ((size, target), (target, size)))
        assert (how == "crop" and smaller) or (how == "pad" and larger)
        return
    assert fitted.pixels.shape == (*target, 3)
    assert fitted.pixels.dtype == np.uint8
    top, left, height, width = fitted.window
    assert min(top, left) >= 0
    assert min(height, width) >= 1
    assert top + height <= target[0]
    assert left + width <= target[1]


@pytest.mark.parametrize("factor", [0.5, 1.7, 4, 8])
def test_how_much_of_white_noise_is_left_is_measured(factor):
    noise = np.random.default_rng(0).normal(0, 1, (round(64 * factor), round(64 * factor))).astype(np.float32)
    resized = fit(noise, 64, 64, "resize", "x")
    assert resized.factor == pytest.approx(factor, rel=0.01)
    assert noise_left(resized.factor) == pytest.approx(resized.pixels[4:-4, 4:-4].std(), rel=0.06)


@pytest.mark.parametrize("text", ["", "1,2,3", "1,2,3,0", "-1,2,3,4", "a,b,c,d"])
def test_what_is_no_region_is_refused(text):
    with pytest.raises(ValueError, match=r"^--region is '.*': give LEFT,TOP,WIDTH,HEIGHT in pixels, like") as error:
        read_region(text)
    assert "\n" not in str(error.value)


def test_a_region_is_cut_out():
    pixels = picture(8, 9, 3)
    assert np.array_equal(cut(pixels, read_region("2, 1,4,5"), "x"), pixels[1:6, 2:6])
    with pytest.raises(ValueError, match=r"^--region 6,1,4,5 does not lie in a\.png, which is 9 x 8 pixels$"):
        cut(pixels, (6, 1, 4, 5), "a.png")
