import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from posteriori import metrics
from posteriori.metrics import kernel_distance, kernel_distance_interval, pooled_features

SHIFT = 0.6


def uniform(n, seed, shift=0.0):
    """Numbers on [-1, 1], moved by ``shift``: (n, 1)."""
    return 2 * torch.rand(n, 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) - 1 + shift


def truth(shift):
    """(ab + 1)^3 compares the first three moments, 3 (dm_1)^2 + 3 (dm_2)^2 + (dm_3)^2: here those of ``uniform``."""
    return 3 * shift**2 + 3 * shift**4 + (shift**3 + shift) ** 2


def test_kernel_distance_is_the_double_sum():
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    y = torch.randn(3, 4, generator=torch.Generator().manual_seed(1)) + 1

    def k(a, b):
        return (sum(float(u) * float(v) for u, v in zip(a, b, strict=True)) / 4 + 1) ** 3

    within_x = sum(k(x[i], x[j]) for i in range(5) for j in range(5) if i != j) / (5 * 4)
    within_y = sum(k(y[i], y[j]) for i in range(3) for j in range(3) if i != j) / (3 * 2)
    between = sum(k(a, b) for a in x for b in y) / (5 * 3)
    assert kernel_distance(x, y) == pytest.approx(within_x + within_y - 2 * between, rel=1e-9)


@pytest.mark.parametrize("shift", [0.0, SHIFT])
def test_kernel_distance_has_no_bias(shift):
    found = torch.tensor([kernel_distance(uniform(6, 2 * i), uniform(9, 2 * i + 1, shift)) for i in range(2000)])
    assert abs(found.mean() - truth(shift)) < 4 * found.std() / math.sqrt(len(found))


def test_the_interval_covers_the_true_distance():
    covered, sides = 0, [0, 0]
    for i in range(300):
        x, y = uniform(40, 2 * i), uniform(60, 2 * i + 1, SHIFT)
        low, high = kernel_distance_interval(x, y, draws=200, seed=i)
        assert low < kernel_distance(x, y) < high
        covered += low <= truth(SHIFT) <= high
        sides[0] += truth(SHIFT) < low
        sides[1] += truth(SHIFT) > high
    assert 0.9 < covered / 300 < 0.99
    assert max(sides) < 25  # on both sides alike, 7.5 expected


def test_the_interval_of_one_distribution_is_wide_but_holds_zero():
    intervals = [kernel_distance_interval(uniform(40, 2 * i), uniform(40, 2 * i + 1), draws=200) for i in range(100)]
    assert sum(low <= 0 <= high for low, high in intervals) >= 95


def test_the_interval_is_a_function_of_its_seed_and_narrows_with_the_rows():
    x, y = uniform(400, 0), uniform(400, 1, SHIFT)
    low, high = kernel_distance_interval(x, y, seed=3)
    assert (low, high) == kernel_distance_interval(x, y, seed=3)
    assert (low, high) != kernel_distance_interval(x, y, seed=4)
    few = kernel_distance_interval(x[:100], y[:100], seed=3)
    assert (few[1] - few[0]) / (high - low) == pytest.approx(2, rel=0.25)  # the square root of 4


def test_two_rows_are_enough():
    low, high = kernel_distance_interval(uniform(2, 0), uniform(2, 1))
    assert low <= high  # though half of the resamplings hold one row only


@pytest.mark.parametrize(("x", "y"), [((1, 4), (3, 4)), ((3, 4), (1, 4)), ((3, 4), (3, 5)), ((3,), (3,))])
def test_what_has_no_distance(x, y):
    for function in (kernel_distance, kernel_distance_interval):
        with pytest.raises(ValueError, match=r"give \(M, d\) and \(N, d\), at least 2 rows each"):
            function(torch.zeros(x), torch.zeros(y))


def test_features_are_alexnets_fifth_rectified_and_averaged():
    weights = load_file(Path(metrics.__file__).with_name("lpips-alexnet.safetensors"))
    x = 2 * torch.rand(70, 3, 40, 33, generator=torch.Generator().manual_seed(0)) - 1
    # what the authors of LPIPS do: [-1, 1] to ImageNet's normalisation, then torchvision's alexnet.features
    h = (x - torch.tensor([-0.030, -0.088, -0.188])[:, None, None]) / torch.tensor([0.458, 0.448, 0.450])[:, None, None]
    for i, (stride, padding) in enumerate([(4, 2), (1, 2), (1, 1), (1, 1), (1, 1)]):
        h = F.relu(F.conv2d(h, weights[f"features.{i}.weight"], weights[f"features.{i}.bias"], stride, padding))
        if i in (0, 1):
            h = F.max_pool2d(h, 3, 2)
    found = pooled_features(x)
    assert (found.shape, found.dtype) == ((70, 256), torch.float64)
    torch.testing.assert_close(found, h.mean((2, 3)).double(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("x", [torch.zeros(2, 3, 30, 64), torch.zeros(3, 64, 64), torch.zeros(2, 3, 64, 64).byte()])
def test_what_has_no_features(x):
    with pytest.raises(ValueError, match=r"give floating-point pictures on \[-1, 1\], .* at least 31 pixels"):
        pooled_features(x)
