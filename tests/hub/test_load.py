"""Priors by name, and files that are not what they should be."""

import hashlib
import json
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from posteriori.hub import load as module
from posteriori.hub.cards import CardFile, cards, load_card
from posteriori.hub.contents import read_folder
from posteriori.hub.load import convert_checkpoint, list_priors, load_prior, prior_record
from posteriori.priors.unet import auto_dtype


@pytest.fixture
def checkpoint(adm_small, tmp_path, monkeypatch):
    """The recorded network as a file that a card called "small" knows, and an empty cache."""
    file = tmp_path / "small.pt"
    torch.save(adm_small.state, file)
    data = file.read_bytes()
    copy = CardFile("small.pt", "https://example.org/small.pt", None, hashlib.sha256(data).hexdigest(), len(data))
    card = replace(load_card("ffhq-256"), name="small", size=64, flags=adm_small.flags, files=(copy,))
    known = {**cards(), "small": card}
    monkeypatch.setattr("posteriori.hub.cards.cards", lambda: known)
    monkeypatch.setattr(module, "cards", lambda: known)
    monkeypatch.setattr(module, "EMBEDDED", tmp_path / "weights")
    monkeypatch.setenv("POSTERIORI_HOME", str(tmp_path / "home"))
    return file


@pytest.fixture
def config_file(adm_small, tmp_path):
    path = tmp_path / "flags.json"
    path.write_text(json.dumps(adm_small.flags))
    return path


def same_as_recorded(prior, adm_small) -> bool:
    with torch.no_grad():
        return bool((prior.net(adm_small.io["x"], adm_small.io["t"]) - adm_small.io["out"]).abs().max() < 1e-4)


def test_a_checkpoint_that_a_card_knows(checkpoint, adm_small):
    prior = load_prior(checkpoint, dtype="float32")
    assert prior.shape == (3, 64, 64)
    assert prior.prediction == "epsilon"
    assert prior.schedule.T == 1000
    assert same_as_recorded(prior, adm_small)
    assert load_prior(str(checkpoint)).at(32).shape == (3, 32, 32)


def test_a_card(checkpoint, adm_small, tmp_path):
    there = tmp_path / "home" / "priors" / "small.pt"
    with pytest.raises(
        FileNotFoundError, match=r"of small are not in .*: get them with `posteriori priors pull small`"
    ):
        load_prior("small")
    there.parent.mkdir(parents=True)
    there.write_bytes(checkpoint.read_bytes())
    assert same_as_recorded(load_prior("small", dtype="float32"), adm_small)
    there.write_bytes(checkpoint.read_bytes()[:-1] + b"x")
    with pytest.raises(ValueError, match=r"small\.pt has sha256 .*, expected .*; get it again from https://example"):
        load_prior("small")
    there.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"small\.pt has 1,000 bytes, expected 5,\d+,\d+: it is partial"):
        load_prior("small")


def test_an_unknown_checkpoint_is_converted_with_its_flags(adm_small, config_file, tmp_path):
    file = tmp_path / "mine.pt"
    torch.save(adm_small.state, file)
    with pytest.raises(ValueError, match=r"posteriori priors convert .*mine\.pt DIR --config FILE"):
        load_prior(file)
    with pytest.raises(ValueError, match=r"give --config FILE, JSON with image_size, num_head_channels"):
        convert_checkpoint(file, tmp_path / "mine")
    convert_checkpoint(file, tmp_path / "mine", config_file)
    prior = load_prior(tmp_path / "mine", dtype="float32")
    assert same_as_recorded(prior, adm_small)
    folder = read_folder(tmp_path / "mine")
    assert (folder.name, folder.sides, folder.scheduler["variance_type"]) == ("mine", (64, 64), "learned_range")


