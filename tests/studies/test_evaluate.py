import math
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats
from scipy.special import digamma, polygamma

from posteriori.jobs.run import missing
from posteriori.jobs.store import Store
from posteriori.metrics import kernel_distance, pooled_features
from posteriori.priors.mixture import GaussianMixture
from posteriori.schedule import linear_betas
from posteriori.studies.engine.plan import Run
from posteriori.studies.engine.work import compute
from posteriori.studies.evaluation.data import read_data
from posteriori.studies.evaluation.denoising import About, bm3d, denoising, network_call, noise_levels, psnr_table
from posteriori.studies.evaluation.likeness import kernel_distances, memorisation, nearest
from posteriori.studies.evaluation.result import Evaluation, Memorisation, Request, Shift, markdown, tables
from posteriori.studies.report.plan import single_pass
from posteriori.training.data import Dataset
from posteriori.training.evaluate import SIGMAS

SHAPE, STD = (3, 8, 8), 0.25
ENTRIES = math.prod(SHAPE)
LEVELS = noise_levels(linear_betas())
ABOUT = About("0" * 64, "cpu", "float32", 0)


def white():
    """Independent pixels: what a denoiser of them leaves is known."""
    return GaussianMixture(torch.zeros(1, *SHAPE), STD**2 * torch.eye(ENTRIES)[None])


def pictures(n, shape=SHAPE, seed=0):
    """Independent pixels as ``white`` knows them but for the rounding to 8 bits."""
    x = STD * torch.randn(n, *shape, generator=torch.Generator().manual_seed(seed))
    return Dataset([f"{i}.png" for i in range(n)], ((x + 1) * 127.5).round().clamp(0, 255).byte())


def ticks():
    counted = []
    return counted, counted.append


def test_levels_are_the_reports_and_those_of_training():
    schedule = linear_betas()
    assert list(LEVELS) == ["t = 100 (sigma 0.339)", *(f"sigma {s}" for s in ("0.05", "0.1", "0.2", "0.5", "1"))]
    report, *others = LEVELS.values()
    assert report == schedule.level(100)
    assert [(level.alpha, level.sigma) for level in others] == [(1.0, sigma) for sigma in SIGMAS]
    assert all(schedule.time(level.sigma) == level.t for level in others)


def test_denoising_is_the_closed_form_of_white_pixels(tmp_path):
    """The error's mean square is v chi2_d / d with v the posterior variance: its logarithm has a known mean."""
    images, counted = pictures(60), []
    psnrs = denoising({"network": network_call(white())}, LEVELS, images, Store(tmp_path), ABOUT, counted.append)
    for row in psnr_table(psnrs, LEVELS, ["network"], images.names):
        level = LEVELS[row.level]
        v = STD**2 * level.sigma**2 / (level.alpha**2 * STD**2 + level.sigma**2)
        expected = 10 * math.log10(4 / v) - 10 / math.log(10) * (digamma(ENTRIES / 2) - math.log(ENTRIES / 2))
        error = 10 / math.log(10) * math.sqrt(polygamma(1, ENTRIES / 2) / 60)
        assert row.network.mean == pytest.approx(expected, abs=4 * error), row.level
        assert row.network.error == pytest.approx(stats.t.ppf(0.975, 59) * error, rel=0.4)  # 4 errors of a deviation
        assert (row.network.n, row.bm3d, row.gain) == (60, None, None)
    assert sum(event.kind == "end" for event in counted) == 60


def test_at_t_100_it_is_the_reports_baseline(tmp_path):
    prior, images = white(), pictures(1)
    truth = images.pixels.float() / 127.5 - 1
    psnrs = denoising({"network": network_call(prior)}, LEVELS, images, Store(tmp_path), replace(ABOUT, seed=5))
    run = single_pass(Run(("white", ""), prior.shape, "", "", 0.0, (("0.png", ""),), (5,), 1))
    expected = compute(run, run.rows, prior, truth, lambda calls: None).metrics["psnr"][0]
    assert psnrs["network"]["t = 100 (sigma 0.339)"]["0.png"] == pytest.approx(expected, abs=1e-4)


