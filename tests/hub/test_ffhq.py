"""The FFHQ-256 network in its full size, from a state dict to restored pixels, on random weights."""

import torch

from posteriori.hub.cards import load_card
from posteriori.hub.convert import convert_state_dict, unet_config
from posteriori.likelihoods import Gaussian
from posteriori.loop import sample
from posteriori.operators import GaussianBlur
from posteriori.priors.unet import PixelUNet, UNetPrior, auto_dtype
from posteriori.samplers import DPS
from posteriori.schedule import linear_betas


def test_the_ffhq_network_runs_two_dps_steps(ffhq_state_dict):
    from diffusers.models.unets.unet_2d import UNet2DModel

    flags = load_card("ffhq-256").flags
    net = UNet2DModel(**unet_config(flags))
    net.load_state_dict(convert_state_dict(ffhq_state_dict, flags), strict=True)
    shape = (3, 64, 64)  # its layers are those of 256 pixels, for a sixteenth of the time
    prior = UNetPrior(PixelUNet(net), linear_betas(), shape, dtype=auto_dtype())
    blur = GaussianBlur(prior.shape)
    x = torch.rand(1, *shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    y = Gaussian.simulate(x, blur, 0.05).y
    stats = []
    restored = sample(
        prior,
        Gaussian(y, blur, 0.05),
        DPS(steps=2, scale=0.3),
        progress=False,
        callbacks=[lambda state, step, steps, rows: stats.append(state.stats["gradient"].item())],
    )
    assert restored.shape == (1, 1, *shape)
    assert torch.isfinite(restored).all()
    assert len(stats) == 2
    assert min(stats) > 0
