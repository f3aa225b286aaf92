"""Blurs by any kernel, at every border, beside scipy; kernels from files."""

from itertools import product

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import convolve, uniform_filter
from scipy.signal import convolve2d

from posteriori.arrays import Array
from posteriori.images.files import load_image
from posteriori.likelihoods.gaussian import Gaussian, LinearGaussian, SVDGaussian
from posteriori.operators import Blur, BoxBlur, Defocus, GaussianBlur, MotionBlur
from posteriori.operators import blur as blurs
from posteriori.settings.text import format_spec, parse_operator, read_operator
from tests.helpers import normal

SHAPE = (3, 20, 17)
SCIPY = {"reflect": "mirror", "circular": "wrap", "replicate": "nearest"}
KERNELS = {"lopsided": normal(5, 4, seed=1).numpy() + 1, "product": np.outer([1, 2, 3.0], [1, 0.5, 4, 2, 1])}


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
@pytest.mark.parametrize("border", ["reflect", "circular", "replicate", "valid"])
def test_equals_scipy(kernel, border):
    x = normal(2, *SHAPE)
    blur = Blur(SHAPE, kernel, border=border)
    k, pictures = kernel / kernel.sum(), x.double().numpy()
    if border == "valid":
        expected = np.stack([[convolve2d(own, k, mode="valid") for own in row] for row in pictures])
    else:
        expected = convolve(pictures, k[None, None], mode=SCIPY[border])
    assert blur(x).shape == (2, *blur.measured_shape)
    np.testing.assert_allclose(blur(x).numpy(), expected, atol=3e-6)
    if blur.svd:
        np.testing.assert_allclose(blur.svd(x).numpy(), expected, atol=3e-6)


@pytest.mark.parametrize("border", SCIPY)
@pytest.mark.parametrize("size", [4, 5])
def test_the_box_is_scipys_uniform_filter(border, size):
    x = normal(1, *SHAPE)
    sides, origin = (0, 0, size, size), -(1 - size % 2)  # which has it further up and left where the size is even
    expected = uniform_filter(x.double().numpy(), sides, mode=SCIPY[border], origin=(0, 0, origin, origin))
    np.testing.assert_allclose(BoxBlur(SHAPE, size, border=border)(x).numpy(), expected, atol=2e-6)


@pytest.mark.parametrize("radius", [0.3, 1.0, 2.4, 5.7])
def test_the_disc_has_the_area_of_each_pixel_inside(radius):
    weights = Defocus((1, 32, 32), radius).weights
    reached = len(weights) // 2
    x = (np.arange(2000) + 0.5) / 2000 - 0.5
    area = np.zeros_like(weights)
    for (row, column), _ in np.ndenumerate(weights):
        height = np.sqrt(np.clip(radius**2 - (x + column - reached) ** 2, 0, None))
        low, high = row - reached - 0.5, row - reached + 0.5
        area[row, column] = (np.clip(height, low, high) - np.clip(-height, low, high)).mean()
    assert area.sum() == pytest.approx(np.pi * radius**2, rel=1e-3)
    np.testing.assert_allclose(weights * area.sum(), area, atol=0.01)


def test_motion_has_a_seeded_path_of_the_published_length():
    kernels = [MotionBlur((3, 256, 256), seed=seed).weights for seed in range(24)]
    assert np.array_equal(kernels[3], MotionBlur((1, 64, 64), size=61, seed=3, border="valid").weights)
    assert not np.array_equal(kernels[3], kernels[4])
    for kernel in kernels:
        assert kernel.shape == (61, 61)
        assert kernel.min() >= 0
        assert kernel.sum() == pytest.approx(1)
    # the canvas is twice the size: 0.75 * 172 / 2 * (1/2 + 1/8) pixels on average, and a line is about 2 wide
    drawn = np.mean([(kernel > 0.05 * kernel.max()).sum() for kernel in kernels])
    assert 0.5 < drawn / (0.75 * 61 * 2**0.5 * 0.625 * 2.5) < 1.5


