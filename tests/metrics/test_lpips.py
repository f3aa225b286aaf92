from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from posteriori.metrics import lpips

GOLDEN = load_file(Path(__file__).parents[1] / "golden" / "lpips.safetensors")


@pytest.mark.parametrize("size", [64, 256])
def test_distances_of_the_lpips_package(size):
    found = lpips(GOLDEN[f"a{size}"], GOLDEN[f"b{size}"])
    torch.testing.assert_close(found, GOLDEN[f"d{size}"], rtol=0, atol=1e-5)


def test_distance_is_symmetric():
    a, b = GOLDEN["a64"], GOLDEN["b64"]
    torch.testing.assert_close(lpips(a, b), lpips(b, a))