def test_denoising_goes_on_where_it_stopped(tmp_path):
    """A kill in the third picture costs that picture; PSNRs are those of one run, and so for another denoiser."""
    images, store, call = pictures(4), Store(tmp_path / "store"), network_call(white())
    whole = denoising({"network": call}, LEVELS, images, Store(tmp_path / "whole"), ABOUT)
    calls = []

    def stopped(x_t, level):
        if len(calls) == 2 * len(LEVELS) + 1:
            raise KeyboardInterrupt
        calls.append(level)
        return call(x_t, level)

    with pytest.raises(KeyboardInterrupt):
        denoising({"network": stopped}, LEVELS, images, store, ABOUT)
    assert missing(ABOUT.asked("network", images), store) == ABOUT.asked("network", images)[2:]
    calls.clear()
    assert denoising({"network": stopped}, LEVELS, images, store, ABOUT) == whole
    assert len(calls) == 2 * len(LEVELS)
    both = denoising({"network": stopped, "bm3d": call}, LEVELS, images, store, ABOUT)
    assert both == {"network": whole["network"], "bm3d": whole["network"]}
    assert len(calls) == 2 * len(LEVELS)


def test_a_picture_of_another_size_is_asked_of_the_prior_at_that_size():
    wide = SimpleNamespace(denoise=lambda x_t, _: SimpleNamespace(x0=2 * x_t))
    prior = SimpleNamespace(shape=SHAPE, device="cpu", at={(8, 12): wide}.get)
    x_t = torch.ones(1, 3, 8, 12)
    assert torch.equal(network_call(prior)(x_t, LEVELS["sigma 1"]), 2 * x_t)


def test_bm3d_sees_the_networks_pictures_from_0_to_1_with_half_the_sigma(tmp_path, monkeypatch):
    told, seen = [], []

    def bm3d_rgb(y, sigma):
        told.append(sigma)
        seen.append(y)
        return y  # it does nothing: the noise remains

    monkeypatch.setitem(sys.modules, "bm3d", SimpleNamespace(bm3d_rgb=bm3d_rgb))
    images = pictures(8)
    noisy = []

    def network(x_t, level):
        noisy.append((x_t[0] / level.alpha + 1) / 2)
        return network_call(white())(x_t, level)

    both = {"network": network, "bm3d": bm3d()}
    psnrs = denoising(both, LEVELS, images, Store(tmp_path), ABOUT)
    assert told[:6] == pytest.approx([level.sigma / level.alpha / 2 for level in LEVELS.values()])
    for y, x in zip(seen, noisy, strict=True):
        torch.testing.assert_close(torch.from_numpy(y).permute(2, 0, 1).float(), x)
    rows = psnr_table(psnrs, LEVELS, ["network", "bm3d"], images.names)
    assert rows[1].bm3d.mean == pytest.approx(10 * math.log10(4 / 0.05**2), abs=0.4)
    for row in rows:
        assert row.gain.mean == pytest.approx(row.network.mean - row.bm3d.mean)
        gains = [psnrs["network"][row.level][n] - psnrs["bm3d"][row.level][n] for n in images.names]
        assert row.gain.error == pytest.approx(stats.t.ppf(0.975, 7) * stats.sem(gains))


def test_bm3d_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "bm3d", None)
    with pytest.raises(ValueError, match="needs the package bm3d, free for non-commercial use: `pip install bm3d`"):
        bm3d()


