"""Runs named by their settings: resumed byte for byte, alone or shared, whatever happens between."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.helpers import IMAGE, image_mixture, normal

from posteriori.hub.load import load_prior
from posteriori.images.files import load_image
from posteriori.jobs.executors import Serial
from posteriori.jobs.progress import log, together
from posteriori.jobs.run import missing
from posteriori.jobs.run import run as execute
from posteriori.likelihoods import Gaussian
from posteriori.loop import sample
from posteriori.metrics import psnr
from posteriori.settings.text import parse_operator, parse_sampler
from posteriori.studies.engine.execute import Compute, Loader
from posteriori.studies.engine.plan import Item, Pictures, Run, distinct
from posteriori.studies.engine.store import LOG, Runs
from posteriori.studies.engine.work import compute

BLUR = "gaussian-blur(sigma=1.0, size=7)"


@pytest.fixture(scope="module")
def prior():
    return image_mixture()


@pytest.fixture(scope="module")
def pictures():
    return Pictures(("a", "b", "c"), 0.3 * normal(3, *IMAGE, seed=5))


@pytest.fixture
def run(pictures):
    return Run(("mixture", "0" * 64), IMAGE, "dps(scale=0.5, steps=10)", BLUR, 0.05, pictures.named, (0, 1), 4, 1)


def jobs(items):
    return [job for item in items for job in item.run.jobs]


def do(runs, items, prior, pictures, report=lambda event: None):
    work = Compute(Loader("none"), dict(zip(pictures.hashes, pictures.x, strict=True)), prior)
    told = together(report, log(runs.log))
    execute(missing(jobs(items), runs.store), work, runs.store, Serial(), told)


def interrupted():
    """Stops the work in the first step of its second group."""
    begun = []

    def report(event):
        begun.extend([event.job] * (event.kind == "begin"))
        if len(begun) == 2 and event.kind == "progress":
            raise KeyboardInterrupt

    return report


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*") if path.name != LOG}


def test_every_setting_is_in_a_runs_name_and_nothing_else_is(run):
    others = [
        replace(run, prior=("mixture", "1" * 64)),
        replace(run, method="dps(scale=0.6, steps=10)"),
        replace(run, operator="identity"),
        replace(run, sigma=0.1),
        replace(run, images=run.images[:2]),
        replace(run, seeds=(0, 2)),
        replace(run, batch=3),
        replace(run, frames=2),
    ]
    keys = [{own.key for own in (each, *each.jobs)} for each in [run, *others]]
    assert len(set.union(*keys)) == sum(map(len, keys)) == 9 + sum(len(each.groups) for each in [run, *others])
    assert [job.key for job in replace(run).jobs] == [job.key for job in run.jobs]
    assert [item.part for item in distinct([Item("x", run), Item("y", others[0]), Item("z", run)])] == ["x", "y"]


def test_rows_are_grouped_by_the_batch(run):
    assert run.groups == [[(0, 0), (0, 1), (1, 0), (1, 1)], [(2, 0), (2, 1)]]


def test_a_run_gives_what_sample_gives(run, prior, pictures, tmp_path):
    runs = Runs(tmp_path)
    do(runs, [Item("x", run)], prior, pictures)
    result = runs.read(run)
    operator = parse_operator(BLUR, IMAGE)
    for row, (i, seed) in enumerate(run.rows):
        truth = pictures.x[i : i + 1]
        y = Gaussian.simulate(truth, operator, 0.05, seed=seed).y
        x = sample(prior, Gaussian(y, operator, 0.05), parse_sampler(run.method), seed=seed, progress=False)[:, 0]
        assert result.metrics["psnr"][row] == pytest.approx(float(psnr(x, truth)), abs=1e-3)
    assert result.calls == 10
    assert result.trace["gradient"].shape == (10, 6)
    assert result.pictures["x"].shape == (6, 8, 8, 3)
    assert runs.seconds(run) > 0


def test_an_interrupted_run_is_the_uninterrupted_one_byte_for_byte(run, prior, pictures, tmp_path):
    whole, halved = Runs(tmp_path / "whole"), Runs(tmp_path / "halved")
    for runs in (whole, halved):
        runs.log.parent.mkdir()
    items = [Item("x", run), Item("y", replace(run, method="measurement"))]
    do(whole, items, prior, pictures)
    with pytest.raises(KeyboardInterrupt):
        do(halved, items, prior, pictures, interrupted())
    assert missing(jobs(items), halved.store) == jobs(items)[1:]
    do(halved, items, prior, pictures)
    assert contents(whole.log.parent) == contents(halved.log.parent)
    assert missing(jobs(items), halved.store) == []


def test_a_run_that_is_not_whole_is_not_read(run, prior, pictures, tmp_path):
    runs = Runs(tmp_path)
    do(runs, [Item("x", run)], prior, pictures)
    (tmp_path / f"{run.jobs[1].key}.npz").unlink()
    with pytest.raises(ValueError, match=r"dps on gaussian-blur is incomplete in .*: run the same command again"):
        runs.read(run)


def test_a_sampler_that_diverges_has_no_metrics_and_stops_nothing(run, prior, pictures, tmp_path):
    wild = replace(run, method="dps(scale=1e30, gradient=norm, steps=10, clip=false)")
    runs = Runs(tmp_path)
    do(runs, [Item("x", wild)], prior, pictures)
    result = runs.read(wild)
    assert np.isnan(result.metrics["psnr"]).all()
    assert result.trace == {}


def test_a_row_does_not_depend_on_its_company(run, prior, pictures):
    """Across batch sizes states agree to rounding: 1e-4 after 20 steps."""
    longer = replace(run, method="dps(scale=0.5, steps=20)", frames=2)
    rows = longer.rows
    truth = torch.stack([pictures.x[i] for i, _ in rows])
    together = compute(longer, rows, prior, truth, lambda calls: None)
    for k in range(len(rows)):
        alone = compute(longer, rows[k : k + 1], prior, truth[k : k + 1], lambda calls: None)
        for name in ("residual", "gradient", "psnr"):
            np.testing.assert_allclose(alone.trace[name][:, 0], together.trace[name][:, k], rtol=1e-4, atol=1e-4)


def test_where_memory_runs_out_half_the_rows_go_together_and_give_the_same(run, prior, pictures, tmp_path, monkeypatch):
    whole, halved, said = Runs(tmp_path / "whole"), Runs(tmp_path / "halved"), []
    run = replace(run, frames=3)
    for runs in (whole, halved):
        runs.log.parent.mkdir()
    do(whole, [Item("x", run)], prior, pictures)
    denoise, sizes = type(prior).denoise, []

    def limited(self, x_t, t):
        sizes.append(len(x_t))
        if len(x_t) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return denoise(self, x_t, t)

    monkeypatch.setattr(type(prior), "denoise", limited)
    do(halved, [Item("x", run)], prior, pictures, lambda event: said.append(event.note))
    assert sizes == [4] + 30 * [2]
    assert [note for note in said if "memory" in note] == ["out of memory with 4 images at once: going on with 2"]
    one, other = whole.read(run), halved.read(run)
    assert (one.calls, other.calls) == (10, 10)
    for kind in ("metrics", "trace", "pictures"):
        assert getattr(one, kind).keys() == getattr(other, kind).keys()
        for name, value in getattr(one, kind).items():
            atol = 1 if kind == "pictures" else 1e-4
            np.testing.assert_allclose(
                getattr(other, kind)[name].astype(float), value.astype(float), rtol=1e-4, atol=atol
            )


def test_batch_sizes_agree_on_the_network_that_ships():
    """After 10 steps float32 states agree to 1e-4, bfloat16's PSNR to 0.05 dB.

    DPS's states agree less well, to 1e-3 in the mean: at t = T its gradient goes through sigma / alpha = 157.
    """
    x = load_image("astronaut", size=64)
    operator = parse_operator("box-mask", x.shape[1:])
    likes = [Gaussian.simulate(x, operator, 0.05, seed=seed) for seed in (0, 1)]
    both = Gaussian(torch.cat([like.y for like in likes]), operator, 0.05)

    def rerunsd(prior, text):
        sampler = parse_sampler(text)
        alone = torch.cat([sample(prior, like, sampler, progress=False)[:, 0] for like in likes])
        return alone, sample(prior, both, sampler, progress=False)[:, 0]

    prior = load_prior("faces-64", dtype="float32")
    for text in ("ddim(steps=10)", "sdedit(base=ddim(steps=20))"):
        alone, together = rerunsd(prior, text)
        assert (alone - together).abs().max() < 1e-4
    alone, together = rerunsd(prior, "dps(scale=4.0, steps=10)")
    assert (alone - together).square().mean().sqrt() < 1e-3
    alone, together = rerunsd(load_prior("faces-64", dtype="bfloat16"), "sdedit(base=ddim(steps=20))")
    assert (psnr(alone, x.expand_as(alone)) - psnr(together, x.expand_as(alone))).abs().max() < 0.05


def test_the_log_says_which_group_is_how_far(run, prior, pictures, tmp_path):
    do(Runs(tmp_path), [Item("x", run)], prior, pictures)
    entries = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    told = [(e["event"], e["label"], e["done"]) for e in entries if e["event"] != "progress"]
    first, second = (f"dps on gaussian-blur, group {i} of 2" for i in (1, 2))
    assert told == [("begin", first, 0.0), ("end", first, 1.0), ("begin", second, 0.0), ("end", second, 1.0)]
