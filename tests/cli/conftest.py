import json
import resource
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
import torch
from diffusers.models.unets.unet_2d import UNet2DModel

from posteriori.cli import main
from posteriori.hub.folder import save_folder
from posteriori.images.files import load_image, save_image
from posteriori.priors.unet import PixelUNet
from posteriori.schedule import linear_betas
from posteriori.training.config import TrainConfig


@pytest.fixture(scope="session")
def tiny_prior(tmp_path_factory):
    """A random network of 32 x 32 pixels in a folder: the commands' plumbing without their minutes."""
    return random_prior(tmp_path_factory.mktemp("prior") / "tiny", attention=True)


@pytest.fixture(scope="session")
def any_size_prior(tmp_path_factory):
    """A convolutional one, of stride 4."""
    return random_prior(tmp_path_factory.mktemp("prior") / "any", attention=False)


@pytest.fixture(scope="session")
def two_networks(tmp_path_factory):
    """A prior of 32 x 32 pixels with another network for noisy levels."""
    path = random_prior(tmp_path_factory.mktemp("prior") / "two", attention=False)
    random_prior(path / "noisy", attention=True)
    ours = json.loads((path / "posteriori.json").read_text())
    (path / "posteriori.json").write_text(json.dumps({**ours, "noisy_above": 0.5}))
    return path


def random_prior(path, attention, size=32):
    torch.manual_seed(0)
    config = TrainConfig(size=size, channels=(8, 16), norm_groups=8, attention=attention)
    net = PixelUNet(UNet2DModel(**config.unet_config()), config.patch)
    save_folder(path, net, linear_betas(), prediction="epsilon", size=size, name=path.name, licence="none")
    return path


@pytest.fixture(scope="session")
def face(tmp_path_factory):
    """A picture of the tiny prior's size."""
    path = tmp_path_factory.mktemp("pictures") / "face.png"
    save_image(load_image("astronaut", size=32), path)
    return path


@contextmanager
def full_disk(most):
    """No file gets more than so many bytes: RLIMIT_FSIZE answers a write as a full disk does."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@dataclass
class Answer:
    """What a command answered: its exit code, and what it printed."""

    code: int
    out: str
    err: str


@pytest.fixture
def posteriori(monkeypatch, capsys):
    """Runs the command line in this process: ``posteriori("demo", "--out", path)``."""

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["posteriori", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main()
        assert isinstance(stopped.value.code, int)
        return Answer(stopped.value.code, *capsys.readouterr())

    return run


@pytest.fixture
def restore(posteriori, tiny_prior):
    """``posteriori restore`` with the tiny prior in two steps."""
    return lambda *arguments: posteriori("restore", "--prior", tiny_prior, "--steps", 2, *arguments)