def test_guided_diffusions_own_diffusion_flags(adm_small, config_file, tmp_path):
    file = tmp_path / "mine.pt"
    torch.save(adm_small.state, file)
    other = {"noise_schedule": "cosine", "predict_xstart": True, "diffusion_steps": 500}
    config_file.write_text(json.dumps(adm_small.flags | other))
    convert_checkpoint(file, tmp_path / "mine", config_file)
    folder = read_folder(tmp_path / "mine")
    assert folder.prediction == "sample"
    assert (folder.scheduler["beta_schedule"], folder.scheduler["num_train_timesteps"]) == ("squaredcos_cap_v2", 500)
    config_file.write_text(json.dumps(adm_small.flags | {"noise_schedule": "sigmoid"}))
    with pytest.raises(ValueError, match="there are linear and cosine"):
        convert_checkpoint(file, tmp_path / "other", config_file)


def test_an_embedded_prior(checkpoint, adm_small, tmp_path):
    convert_checkpoint(checkpoint, tmp_path / "weights" / "tiny-64")
    assert same_as_recorded(load_prior("tiny-64", dtype="float32"), adm_small)
    rows = {row.name: row for row in list_priors()}
    assert rows["tiny-64"].where == "embedded"
    assert rows["tiny-64"].size == 64
    weights = tmp_path / "weights" / "tiny-64" / module.WEIGHTS
    assert (rows["tiny-64"].file, rows["tiny-64"].bytes) == (str(weights), weights.stat().st_size)
    assert (rows["ffhq-256"].where, rows["ffhq-256"].file) == ("not here", None)


class Payload:
    def __reduce__(self):
        return Path.touch, (Path("ran"),)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_with_code_is_refused_and_not_run(checkpoint, config_file, tmp_path, monkeypatch, zipped):
    monkeypatch.chdir(tmp_path)
    if zipped:
        torch.save({"weight": Payload()}, "evil.pt")
        assert any(name.endswith("data.pkl") for name in zipfile.ZipFile("evil.pt").namelist())
    else:
        Path("evil.pt").write_bytes(pickle.dumps(Payload(), protocol=2))
    for use in (
        lambda: load_prior("evil.pt"),
        lambda: convert_checkpoint(Path("evil.pt"), tmp_path / "p", config_file),
    ):
        with pytest.raises(ValueError, match=r"^evil\.pt holds more than tensors.* ran no code$"):
            use()
    assert not Path("ran").exists()


