"""Priors as folders: what is written is what diffusers loads, and comes back the same."""

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load, load_file, save_file

from posteriori.hub.contents import read_folder
from posteriori.hub.folder import load_folder, save_folder
from posteriori.hub.scheduler import schedule_from_config
from posteriori.hub.stored import STEM, WEIGHTS, read_weights
from posteriori.likelihoods import Flat
from posteriori.loop import sample
from posteriori.priors.unet import PixelUNet
from posteriori.rng import Tape
from posteriori.samplers import DDIM
from posteriori.schedule import Level, VPSchedule, cosine_betas, linear_betas

SAVED = {"prediction": "epsilon", "size": 16, "name": "tiny", "licence": "none"}


def tiny(patch: int = 2) -> PixelUNet:
    from diffusers import UNet2DModel

    torch.manual_seed(0)
    return PixelUNet(
        UNet2DModel(
            sample_size=16 // patch,
            in_channels=3 * patch**2,
            out_channels=3 * patch**2,
            block_out_channels=(8, 16),
            layers_per_block=1,
            down_block_types=("DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D"),
            norm_num_groups=4,
            attention_head_dim=8,
        ),
        patch,
    )


def test_a_folder_comes_back_the_same(tmp_path):
    net, schedule = tiny(), linear_betas()
    save_folder(tmp_path / "p", net, schedule, **SAVED, dtype=torch.float32)
    prior = load_folder(tmp_path / "p")
    assert prior.shape == (3, 16, 16)
    assert np.array_equal(prior.schedule.betas, schedule.betas)
    state = net.state_dict()
    assert all(torch.equal(v, state[k]) for k, v in prior.net.state_dict().items())
    x, time = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)), torch.tensor([17.0, 500.0])
    with torch.no_grad():
        torch.testing.assert_close(prior.net(x, time), net.eval()(x, time))
    folder = read_folder(tmp_path / "p")
    assert (folder.name, folder.sides, folder.patch, folder.licence) == ("tiny", (16, 16), 2, "none")
    assert not list(tmp_path.glob(".*"))
    assert len({file.stat().st_mode for file in (tmp_path / "p").iterdir()}) == 1


def test_diffusers_loads_it(tmp_path):
    from diffusers import DDPMScheduler, UNet2DModel

    net = tiny(1)
    save_folder(tmp_path / "p", net, cosine_betas(), **SAVED | {"prediction": "v_prediction"})
    theirs = UNet2DModel.from_pretrained(tmp_path / "p", low_cpu_mem_usage=False, torch_dtype=torch.float32)
    stored = {k: v.half().float() for k, v in net.net.state_dict().items()}
    assert all(torch.equal(v, stored[k]) for k, v in theirs.state_dict().items())
    scheduler = DDPMScheduler.from_pretrained(tmp_path / "p")
    assert scheduler.config.prediction_type == "v_prediction"
    np.testing.assert_allclose(scheduler.betas, cosine_betas().betas, rtol=1e-5)


def test_weights_are_half_precision_on_disk_and_single_here(tmp_path):
    save_folder(tmp_path / "p", tiny(), linear_betas(), **SAVED)
    assert {v.dtype for v in load_file(tmp_path / "p" / WEIGHTS).values()} == {torch.float16}
    assert {p.dtype for p in load_folder(tmp_path / "p").net.parameters()} == {torch.float32}


def test_weights_that_do_not_fit_are_refused(tmp_path):
    net = tiny()
    torch.nn.init.constant_(net.net.conv_in.bias, 1e5)
    with pytest.raises(ValueError, match=r"conv_in\.bias .* not finite in torch\.float16: store torch\.float32"):
        save_folder(tmp_path / "p", net, linear_betas(), **SAVED)
    assert not list(tmp_path.iterdir())


def test_a_pipeline_folder_is_read(tmp_path):
    from diffusers import DDPMPipeline, DDPMScheduler

    net = tiny(1)
    DDPMPipeline(net.net, DDPMScheduler(beta_schedule="scaled_linear")).save_pretrained(tmp_path / "pipe")
    prior = load_folder(tmp_path / "pipe")
    assert prior.shape == (3, 16, 16)
    assert all(torch.equal(v, net.net.state_dict()[k]) for k, v in prior.net.net.state_dict().items())


@pytest.mark.parametrize("name", ["linear", "scaled_linear", "squaredcos_cap_v2"])
def test_schedules_are_diffusers_own(name):
    from diffusers import DDPMScheduler

    theirs = DDPMScheduler(beta_schedule=name, beta_start=2e-4, beta_end=0.01, num_train_timesteps=500)
    np.testing.assert_allclose(schedule_from_config(theirs.config).betas, theirs.betas, rtol=2e-5)