def test_nearest_is_a_search_through_all_and_their_mirror_images():
    references = pictures(300, seed=1).pixels
    queries = pictures(5, seed=2).pixels.float() / 127.5 - 1
    queries[3] = references[280].flip(-1).float() / 127.5 - 1
    counted, tick = ticks()
    distance, which = nearest(queries, references, tick)
    for i, query in enumerate(queries):
        both = torch.stack([references, references.flip(-1)]).double() / 127.5 - 1
        every = (both - query.double()).square().mean((2, 3, 4)).sqrt().amin(0)
        assert which[i] == every.argmin()
        assert distance[i].item() == pytest.approx(every.min().item(), rel=1e-4, abs=1e-7)
    assert (distance[3].item(), which[3].item()) == (0.0, 280)
    assert distance[[0, 1, 2, 4]].min() > 0.1
    assert sum(counted) == 300


def test_memorisation_tells_copies_from_new_pictures(tmp_path):
    training, held_out = pictures(50, seed=1).pixels, pictures(40, seed=2).pixels
    new = pictures(30, seed=3).pixels.float() / 127.5 - 1
    copies = training[:10].flip(-1).float() / 127.5 - 1

    def found(samples):
        return memorisation(samples, held_out, training, tmp_path / "nearest.png", lambda *_: lambda _: None)

    theirs = nearest(held_out.float() / 127.5 - 1, training, lambda _: None)[0]
    ours = nearest(new, training, lambda _: None)[0]
    honest, mixed = found(new), found(torch.cat([copies, new]))
    assert honest.threshold == mixed.threshold == pytest.approx(np.quantile(theirs.numpy(), 0.05), rel=1e-5)
    assert (honest.samples, honest.held_out) == (ours.median().item(), theirs.median().item())
    assert honest.nearer < 0.25
    assert mixed.nearer == pytest.approx((10 + 30 * honest.nearer) / 40)
    assert (mixed.m, mixed.n, mixed.training) == (40, 40, 50)
    sheet = Image.open(tmp_path / "nearest.png")
    assert sheet.width / sheet.height == pytest.approx(10 / 2, rel=0.02)  # ten pairs, samples above
    cell = np.array(sheet)[:, :, :3][10:202, 10:202]
    assert np.array_equal(cell, np.array(sheet)[:, :, :3][212:404, 10:202][:, ::-1])  # a copy, mirrored


def test_distances_of_samples_and_their_floor():
    shape = (3, 32, 32)
    samples = pictures(12, shape, seed=1).pixels.float() / 127.5 - 1
    held_out = pooled_features(pictures(9, shape, seed=2).pixels.float() / 127.5 - 1)
    training = pictures(20, shape, seed=3).pixels
    ours, seen = pooled_features(samples), pooled_features(training[:12].float() / 127.5 - 1)
    rows = kernel_distances(samples, held_out, training, seed=0)
    assert [(row.between, row.m, row.n) for row in rows] == [
        ("samples, held-out", 12, 9),
        ("samples, training", 12, 12),
        ("training, held-out (floor)", 12, 9),
    ]
    expected = [kernel_distance(ours, held_out), kernel_distance(ours, seen), kernel_distance(seen, held_out)]
    assert [row.value for row in rows] == pytest.approx(expected)
    assert all(row.low < row.value < row.high for row in rows)
    assert [row.between for row in kernel_distances(samples, held_out, None, seed=0)] == ["samples, held-out"]


@pytest.fixture
def folder(tmp_path):
    """Ten pictures of 20 x 12 pixels in one colour, 10 i, and its centre square one darker at its left edge."""
    path = tmp_path / "pictures"
    path.mkdir()
    for i in range(10):
        pixels = np.full((12, 20, 3), 10 * i, dtype=np.uint8)
        pixels[:, :4] = pixels[:, 16:] = 255  # outside the centre square
        Image.fromarray(pixels).save(path / f"{i}.png")
    return path


def fixed(size):
    return SimpleNamespace(shape=(3, size, size), any_size=False, stride=4)


def convolutional(size):
    return SimpleNamespace(shape=(3, size, size), any_size=True, stride=4)


