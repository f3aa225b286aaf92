import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch

import posteriori
from posteriori.images.files import load_image
from posteriori.jobs.memory import peak_memory
from posteriori.metrics import lpips, psnr, ssim
from posteriori.restore.manifest import protocol, score, versions


@pytest.fixture(scope="module")
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    truth = load_image("chelsea", 48)
    return truth + 0.2 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(0)), truth


@pytest.mark.parametrize(("height", "width"), [(31, 31), (31, 48), (48, 40)])
def test_score_is_what_the_metrics_say(pair, height, width):
    x, truth = (image[..., :height, :width] for image in pair)
    metrics = score(x, truth)
    assert metrics == {"psnr": psnr(x, truth).item(), "ssim": ssim(x, truth).item(), "lpips": lpips(x, truth).item()}
    assert all(type(value) is float for value in metrics.values())
    assert 15 < metrics["psnr"] < 25, "the noise is 0.2 of a range of 2, clamped"


@pytest.mark.parametrize(
    ("height", "width", "known"),
    [
        (30, 48, {"psnr", "ssim"}),
        (48, 30, {"psnr", "ssim"}),
        (11, 11, {"psnr", "ssim"}),
        (10, 48, {"psnr"}),
        (1, 1, {"psnr"}),
    ],
)
def test_score_has_none_for_metrics_that_the_picture_is_too_small_for(pair, height, width, known):
    metrics = score(*(image[..., :height, :width] for image in pair))
    assert list(metrics) == ["psnr", "ssim", "lpips"]
    assert {name for name, value in metrics.items() if value is not None} == known


def test_protocol_names_the_size_as_pictures_do():
    assert "at 64 x 48 pixels" in protocol(48, 64)


def test_versions_are_those_at_work():
    found = versions()
    assert found["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert found["numpy"] == np.__version__
    assert found["posteriori"] == posteriori.__version__ == version("posteriori")
    assert found["python"] == platform.python_version()
    assert found.keys() == {"posteriori", "python", "torch", "diffusers", "numpy", "pillow", "platform"}


def test_peak_memory_of_a_cpu_is_that_of_the_process_in_bytes():
    status = Path("/proc/self/status")
    if not status.is_file():
        pytest.skip("only Linux has another account of it")
    kilobytes = next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    assert peak_memory(torch.device("cpu")) == pytest.approx(1024 * kilobytes, rel=0.05)


def test_peak_memory_of_a_gpu_is_that_of_its_tensors(monkeypatch):
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", {torch.device("cuda", 1): 1234}.get)
    assert peak_memory(torch.device("cuda", 1)) == 1234