@pytest.mark.parametrize("size", [3, 15, 31, 61])
def test_motion_is_centred_and_moves_at_every_size(size):
    wide = []
    for intensity, seed in product((0.0, 0.5, 1.0), range(12)):
        kernel = MotionBlur((3, 64, 64), size=size, seed=seed, intensity=intensity).weights
        places = np.indices(kernel.shape) - size // 2
        assert np.abs((kernel * places).sum((1, 2))).max() < 0.5
        wide.append(np.sqrt((kernel * places**2).sum()) / size)
    assert 0.15 < np.median(wide) < 0.35  # a straight path of the mean length, 0.53 sides, has 0.15; cut ones 0.29


def test_the_kind_of_likelihood_follows_the_border_and_the_kernel():
    def kind(blur):
        return type(Gaussian(torch.zeros(1, *blur.measured_shape), blur, 0.1))

    assert kind(Blur(SHAPE, KERNELS["lopsided"])) is LinearGaussian
    assert kind(Blur(SHAPE, KERNELS["lopsided"], border="circular")) is SVDGaussian
    assert kind(Blur(SHAPE, KERNELS["product"], border="valid")) is SVDGaussian
    assert kind(Defocus(SHAPE)) is LinearGaussian


@pytest.mark.parametrize("cls", [Blur, BoxBlur, Defocus, GaussianBlur, MotionBlur])
def test_valid_takes_in_what_lies_beyond_the_frame(cls):
    blur = read_operator(f"{cls.name}(border=valid)").build((3, 80, 90))
    top, left, height, width = blur.frame
    assert blur.measured_shape == (3, height, width)
    assert blur.image_shape(blur.measured_shape, border="valid") == blur.shape
    x = normal(1, *blur.shape)
    same = cls(blur.shape, border="reflect")(x)[..., top : top + height, left : left + width]
    torch.testing.assert_close(blur(x), same, atol=1e-5, rtol=0)
    y = blur(x)
    first = blur.initial_estimate(y)
    assert torch.equal(first[..., top : top + height, left : left + width], y)
    assert torch.equal(first[..., 0, 0], y[..., 0, 0])


def test_kernels_from_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = np.array([[0, 51, 0], [102, 255, 0]], dtype=np.uint8)
    Image.fromarray(values).save("my kernel.png")
    np.save("k.npy", values.astype(np.float32))
    for text in ("blur(kernel=k.npy, border=circular)", "blur(kernel='my kernel.png', border=circular)"):
        blur = parse_operator(text, SHAPE)
        assert blur == Blur(SHAPE, torch.from_numpy(values), border="circular") or "png" in text
        np.testing.assert_allclose(blur.weights, values / values.sum())
        assert parse_operator(format_spec(blur), SHAPE) == blur
    assert format_spec(parse_operator("blur(kernel=k.npy)", SHAPE)).startswith("blur(kernel=k.npy#")
    text = format_spec(parse_operator("blur(kernel=k.npy)", SHAPE))
    np.save("k.npy", values[:1])
    with pytest.raises(ValueError, match=r"k.npy has changed: its sha256 begins with .* \(at character 13 of "):
        parse_operator(text, SHAPE)
    with pytest.raises(ValueError, match="an array has no text: save it with"):
        format_spec(Blur(SHAPE, values))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Blur(SHAPE, np.ones(5)), r"the kernel has shape \(5,\): give two dimensions"),
        (lambda: Blur(SHAPE, np.ones((3, 3, 3))), r"the kernel has shape \(3, 3, 3\): give two dimensions"),
        (lambda: Blur(SHAPE, np.ones((0, 3))), r"the kernel has shape \(0, 3\): give two dimensions"),
        (lambda: Blur(SHAPE, np.array([[1.0, -1.0]])), "the kernel sums to zero"),
        (lambda: Blur(SHAPE, np.zeros((3, 3))), "the kernel sums to zero"),
        (lambda: Blur(SHAPE, np.array([[1.0, np.nan]])), "the array holds NaN or infinity"),
        (lambda: Blur(SHAPE, np.array([[1j]])), "the array holds complex128: give real numbers"),
        (lambda: Blur(SHAPE, np.ones((3, 61))), "a blur that reaches 30 pixels is too wide for 20 x 17"),
        (lambda: Blur(SHAPE, np.ones((3, 61)), border="valid"), "a kernel of 61 pixels leaves nothing of 20 x 17"),
        (lambda: Blur(SHAPE, border="odd"), "border is 'odd': give one of reflect, circular, replicate, valid"),
        (lambda: Defocus(SHAPE, radius=-1.0), "radius is -1.0: give a finite number above 0"),
        (lambda: MotionBlur(SHAPE, intensity=1.5), "intensity is 1.5: give a finite number from 0 up to 1"),
        (lambda: MotionBlur(SHAPE, size=4), "size is 4: give an odd number"),
        (lambda: parse_operator("blur(kernel=none.npy)", SHAPE), r"none.npy cannot be read .*\(at character 13 of"),
        (lambda: parse_operator("blur(kernel=3)", SHAPE), "kernel takes a file or none, got '3'"),
    ],
)
def test_what_is_no_kernel_is_said_in_one_line(make, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message) as error:
        make()
    assert "\n" not in str(error.value)


