"""Runs named by their settings: resumed byte for byte, alone or shared, whatever happens between."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.helpers import IMAGE, image_mixture, normal

from posteriori.experiments.engine.board import Silent
from posteriori.experiments.engine.execute import Loader, execute, missing
from posteriori.experiments.engine.plan import Item, Pictures, Run, distinct
from posteriori.experiments.engine.store import LOG, Store
from posteriori.experiments.engine.work import compute
from posteriori.images import load_image
from posteriori.likelihoods import Gaussian
from posteriori.loop import sample
from posteriori.metrics import psnr
from posteriori.priors.load import load_prior
from posteriori.settings.text import parse_operator, parse_sampler

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


def do(store, items, prior, pictures, watch=None):
    by_hash = dict(zip(pictures.hashes, pictures.x, strict=True))
    execute(items, missing(items, store), by_hash, Loader("none"), store, prior=prior, watch=watch or Silent())


class Interrupted(Silent):
    """Stops the work in the first step of its second group."""

    groups = 0

    def begin(self, item, i):
        self.groups += 1

    def calls(self, item, i, calls):
        if self.groups == 2:
            raise KeyboardInterrupt


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
    assert len({each.key for each in [run, *others]}) == 9
    assert replace(run).key == run.key
    assert [item.part for item in distinct([Item("x", run), Item("y", others[0]), Item("z", run)])] == ["x", "y"]


def test_rows_are_grouped_by_the_batch(run):
    assert run.groups == [[(0, 0), (0, 1), (1, 0), (1, 1)], [(2, 0), (2, 1)]]


def test_a_run_gives_what_sample_gives(run, prior, pictures, tmp_path):
    store = Store(tmp_path)
    do(store, [Item("x", run)], prior, pictures)
    result = store.read(run)
    operator = parse_operator(BLUR, IMAGE)
    for row, (i, seed) in enumerate(run.rows):
        truth = pictures.x[i : i + 1]
        y = Gaussian.simulate(truth, operator, 0.05, seed=seed).y
        x = sample(prior, Gaussian(y, operator, 0.05), parse_sampler(run.method), seed=seed, progress=False)[:, 0]
        assert result.figures["psnr"][row] == pytest.approx(float(psnr(x, truth)), abs=1e-3)
    assert result.calls == 10
    assert result.trace["gradient"].shape == (10, 6)
    assert result.pictures["x"].shape == (6, 8, 8, 3)
    assert store.seconds(run) > 0


def test_an_interrupted_run_is_the_uninterrupted_one_byte_for_byte(run, prior, pictures, tmp_path):
    whole, halved = Store(tmp_path / "whole"), Store(tmp_path / "halved")
    for store in (whole, halved):
        store.folder.mkdir()
    items = [Item("x", run), Item("y", replace(run, method="measurement"))]
    do(whole, items, prior, pictures)
    with pytest.raises(KeyboardInterrupt):
        do(halved, items, prior, pictures, Interrupted())
    again = Store(halved.folder)
    left = missing(items, again)
    assert [(task.item.part, task.i) for task in left] == [("x", 1), ("y", 0), ("y", 1)]
    do(again, items, prior, pictures)
    assert contents(whole.folder) == contents(halved.folder)
    assert missing(items, Store(halved.folder)) == []


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: (folder / "group-0001.npz").write_bytes(b""),
        lambda folder: (folder / "group-0000.npz").write_bytes((folder / "group-0000.npz").read_bytes()[:-30]),
        lambda folder: (folder / "group-0000.npz").unlink(),
        lambda folder: (folder / "group-0000.npz").write_bytes((folder / "group-0001.npz").read_bytes()),
        lambda folder: (folder / "manifest.json").write_text("{"),
        lambda folder: (folder / "manifest.json").write_text("[]"),
        lambda folder: (folder / "manifest.json").write_text('{"settings": {}, "groups": [], "rows": []}'),
    ],
)
def test_a_damaged_run_is_set_aside_named_and_run_again(run, prior, pictures, tmp_path, harm):
    items = [Item("x", run)]
    do(Store(tmp_path), items, prior, pictures)
    before = contents(tmp_path / run.key)
    for aside in (f"{run.key}.damaged", f"{run.key}.damaged-2"):
        harm(tmp_path / run.key)
        said = []
        store = Store(tmp_path, said.append)
        do(store, items, prior, pictures)
        assert (tmp_path / aside).is_dir()
        assert len(said) == 1
        assert str(tmp_path / run.key) in said[0]
        assert aside in said[0]
    assert contents(tmp_path / run.key) == before


def test_a_sampler_that_diverges_has_no_figures_and_stops_nothing(run, prior, pictures, tmp_path):
    wild = replace(run, method="dps(scale=1e30, gradient=norm, steps=10, clip=false)")
    store = Store(tmp_path)
    do(store, [Item("x", wild)], prior, pictures)
    result = store.read(wild)
    assert np.isnan(result.figures["psnr"]).all()
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


def test_batch_sizes_agree_on_the_network_that_ships():
    """After 20 steps float32 states agree to 1e-4, bfloat16's PSNR to 0.05 dB.

    DPS's states agree less well, to 1e-3 in the mean: at t = T its gradient goes through sigma / alpha = 157.
    """
    x = load_image("astronaut", size=64)
    operator = parse_operator("box-mask", x.shape[1:])
    likes = [Gaussian.simulate(x, operator, 0.05, seed=seed) for seed in (0, 1)]
    both = Gaussian(torch.cat([like.y for like in likes]), operator, 0.05)

    def restored(prior, text):
        sampler = parse_sampler(text)
        alone = torch.cat([sample(prior, like, sampler, progress=False)[:, 0] for like in likes])
        return alone, sample(prior, both, sampler, progress=False)[:, 0]

    prior = load_prior("faces-64", dtype="float32")
    for text in ("ddim(steps=20)", "sdedit(base=ddim(steps=40))"):
        alone, together = restored(prior, text)
        assert (alone - together).abs().max() < 1e-4
    alone, together = restored(prior, "dps(scale=4.0, steps=20)")
    assert (alone - together).square().mean().sqrt() < 1e-3
    alone, together = restored(load_prior("faces-64", dtype="bfloat16"), "sdedit(base=ddim(steps=40))")
    assert (psnr(alone, x.expand_as(alone)) - psnr(together, x.expand_as(alone))).abs().max() < 0.05


def test_the_log_counts_the_calls(run, prior, pictures, tmp_path):
    do(Store(tmp_path), [Item("x", run)], prior, pictures)
    entries = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    assert [(e["event"], e["group"], e["calls"]) for e in entries if e["event"] != "calls"] == [
        ("begin", 0, 0),
        ("end", 0, 10),
        ("begin", 1, 0),
        ("end", 1, 10),
    ]