@pytest.mark.parametrize(
    ("schedule", "named"),
    [
        (linear_betas(), "linear"),
        (linear_betas(100, 1e-3, 0.2), "linear"),
        (cosine_betas(), "squaredcos_cap_v2"),
        (VPSchedule(np.linspace(1e-2, 0.1, 50) ** 2), None),
    ],
)
def test_schedules_come_back_exactly(tmp_path, schedule, named):
    save_folder(tmp_path / "p", tiny(), schedule, **SAVED)
    written = json.loads((tmp_path / "p" / "scheduler_config.json").read_text())
    assert (written["trained_betas"] is None) == (named is not None)
    assert named is None or written["beta_schedule"] == named
    assert np.array_equal(schedule_from_config(written).betas, schedule.betas)


def test_other_schedules_are_refused():
    with pytest.raises(ValueError, match="beta_schedule is 'sigmoid': there are linear, scaled_linear"):
        schedule_from_config({"beta_schedule": "sigmoid"})
    with pytest.raises(ValueError, match="beta_schedule is None"):
        schedule_from_config({"sigma_max": 80.0})
    with pytest.raises(ValueError, match="rescale_betas_zero_snr"):
        schedule_from_config({"beta_schedule": "linear", "rescale_betas_zero_snr": True})


def test_a_folder_is_not_overwritten_unasked(tmp_path):
    path = tmp_path / "p"
    path.mkdir()
    save_folder(path, tiny(), linear_betas(), **SAVED)  # empty: fine
    with pytest.raises(FileExistsError, match="already holds a prior"):
        save_folder(path, tiny(), linear_betas(), **SAVED)
    save_folder(path, tiny(), linear_betas(), **SAVED | {"name": "second"}, overwrite=True)
    assert read_folder(path).name == "second"
    (path / "thesis.tex").touch()
    with pytest.raises(FileExistsError, match=r"thesis\.tex, which is not part of a prior"):
        save_folder(path, tiny(), linear_betas(), **SAVED, overwrite=True)