def test_an_array_is_known_by_its_content():
    assert Array(np.ones((2, 3))) == Array(torch.ones(2, 3))
    assert hash(Array(np.ones((2, 3)))) == hash(Array(Array(np.ones((2, 3)))))
    assert Array(np.ones((2, 3))) != Array(np.ones((3, 2)))


def test_a_photograph_rings_along_its_frame_unless_the_light_from_beyond_is_modelled():
    scene = load_image("coffee")[..., 100:180, 150:240]
    blur = Defocus(tuple(scene.shape[1:]), radius=4.0, border="valid")
    top, left, height, width = blur.frame
    seen = slice(top, top + height), slice(left, left + width)
    y = blur(scene) + 0.01 * normal(1, *blur.measured_shape)
    edge = torch.ones(height, width, dtype=torch.bool)
    edge[8:-8, 8:-8] = False
    error = {}
    for border in ("valid", "reflect", "replicate", "circular"):
        operator = blur if border == "valid" else Defocus(blur.measured_shape, radius=4.0, border=border)
        x = operator.prox(operator.initial_estimate(y), y, 3e-3)
        x = x[..., seen[0], seen[1]] if border == "valid" else x
        off = (x - scene[..., seen[0], seen[1]]).square()
        error[border] = off[..., edge].mean().sqrt()
    assert error["valid"] < error["replicate"]
    assert all(error["valid"] < 0.8 * error[border] for border in ("reflect", "circular")), error


@pytest.mark.parametrize("border", ["reflect", "circular", "replicate", "valid"])
@pytest.mark.parametrize("operator", [GaussianBlur, BoxBlur])
def test_a_large_picture_is_blurred_by_the_fourier_transform_alike(operator, border, monkeypatch):
    shape = (3, 40, 52)
    small = operator(shape, border=border, size=9)
    x, z = normal(2, *shape), normal(2, *shape, seed=2)
    y = small(x) + 0.05 * normal(2, *small.measured_shape, seed=3)
    monkeypatch.setattr(blurs, "LARGE", 50)
    large = operator(shape, border=border, size=9)
    assert large._fourier
    torch.testing.assert_close(large(x), small(x), atol=1e-5, rtol=0)
    torch.testing.assert_close(large.adjoint(y), small.adjoint(y), atol=1e-5, rtol=0)

    def cost(x, rho):
        return (y - small(x)).square().sum() + rho * (x - z).square().sum()

    for rho in (1e-3, 0.1):
        found, exact = large.prox(z, y, rho), small.prox(z, y, rho)
        normal_equations = small.adjoint(small(found) - y) + rho * (found - z)
        start = small.adjoint(small(z) - y)
        assert normal_equations.norm() < 2e-3 * start.norm()
        assert cost(found, rho) < 1.001 * cost(exact, rho)
