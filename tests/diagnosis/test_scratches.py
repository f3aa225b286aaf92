"""Scratches told from a picture's own lines."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from scipy.ndimage import binary_dilation

from posteriori.diagnosis.scratches import find_scratches
from posteriori.images.files import load_image, to_tensor


def scratched(name: str) -> tuple[torch.Tensor, np.ndarray]:
    """A bundled picture in grey with eight lines of two pixels, and where they are."""
    grey = np.asarray(load_image(name)[0].mean(0))
    picture = Image.fromarray((127.5 * (grey + 1)).astype(np.uint8))
    lines = Image.new("L", picture.size)
    rng = np.random.default_rng(0)
    for _ in range(8):
        x, y = rng.uniform(0, picture.width), rng.uniform(0, 0.5 * picture.height)
        ends = [x, y, x + rng.normal(0, 20), y + rng.uniform(50, 120)]
        ImageDraw.Draw(lines).line(ends, 255, 2)
    where = np.asarray(lines) > 0
    return to_tensor(np.where(where, 250, picture)[..., None].repeat(3, 2).astype(np.uint8)), where


@pytest.mark.parametrize("name", ["chelsea", "coffee"])
def test_a_clean_picture_has_no_sure_scratches(name):
    found = find_scratches(load_image(name))
    assert found is None or not found.sure


@pytest.mark.parametrize("name", ["chelsea", "coffee"])
def test_scratches_are_found_where_they_are(name):
    x, where = scratched(name)
    found = find_scratches(x)
    assert found is not None
    assert found.sure
    assert found.mask[where].mean() > 0.8
    assert (found.mask & ~binary_dilation(where, np.ones((9, 9)))).mean() < 0.02
