"""Masks that are drawn, and colour that is lost."""

import numpy as np
import pytest
import torch
from PIL import Image

from posteriori.operators import Bayer, ChannelLoss, Grey, LineMask, Outpaint, RandomMask
from tests.helpers import normal

SHAPE = (3, 24, 30)


def test_random_pixels_are_hidden_in_all_channels():
    mask = RandomMask(SHAPE, share=0.7, seed=3)
    hidden = ~mask.keep
    assert hidden.float().mean() == pytest.approx(0.7)
    assert (hidden == hidden[:1]).all()
    assert torch.equal(mask.keep, RandomMask(SHAPE, share=0.7, seed=3).keep)
    assert not torch.equal(mask.keep, RandomMask(SHAPE, share=0.7, seed=4).keep)
    assert abs(hidden[0, :12].float().mean() - hidden[0, 12:].float().mean()) < 0.15
    assert not RandomMask(SHAPE, share=0.0).keep.logical_not().any()


def test_the_surroundings_are_hidden():
    keep = Outpaint(SHAPE, margin=5).keep
    assert keep[:, 5:-5, 5:-5].all()
    assert keep.sum() == 3 * 14 * 20
    assert Outpaint((3, 64, 80)).margin == 16


def test_lines_go_from_side_to_side():
    hidden = ~LineMask((3, 64, 80), count=2, width=2).keep[0]
    assert hidden.any(0).all()  # one of them from left to right
    assert hidden.any(1).all()  # and one from top to bottom
    assert 1.5 * 144 < hidden.sum() < 3.5 * 144
    assert (~LineMask((3, 64, 80), count=9, width=4).keep[0]).sum() > 4 * hidden.sum()


def test_grey_is_the_weighted_mean_and_pillows_luma():
    x = normal(2, *SHAPE)
    torch.testing.assert_close(Grey(SHAPE)(x), x.mean(1, keepdim=True), atol=1e-3, rtol=0)
    pixels = np.random.default_rng(0).integers(0, 256, (24, 30, 3), dtype=np.uint8)
    luma = np.array(Image.fromarray(pixels).convert("L"))
    ours = Grey(SHAPE, "rec601")(torch.from_numpy(pixels).permute(2, 0, 1)[None].double())
    np.testing.assert_allclose(ours[0, 0].numpy(), luma, atol=0.6)
    assert Grey(SHAPE).measured_shape == (1, 24, 30)
    assert Grey.image_shape((1, 24, 30)) == SHAPE


def test_the_mosaic_has_the_published_phase():
    colour_at = Bayer(SHAPE).keep.int().argmax(0)
    assert (Bayer(SHAPE).keep.sum(0) == 1).all()
    assert colour_at[:2, :2].tolist() == [[2, 1], [1, 0]]  # blue, green; green, red
    assert torch.equal(colour_at, colour_at[:2, :2].repeat(12, 15))


def test_a_channel_is_missing():
    keep = ChannelLoss(SHAPE, "green").keep
    assert keep[[0, 2]].all()
    assert not keep[1].any()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomMask(SHAPE, share=1.0), "the mask hides every pixel: nothing is left to restore from"),
        (lambda: RandomMask(SHAPE, share=1.2), "share is 1.2: give a finite number from 0 up to 1"),
        (lambda: Outpaint(SHAPE, margin=12), "the mask hides every pixel"),
        (lambda: LineMask(SHAPE, width=500), "the mask hides every pixel"),
        (lambda: Grey((1, 8, 8)), r"grey takes colour images, and these are \(1, 8, 8\)"),
        (lambda: Bayer((6,)), r"bayer takes colour images, and these are \(6,\)"),
        (lambda: ChannelLoss(SHAPE, "cyan"), "channel is 'cyan': give one of red, green, blue"),
    ],
)
def test_what_is_wrong_is_said(make, message):
    with pytest.raises(ValueError, match=message):
        make()