def test_broken_folders_say_what_is_wrong(tmp_path):
    path = tmp_path / "p"
    with pytest.raises(FileNotFoundError, match=r"it has no config\.json"):
        load_folder(path)
    save_folder(path, tiny(), linear_betas(), **SAVED)
    weights = (path / WEIGHTS).read_bytes()
    (path / WEIGHTS).write_bytes(weights[:-100])
    with pytest.raises(ValueError, match=r"cannot be loaded .*: get it again"):
        load_folder(path)
    state = load(weights)
    save_file({k: v for k, v in state.items() if k != "conv_out.bias"}, path / WEIGHTS, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"conv_out\.bias is missing"):
        load_folder(path)
    (path / WEIGHTS).write_bytes(weights)
    for file, values, message in [
        ("config.json", {"_class_name": "UNet2DConditionModel"}, "is a UNet2DConditionModel"),
        ("scheduler_config.json", {"prediction_type": "flow"}, "prediction_type is 'flow': give one of epsilon"),
    ]:
        kept = (path / file).read_text()
        (path / file).write_text(json.dumps(json.loads(kept) | values))
        with pytest.raises(ValueError, match=message):
            load_folder(path)
        (path / file).write_text(kept)
    (path / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config\.json is not JSON"):
        load_folder(path)


def test_weights_that_may_not_be_read_are_not_called_missing(monkeypatch, tmp_path):
    weights = tmp_path / WEIGHTS
    save_file({"w": torch.zeros(1)}, weights)

    def closed(*_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "open", closed)  # as the superuser may read everything
    with pytest.raises(
        PermissionError, match=r"safetensors cannot be read \(Permission denied\): change its permissions"
    ):
        read_weights((weights,))


@pytest.fixture
def flow_folder(tmp_path):
    """A folder as diffusers writes it, of a network that was trained by flow matching."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    tiny(1).net.save_pretrained(tmp_path / "flow")
    FlowMatchEulerDiscreteScheduler().save_config(tmp_path / "flow")
    return tmp_path / "flow"


def test_a_flow_matching_folder_is_read_and_samples_as_in_diffusers(flow_folder):
    from diffusers import FlowMatchEulerDiscreteScheduler, UNet2DModel

    prior = load_folder(flow_folder)
    assert (prior.shape, prior.prediction, prior.schedule.levels) == ((3, 16, 16), "flow", 1000)
    net = UNet2DModel.from_pretrained(flow_folder)
    theirs = FlowMatchEulerDiscreteScheduler.from_pretrained(flow_folder)
    theirs.set_timesteps(5)
    start = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    x = start
    for time in theirs.timesteps:
        with torch.no_grad():
            x = theirs.step(net(x, time).sample, time, x).prev_sample
    sampler = DDIM(steps=5, eta=0.0, clip=False)
    own = sample(prior, Flat(2, prior.shape), sampler, rng=lambda _: Tape([start]), progress=False)[:, 0]
    torch.testing.assert_close(own, x, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"prediction_type": "epsilon"}, "prediction_type is 'epsilon': give one of flow"),
        ({"invert_sigmas": True}, "invert_sigmas is true"),
    ],
)
def test_another_flow_is_refused(flow_folder, values, message):
    file = flow_folder / "scheduler_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))
    with pytest.raises(ValueError, match=message):
        load_folder(flow_folder)


def test_a_flow_prior_takes_any_level(flow_folder):
    prior = load_folder(flow_folder)
    x_t = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    on_path, elsewhere = Level(0.25, 0.75, 0.25), Level(0.25, 1.0, 1 / 3)
    expected = x_t - 0.25 * prior.net(x_t, torch.tensor([250.0]))
    torch.testing.assert_close(prior.denoise(x_t, on_path).x0, expected)
    torch.testing.assert_close(prior.denoise(x_t / 0.75, elsewhere).x0, expected, atol=1e-5, rtol=1e-5)
    no_signal = prior.denoise(x_t, Level(1.0, 0.0, 1.0)).x0
    torch.testing.assert_close(no_signal, x_t - prior.net(x_t, torch.tensor([1000.0])))


def a_model(**config):
    from diffusers import UNet2DModel

    torch.manual_seed(0)
    given = {"sample_size": 16, "block_out_channels": (8, 16), "layers_per_block": 1, "norm_num_groups": 4}
    blocks = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2, "attention_head_dim": 8}
    return UNet2DModel(**given | blocks | config)


def stored(folder, model, **options):
    """``model`` as diffusers stores it, with a schedule beside it."""
    from diffusers import DDPMScheduler

    model.save_pretrained(folder, **options)
    DDPMScheduler().save_config(folder)
    return folder


AS_DIFFUSERS_STORES_IT = {
    "safetensors": ({}, {WEIGHTS}),
    "pickle": ({"safe_serialization": False}, {f"{STEM}.bin"}),
    "shards": ({"max_shard_size": "20KB"}, None),
    "shards of a variant": ({"max_shard_size": "20KB", "variant": "fp16"}, None),
    "variant": ({"variant": "fp16"}, {f"{STEM}.fp16.safetensors"}),
    "pickled variant": ({"variant": "fp16", "safe_serialization": False}, {f"{STEM}.fp16.bin"}),
}


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(("options", "files"), AS_DIFFUSERS_STORES_IT.values(), ids=AS_DIFFUSERS_STORES_IT)
def test_a_folder_is_read_however_diffusers_stored_it(tmp_path, options, files, known):
    model = a_model(act_fn="silu" if known else "gelu")  # of which diffusers' own network is taken
    folder = stored(tmp_path / "p", model, **options)
    found = {path.name for path in folder.iterdir() if path.name.startswith(STEM)}
    assert found == files if files else len(found) > 2
    prior = load_folder(folder)
    x, time = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)), torch.tensor([500.0])
    with torch.no_grad():
        torch.testing.assert_close(prior.net(x, time), model.eval()(x, time.expand(2)).sample)
    digest = read_folder(folder).sha256
    assert len(digest) == 64
    tensors = max((path for path in folder.iterdir() if path.name in found and path.suffix != ".json"), key=str)
    tensors.write_bytes(tensors.read_bytes()[:-1] + b"?")
    assert read_folder(folder).sha256 != digest, "all parts count"


def test_a_missing_part_of_the_weights_is_named(tmp_path):
    folder = stored(tmp_path / "p", a_model(), max_shard_size="20KB")
    lost = sorted(folder.glob("*-of-*.safetensors"))[0]
    lost.unlink()
    with pytest.raises(FileNotFoundError, match=rf"{lost.name} is missing or empty: get all parts"):
        read_folder(folder)


@pytest.mark.parametrize("name", [f"{STEM}.bin", WEIGHTS])
def test_damaged_weights_are_refused_and_run_no_code(tmp_path, name):
    folder = stored(tmp_path / "p", a_model())
    (folder / WEIGHTS).unlink()
    (folder / name).write_bytes(b"\x80\x04cos\nmkdir\n(X\x01\x00\x00\x00xtR.")
    with pytest.raises(ValueError, match=rf"{name} (cannot be loaded \(.*\): get it again|.* ran no code)") as error:
        load_folder(folder)
    assert "\n" not in str(error.value)


def test_a_prior_may_be_wider_than_high(tmp_path):
    prior = load_folder(stored(tmp_path / "p", a_model(sample_size=(16, 24))))
    assert prior.shape == (3, 16, 24)
    assert prior.denoise(torch.zeros(1, *prior.shape), prior.schedule.level(500)).x0.shape == (1, 3, 16, 24)


def test_a_prior_of_grey_pictures_sees_each_channel(tmp_path):
    model = a_model(in_channels=1, out_channels=1)
    prior = load_folder(stored(tmp_path / "p", model))
    assert prior.shape == (3, 16, 16)
    x, level = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)), prior.schedule.level(500)
    x0 = prior.denoise(x, level).x0
    torch.testing.assert_close(x0[1, 2], prior.prior.denoise(x[1:, 2:], level).x0[0, 0])
    assert prior.at(8).shape == (3, 8, 8)
    assert prior.shadow().device.type == "meta"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"time_embedding_type": "fourier"},
            "has a fourier time embedding, as networks of the VE process have: give one",
        ),
        ({"in_channels": 4, "out_channels": 4}, "has 4 channels: give a prior of pictures, with 1 or 3"),
        ({"out_channels": 4}, "has out_channels 4 for 3: give a network with as many"),
    ],
)
def test_other_networks_are_refused_before_any_work(tmp_path, config, message):
    folder = stored(tmp_path / "p", a_model(**config))
    (folder / WEIGHTS).write_bytes(b"never read")
    with pytest.raises(ValueError, match=message) as error:
        load_folder(folder)
    assert "\n" not in str(error.value)


def with_noisy(path, above=0.5):
    """A folder of two networks, of patches 2 and 4."""
    for patch, at in ((2, path), (4, path / "noisy")):
        save_folder(at, tiny(patch), linear_betas(), **SAVED, dtype=torch.float32)
    (path / "posteriori.json").write_text(json.dumps({"size": 16, "patch": 2, "noisy_above": above}))
    return path


def test_a_folder_may_have_a_network_of_noisy_levels(tmp_path):
    folder = with_noisy(tmp_path / "p")
    prior = load_folder(folder)
    assert (prior.shape, prior.stride, prior.any_size) == ((3, 16, 16), 8, False)
    x_t = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    (folder / "posteriori.json").write_text(json.dumps({"size": 16, "patch": 2}))
    for sigma, own in ((0.4, folder), (0.6, folder / "noisy")):
        t = prior.schedule.at_noise(sigma)
        assert torch.equal(prior.denoise(x_t, t).x0, load_folder(own).denoise(x_t, t).x0)


def test_both_networks_count_in_the_hash_of_a_folder(tmp_path):
    folder = with_noisy(tmp_path / "p")
    weights = folder / "noisy" / WEIGHTS
    assert read_folder(folder).bytes == (folder / WEIGHTS).stat().st_size + weights.stat().st_size
    before = read_folder(folder).sha256
    weights.write_bytes(weights.read_bytes() + b"\0")
    assert read_folder(folder).sha256 != before


def test_a_network_of_noisy_levels_that_is_missing_is_named(tmp_path):
    folder = with_noisy(tmp_path / "p")
    (folder / "noisy" / WEIGHTS).unlink()
    with pytest.raises(FileNotFoundError, match=rf"noisy is not a prior in diffusers' format: it has no {WEIGHTS}"):
        read_folder(folder)


@pytest.mark.parametrize("above", [-1, 0, "high", [1]])
def test_a_level_that_is_none_is_refused(tmp_path, above):
    with pytest.raises(ValueError, match=r"posteriori.json: noisy_above"):
        read_folder(with_noisy(tmp_path / "p", above))


def test_a_folder_that_names_itself_is_not_followed_forever(tmp_path):
    folder = tmp_path / "p"
    save_folder(folder, tiny(), linear_betas(), **SAVED)
    (folder / "posteriori.json").write_text(json.dumps({"size": 16, "patch": 2, "noisy_above": 1}))
    (folder / "noisy").symlink_to(folder)
    with pytest.raises(ValueError, match=r"has a noisy_above, in the network of noisy levels: remove it there"):
        read_folder(folder)