def colours(pixels):
    return [int(picture[0, 0, 0]) // 10 for picture in pixels]


def test_held_out_pictures_less_the_skipped_and_the_rest_in_random_order(folder):
    data = read_data(fixed(12), Request("p", folder, "::2", skip=2))
    assert data.held_out.names == ["4.png", "6.png", "8.png"]
    assert torch.equal(data.windows, data.held_out.pixels)
    assert data.windows.shape == (3, 3, 12, 12)
    assert (data.windows.amax((1, 2, 3)) == torch.tensor([40, 60, 80])).all()  # no border: the centre square
    assert sorted(colours(data.training)) == [1, 3, 5, 7, 9]
    orders = [colours(read_data(fixed(12), Request("p", folder, "::2", seed=s)).training) for s in (0, 0, 1, 2)]
    assert orders[0] == orders[1]
    assert len({tuple(order) for order in orders}) > 1


def test_all_pictures_are_held_out_by_default_and_without_samples_nothing_else_is_read(folder):
    data = read_data(fixed(12), Request("p", folder))
    assert (len(data.held_out), data.training) == (10, None)
    assert read_data(fixed(12), Request("p", folder, "::2", samples=0)).training is None


def test_a_convolutional_prior_sees_whole_pictures_and_samples_their_centres(folder):
    noise = np.random.default_rng(0).integers(0, 256, (12, 20, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "5.png")
    data = read_data(convolutional(8), Request("p", folder, "::5", samples=3))
    assert [tuple(picture.shape) for picture in data.held_out.pixels] == [(3, 12, 20)] * 2
    assert data.windows.shape == (2, 3, 8, 8)
    assert np.array_equal(data.windows[1].permute(1, 2, 0), noise[2:10, 6:14])
    assert data.training.shape == (3, 3, 8, 8)  # no more than there are samples
    assert not {0, 5} & set(colours(data.training))


def test_a_damaged_picture_is_left_out_and_named(folder):
    for name in ("2.png", "3.png"):
        (folder / name).write_bytes(b"no picture")
    data = read_data(fixed(12), Request("p", folder, "::2"))
    assert data.held_out.names == ["0.png", "4.png", "6.png", "8.png"]
    assert sorted(colours(data.training)) == [1, 5, 7, 9]
    assert [problem.split(" is ")[0][-5:] for problem in data.damaged] == ["2.png", "3.png"]


def test_too_few_pictures(folder):
    message = r"holdout '::5' and skip 1 leave 1 of 10 pictures in .* to evaluate on: at least 2 are needed"
    with pytest.raises(ValueError, match=message):
        read_data(fixed(12), Request("p", folder, "::5", skip=1))
    with pytest.raises(ValueError, match="give --samples 0 for none, or at least 2"):
        Request("p", folder, samples=1)


def test_markdown_names_the_command_and_says_what_the_numbers_mean(folder):
    rows = psnr_table({"network": {k: {"a": 30.0, "b": 32.0} for k in LEVELS}}, LEVELS, ["network"], ["a", "b"])
    copied = Memorisation(100, 64, 5000, samples=0.21, held_out=0.25, threshold=0.2, nearer=0.125)
    evaluation = Evaluation(rows, Shift(100, 0.4, 0.3, 0.5), [], copied)
    request = Request("faces-64", folder / "a b.zip", "52::53", skip=32, samples=100, bm3d=True, seed=3)
    text = markdown(evaluation, request, {"name": "faces-64", "sha256": "0123456789abcdef0"})
    command = f"posteriori priors evaluate faces-64 --images '{folder}/a b.zip' --holdout 52::53 --skip 32"
    assert f"\n    {command} --samples 100 --bm3d --seed 3\n" in text
    assert "\n| noise | one network call |\n|---|---|\n| t = 100 (sigma 0.339) | 31.00 ± 12.71 |\n" in text
    assert "| samples | 100 | 0.210 | 12.5% |" in text
    assert "| pictures | n | median | nearer than 0.200 |" in text
    assert "5,000 training pictures" in text
    assert "sha256 0123456789abcdef" in text
    assert [table.title for table in tables(evaluation)] == ["Denoising", "Shift", "Memorisation"]