def test_damaged_files_are_refused(checkpoint, tmp_path):
    data = checkpoint.read_bytes()
    for broken in (data[: len(data) // 2], b"", b"<html>quota exceeded</html>"):
        checkpoint.write_bytes(broken)
        with pytest.raises(ValueError, match=r"^[^\n]*small\.pt (is damaged or|holds more)[^\n]*$"):
            load_prior(checkpoint)
    for wrong in ({}, [1, 2], {"state_dict": {"a": torch.zeros(1)}}, torch.zeros(3)):
        torch.save(wrong, checkpoint)
        with pytest.raises(ValueError, match="holds no state dict"):
            load_prior(checkpoint)
    for missing in ("models/none.pt", tmp_path / "none.pt"):
        with pytest.raises(
            FileNotFoundError, match=r"none\.pt is missing: give a guided-diffusion \.pt file, or a name of"
        ):
            load_prior(missing)
    with pytest.raises(FileNotFoundError, match=r"none\.pt is missing"):
        convert_checkpoint(tmp_path / "none.pt", tmp_path / "p")


def broken_folders(folder):
    """What can be wrong with a folder in diffusers' format: a change to it, and what is said."""
    config, weights = json.loads((folder / "config.json").read_text()), folder / module.WEIGHTS
    state = load_file(weights)

    def configured(**change):
        return lambda: (folder / "config.json").write_text(json.dumps(config | change))

    yield configured(_class_name="UNet2DConditionModel"), r"is a UNet2DConditionModel, or has classes: give an unc"
    yield configured(num_class_embeds=10), r"has classes: give an unconditional UNet2DModel"
    yield configured(block_out_channels=[64, 64, 64]), r"safetensors cannot be loaded"  # other shapes
    yield configured(), None
    yield lambda: (folder / "config.json").write_text("{"), r"config\.json is not JSON"
    yield configured(), None
    yield lambda: save_file(state | {"more": torch.zeros(1)}, weights), "more is missing or extra"
    yield lambda: weights.write_bytes(weights.read_bytes()[:-1]), r"safetensors cannot be loaded \(.*\): get it again"
    yield lambda: save_file(state, weights), None
    yield lambda: (folder / "config.json").unlink(), r"is not a prior in diffusers' format: it has no config\.json"


def test_broken_folders(checkpoint, tmp_path):
    """Each error is one line that names the file; None: the folder is whole again."""
    folder = tmp_path / "mine"
    convert_checkpoint(checkpoint, folder)
    for change, message in broken_folders(folder):
        change()
        if message is None:
            load_prior(folder)
        else:
            with pytest.raises((ValueError, FileNotFoundError), match=rf"^{folder}[^\n]*({message})[^\n]*$"):
                load_prior(folder)


def test_records(checkpoint, tmp_path, monkeypatch):
    """The file is hashed once in a run that loads it and records it."""
    convert_checkpoint(checkpoint, tmp_path / "weights" / "tiny-64")
    weights = tmp_path / "weights" / "tiny-64" / module.WEIGHTS
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    licence = load_card("ffhq-256").licence
    embedded = {"name": "small", "file": str(weights), "sha256": digest, "licence": licence}
    assert prior_record("tiny-64") == prior_record(weights.parent) == embedded
    load_prior(checkpoint)
    monkeypatch.setattr(hashlib, "file_digest", lambda *_: pytest.fail("hashed twice"))
    known = module.cards()["small"].files[0].sha256
    assert prior_record(checkpoint) == {"name": "small", "file": str(checkpoint), "sha256": known, "licence": licence}
    with pytest.raises(ValueError, match="no prior is called 'smal'"):
        prior_record("smal")


def test_an_unknown_name_lists_the_nearest_first(checkpoint):
    with pytest.raises(
        ValueError, match="no prior is called 'smal': there are small, 256x256_diffusion_uncond, ffhq-256;"
    ):
        load_prior("smal")


def test_the_hub(checkpoint, adm_small, tmp_path, monkeypatch):
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    convert_checkpoint(checkpoint, tmp_path / "snapshot")
    asked = []
    monkeypatch.setattr(
        huggingface_hub, "snapshot_download", lambda name, allow_patterns: asked.append(name) or tmp_path / "snapshot"
    )
    assert same_as_recorded(load_prior("google/ddpm-small", dtype="float32"), adm_small)
    assert asked == ["google/ddpm-small"]

    def fail(error):
        def download(*args, **kwargs):
            raise error

        monkeypatch.setattr(huggingface_hub, "snapshot_download", download)

    fail(LocalEntryNotFoundError("no network\nat all"))
    with pytest.raises(ConnectionError, match=r"^'google/ddpm-small' is not a local folder, and .* cannot be reached"):
        load_prior("google/ddpm-small")
    fail(OSError("404 not found\nsecond line"))
    with pytest.raises(ValueError, match=r"the Hugging Face Hub says: 404 not found$"):
        load_prior("google/ddpm-small")


def test_dtypes_and_devices(checkpoint):
    assert load_prior(checkpoint).dtype == auto_dtype()
    assert load_prior(checkpoint, dtype="bfloat16").dtype == torch.bfloat16
    assert load_prior(checkpoint, dtype=torch.float16).dtype == torch.float16
    for wrong in ("fp8", torch.int8, None):
        with pytest.raises(ValueError, match="give auto, float32, bfloat16, float16"):
            load_prior(checkpoint, dtype=wrong)
    for wrong in ("abacus", "meta", "cuda:99", ""):
        with pytest.raises(
            ValueError, match=rf"^device is '{wrong}', which torch cannot use here: give auto, c[^\n]*$"
        ):
            load_prior(checkpoint, device=wrong)
    with pytest.raises(ValueError, match="multiples of 4, got 30 x 30"):
        load_prior(checkpoint).at(30)


@pytest.mark.parametrize(("dtype", "error"), [("bfloat16", 2e-2), ("float16", 5e-3)])
def test_lower_precision_on_the_cpu(checkpoint, dtype, error):
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    full, half = load_prior(checkpoint, dtype="float32"), load_prior(checkpoint, dtype=dtype)
    with torch.no_grad():
        a, b = (prior.denoise(x, prior.schedule.level(200)).x0 for prior in (full, half))
    assert (a - b).norm() < error * a.norm()
