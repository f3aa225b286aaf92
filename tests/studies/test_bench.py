"""The bench in its quick form, and what it concludes from times that are known."""

import json

import numpy as np
import pytest
import torch

from posteriori.errors import PosterioriError
from posteriori.jobs.store import RESULTS, Result, Store
from posteriori.studies.bench import __main__ as bench
from posteriori.studies.bench import peers, quality
from posteriori.studies.bench.clock import in_turns
from posteriori.studies.bench.networks import TINY, Problem, random_prior, random_state
from posteriori.studies.bench.quality import Case
from posteriori.studies.bench.rate import counted
from posteriori.studies.bench.scaling import fit, verdict

QUICK = ["--quick", "--rounds", "1", "--threads", "1", "--part", "steps", "scaling", "rate", "gpu"]


def test_the_quick_form_writes_the_page_and_goes_on(tmp_path, monkeypatch):
    asked = [*QUICK, "--out", str(tmp_path / "out"), "--page", str(tmp_path / "page"), "--note", "It was shared."]
    bench.main(asked)
    page = (tmp_path / "page" / "results.md").read_text("utf-8")
    assert "| posteriori bfloat16 |" in page
    assert "It was shared." in " ".join(page.split())
    assert "not measured: No module named" in page  # of other codes, which no test has
    written = json.loads((tmp_path / "page" / "results.json").read_text("utf-8"))
    timed = {own["job"]: own["values"] for own in written["timings"]}
    assert timed.keys() == {"Steps", "Same", "Memory", "Scaling", "Rate"}
    assert timed["Steps"]["seconds"]["posteriori float32"] > 0
    assert timed["Same"]["error"]["posteriori float32"] == 0
    assert 0 < timed["Same"]["error"]["posteriori bfloat16"] < 0.2
    beyond = timed["Memory"]["beyond"]
    assert beyond is None or 1 < beyond < 500

    # nothing is left to measure
    monkeypatch.setattr(bench, "run", lambda jobs, *_, **__: pytest.fail("again") if jobs else None)
    bench.main(asked)
    assert (tmp_path / "page" / "results.md").read_text("utf-8") == page


def test_works_take_turns_after_a_round_that_does_not_count():
    done = []
    found = in_turns({name: lambda name=name: done.append(name) for name in "ab"}, 2, lambda *_: None)
    assert "".join(done) == "ababab"
    assert {name: len(values) for name, values in found.items()} == {"a": 2, "b": 2}


def test_the_same_weights_give_the_same_network_whoever_asks():
    one, other = (random_prior(TINY, torch.float32) for _ in range(2))
    problem = Problem.of(32)
    level = one.schedule.level(300)
    with torch.no_grad():
        assert torch.equal(one.denoise(problem.likelihood.y, level).x0, other.denoise(problem.likelihood.y, level).x0)
    assert problem.keep.sum() < problem.keep.numel()


def test_random_weights_depend_on_names_alone():
    shapes = {"b.weight": torch.empty(4, 9), "a.bias": torch.empty(4)}
    state, turned = random_state(shapes), random_state(dict(reversed(shapes.items())))
    assert all(torch.equal(state[name], turned[name]) for name in shapes)
    assert state["b.weight"].std() == pytest.approx(1 / 3, rel=0.3)


def test_a_product_has_two_operations_for_each_of_its_terms():
    a, b = torch.ones(3, 5), torch.ones(5, 7)
    assert counted(lambda: a @ b) == 2 * 3 * 5 * 7


def test_what_is_in_proportion_is_called_straight():
    x = [1.0, 2.0, 4.0, 8.0]
    line = fit(x, [0.3 * v for v in x])
    assert line.slope == pytest.approx(0.3)
    assert line.straight
    assert line.deviation == pytest.approx(0, abs=1e-12)
    assert verdict("steps", x, [0.3 * v for v in x], line).startswith("yes: 300 ms per step")


def test_what_begins_with_a_cost_is_a_line_with_a_start():
    x = [1.0, 2.0, 4.0, 8.0]
    y = [0.5 + 0.1 * v for v in x]
    line = fit(x, y)
    assert not line.straight
    assert (line.start, line.further) == (pytest.approx(0.5), pytest.approx(0.1))
    assert "600 ms per row at 1, 162 at 8; 500 ms plus 100 ms per row" in verdict("batch", x, y, line)


def test_what_bends_is_said_to():
    x = [1.0, 2.0, 4.0, 8.0]
    y = [v**2 for v in x]
    assert verdict("size", x, y, fit(x, y)) == "no: 1e+03 ms per pixel at 1, 8e+03 at 8"


def test_a_clone_that_is_none_is_refused(tmp_path):
    with pytest.raises(PosterioriError, match=r"no guided_diffusion/unet\.py"):
        peers.find(tmp_path, None)
    with pytest.raises(PosterioriError, match="is not a folder"):
        peers.find(None, tmp_path / "site")
    with pytest.raises(SystemExit):
        bench.main(["--quick", "--out", str(tmp_path), "--page", str(tmp_path)])  # quality needs --data


CASE = Case("faces-64", "inpainting", (0, 2), 64, ladder=(2, 4), reference=9)


def store(folder, candidate, steps, psnr, lpips=0.1, seconds=1.0):
    arrays = {"psnr": np.full((2, 1), psnr), "lpips": np.full((2, 1), lpips), "seconds": np.array(seconds)}
    arrays |= {"calls": np.array(steps), "vjps": np.array(0)}
    Store(folder).write(CASE.cell(candidate, steps), Result(arrays=arrays))


def planned(folder):
    names = {CASE.cell(name, n).key: (name, n) for name in quality.CANDIDATES for n in (2, 4, 9)}
    return {names[own.key] for own in quality.cells(CASE, folder)}


def test_samplers_climb_until_they_are_as_good(tmp_path):
    folder = tmp_path / RESULTS
    assert planned(folder) == {("dps", 9)}
    store(folder, "dps", 9, 30.0, seconds=9.0)
    assert planned(folder) == {(name, 2) for name in quality.CANDIDATES}
    store(folder, "ddrm", 2, 29.91, lpips=0.1049, seconds=2.0)  # as good
    store(folder, "ddnm", 2, 31.0, lpips=0.106)  # not in LPIPS
    store(folder, "pigdm", 2, 29.89)  # not in PSNR
    next_ones = planned(folder)
    assert {("ddnm", 4), ("pigdm", 4)} <= next_ones
    assert not any(name == "ddrm" for name, _ in next_ones)
    store(folder, "ddnm", 4, 31.0, lpips=0.106)
    store(folder, "pigdm", 4, 30.0, seconds=1.5)
    assert [(own.candidate, own.steps, own.enough) for own in quality.reached(CASE, folder)] == [
        ("pigdm", 4, True),
        ("ddrm", 2, True),
        ("ddnm", 4, False),
    ]
