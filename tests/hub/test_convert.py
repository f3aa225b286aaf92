"""guided-diffusion networks in diffusers' U-Net compute what the official code computed."""

import pytest
import torch

from posteriori.hub.cards import load_card
from posteriori.hub.convert import complete_flags, convert_state_dict, flags_from_shapes, unet_config


@pytest.mark.parametrize("name", ["adm-small", "adm-small-2"])
def test_output_and_gradient_are_the_recorded_ones(recorded, network, name):
    state, flags, io = recorded(name)
    x = io["x"].clone().requires_grad_()
    out = network(state, flags)(x, io["t"])
    (grad,) = torch.autograd.grad(out[:, :3].flatten(1).norm(dim=1).sum(), x)
    assert (out - io["out"]).abs().max() < 1e-4
    assert (grad - io["grad"]).abs().max() < 1e-4


@pytest.mark.parametrize(
    "wrong", [{"use_new_attention_order": True}, {"num_head_channels": 16}], ids=["qkv order", "head size"]
)
def test_a_wrong_choice_shows(adm_small, network, wrong):
    out = network(adm_small.state, adm_small.flags | wrong)(adm_small.io["x"], adm_small.io["t"])
    assert (out - adm_small.io["out"]).abs().max() > 1e-2


@pytest.mark.parametrize(
    "wrong", [{"flip_sin_to_cos": False}, {"freq_shift": 1}, {"norm_eps": 1e-6}, {"norm_num_groups": 16}]
)
def test_a_wrong_configuration_shows(adm_small, wrong):
    from diffusers import UNet2DModel

    net = UNet2DModel(**unet_config(adm_small.flags) | wrong)
    net.load_state_dict(convert_state_dict(adm_small.state, adm_small.flags))
    with torch.no_grad():
        out = net(adm_small.io["x"], adm_small.io["t"]).sample
    assert (out - adm_small.io["out"]).abs().max() > 1e-4


def test_the_new_qkv_order_is_the_legacy_one_with_rows_moved(adm_small):
    head = adm_small.flags["num_head_channels"]
    moved = {
        k: v.unflatten(0, (-1, 3, head)).transpose(0, 1).flatten(0, 2) if ".qkv." in k else v
        for k, v in adm_small.state.items()
    }
    legacy = convert_state_dict(adm_small.state, adm_small.flags)
    new = convert_state_dict(moved, adm_small.flags | {"use_new_attention_order": True})
    assert all(torch.equal(legacy[k], new[k]) for k in legacy)


@pytest.mark.parametrize("name", ["adm-small", "adm-small-2"])
def test_shapes_tell_the_flags(recorded, name):
    state, flags, _ = recorded(name)
    found = flags_from_shapes(state, 64)
    assert found == {k: flags[k] for k in found}
    unseen = {k: flags[k] for k in ("image_size", "num_head_channels", "use_new_attention_order")}
    assert unet_config(complete_flags(state, unseen)) == unet_config(flags)


@pytest.mark.parametrize("absent", ["image_size", "num_head_channels", "use_new_attention_order"])
def test_what_shapes_do_not_tell_must_be_given(adm_small, absent):
    given = {k: v for k, v in adm_small.flags.items() if k != absent}
    with pytest.raises(ValueError, match=f"do not tell {absent}: give --config FILE"):
        complete_flags(adm_small.state, given)


def test_the_full_size_network_converts(ffhq_state_dict):
    from diffusers import UNet2DModel

    flags = load_card("ffhq-256").flags
    found = flags_from_shapes(ffhq_state_dict, 256)
    assert found == {k: flags[k] for k in found}
    converted = convert_state_dict(ffhq_state_dict, flags)
    with torch.device("meta"):
        net = UNet2DModel(**unet_config(flags))
    net.load_state_dict(converted, strict=True, assign=True)
    assert len(ffhq_state_dict) == 362
    assert sum(p.numel() for p in net.parameters()) == 93_563_910


def test_the_imagenet_card_gives_a_network():
    config = unet_config(load_card("256x256_diffusion_uncond").flags)
    assert config["block_out_channels"] == [256, 256, 512, 512, 1024, 1024]
    assert [kind.startswith("Attn") for kind in config["down_block_types"]] == [False, False, False, True, True, True]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"class_cond": True}, "class_cond is True"),
        ({"resblock_updown": False}, "resblock_updown is False"),
        ({"use_scale_shift_norm": False}, "use_scale_shift_norm is False"),
        ({"num_head_channels": -1}, "num_head_channels is -1"),
        ({"channel_mult": "0.5,1,2"}, "whole numbers"),
        ({"attention_resolutions": "17"}, "attention_resolutions '17'"),
        ({"num_channels": 24}, "multiples of 32"),
    ],
)
def test_unsupported_flags_are_refused(adm_small, wrong, message):
    with pytest.raises(ValueError, match=message):
        unet_config(adm_small.flags | wrong)


def test_other_keys_and_shapes_are_refused(adm_small):
    state, flags, _ = adm_small
    with pytest.raises(ValueError, match=r"missing out\.2\.bias; unexpected none"):
        convert_state_dict({k: v for k, v in state.items() if k != "out.2.bias"}, flags)
    with pytest.raises(ValueError, match=r"missing none; unexpected label_emb\.weight"):
        convert_state_dict(state | {"label_emb.weight": torch.zeros(1)}, flags)
    with pytest.raises(ValueError, match=r"out\.2\.weight has shape \(6, 32, 3, 3\), the configuration gives \(3, 32"):
        convert_state_dict(state, flags | {"learn_sigma": False})
    with pytest.raises(ValueError, match="missing"):
        convert_state_dict(state, flags | {"attention_resolutions": "32,16"})
    with pytest.raises(ValueError, match="not a guided-diffusion U-Net"):
        flags_from_shapes({"weight": torch.zeros(3, 3)}, 64)
