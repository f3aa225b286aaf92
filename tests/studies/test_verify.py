"""``posteriori verify``: gone on with, shared, and its pages. What it measures is tested in test_verification.py."""

import re
from dataclasses import replace

import pytest

from posteriori.cli import main
from posteriori.jobs.executors import executor_of
from posteriori.jobs.lock import claimed_folder
from posteriori.jobs.store import Result
from posteriori.samplers import DDIM, DPS, SAMPLERS
from posteriori.studies.verification import plan
from posteriori.studies.verification.cells import Cell, Record, record
from posteriori.studies.verification.grid import Grid
from posteriori.studies.verification.page import write
from posteriori.studies.verification.pictures import PowerLawPictures
from posteriori.studies.verification.plan import QUICK, Scope, cells, what_is_done
from posteriori.studies.verification.results import rows
from posteriori.studies.verification.run import run

MASK = QUICK.problems[1][0]
TINY = Scope(((Grid(n=100, d=8, d_y=1), 3), (replace(MASK, pairs=4), 2)), (4,), Grid(n=100, d=8, d_y=1))


def test_a_run_that_was_stopped_goes_on_and_gives_the_same_tables(tmp_path, monkeypatch):
    todo = cells(TINY, [DDIM, DPS], 0)
    written = lambda out, records: write(rows(records), TINY, 0, out, command=["verify"])  # noqa: E731
    (tmp_path / "whole").mkdir()
    written(tmp_path / "whole", run(todo, tmp_path / "whole", executor_of()))

    compute, done = Cell.compute, []

    def stop(cell):
        if len(done) == 4:
            raise KeyboardInterrupt
        done.append(cell)
        return compute(cell)

    monkeypatch.setattr(Cell, "compute", stop)
    (tmp_path / "stopped").mkdir()
    with pytest.raises(KeyboardInterrupt):
        run(todo, tmp_path / "stopped", executor_of())
    damaged = tmp_path / "stopped" / "cells" / f"{done[1].key}.npz"
    damaged.write_bytes(damaged.read_bytes()[:50])
    monkeypatch.setattr(Cell, "compute", lambda cell: done.append(cell) or compute(cell))
    records = run(todo, tmp_path / "stopped", executor_of())
    assert len(done) == len(todo) + 1  # the damaged one twice
    written(tmp_path / "stopped", records)
    whole, stopped = (tmp_path / name / "verification.csv" for name in ("whole", "stopped"))
    assert whole.read_bytes() == stopped.read_bytes()

    page = {name: (tmp_path / "stopped" / name).read_bytes() for name in ("verification.md", "index.html", "costs.csv")}
    written(tmp_path / "stopped", run(todo, tmp_path / "stopped", executor_of()))
    assert len(done) == len(todo) + 1
    assert all((tmp_path / "stopped" / name).read_bytes() == content for name, content in page.items())
    assert (tmp_path / "stopped" / "verification" / "dps.png").is_file()
    assert b"verification/dps.png" in page["verification.md"]


def test_two_processes_give_what_one_gives(tmp_path):
    todo = cells(TINY, [DDIM], 0)
    one, two = (run(todo, tmp_path / str(n), executor_of(n=n)) for n in (1, 2))
    assert [record.statistics for record in one.values()] == [record.statistics for record in two.values()]


def test_records_of_earlier_versions_are_read():
    """Files call the statistics figures: the name in the code has changed, that in files has not."""
    stored = {"figures": {"distance": 0.5}, "calls": 20.0, "vjps": 0.0, "seconds": 1.0, "points": None}
    assert record(Result(stored)) == Record({"distance": 0.5}, 20.0, 0.0, 1.0)


def test_the_full_scope_is_the_papers():
    sizes = {(p.d, p.d_y): seeds for p, seeds in plan.FULL.problems if isinstance(p, Grid)}
    assert sizes == {(d, m): seeds for d, seeds in ((8, 20), (80, 20), (800, 5)) for m in (1, 2, 4)}
    assert {p.n for p, _ in plan.FULL.problems if isinstance(p, Grid)} == {2000}
    assert {p.pairs * seeds for p, seeds in plan.FULL.problems if isinstance(p, PowerLawPictures)} == {300}
    todo = cells(plan.FULL, SAMPLERS, 0)  # with the settings of all of them
    assert plan.FULL.dimensions == [8, 80, 800]
    assert plan.FULL.up_to(80).dimensions == [8, 80]
    assert plan.FULL.up_to(80).problems[-3:] == plan.FULL.problems[-3:]
    seeds = sum(seeds for _, seeds in plan.FULL.problems)
    assert len(todo) == len(set(todo)) == seeds * (1 + 2 * len(SAMPLERS))


def test_the_command(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(plan, "QUICK", TINY)
    monkeypatch.setattr("sys.argv", ["posteriori", "verify", "--quick", "--samplers", "ddim", "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert not stopped.value.code
    shown = capsys.readouterr()
    assert shown.out == f"report: {tmp_path / 'index.html'}\n"
    assert re.fullmatch(r"about \d:\d\d:\d\d left\n", shown.err)
    page = (tmp_path / "index.html").read_text("utf-8")
    assert page.count("data:image/png;base64,") == 1
    assert "exact (the floor)" in page


def test_the_page_of_what_is_done(tmp_path, capsys, monkeypatch):
    def command(*arguments):
        words = ["posteriori", "verify", "--quick", "--samplers", "ddim", "--out", str(tmp_path), *arguments]
        monkeypatch.setattr("sys.argv", words)
        with pytest.raises(SystemExit) as stopped:
            main()
        return stopped.value.code

    monkeypatch.setattr(plan, "QUICK", TINY)
    assert command("--done") == 1
    assert "grid d=8 d_y=1 is not done, and the page begins with it: run it first" in capsys.readouterr().err
    extra = replace(TINY, problems=(*TINY.problems, (Grid(n=100, d=80, d_y=2), 2)))
    assert not command()
    whole = (tmp_path / "verification.csv").read_bytes()
    monkeypatch.setattr(plan, "QUICK", extra)
    assert not command("--done")
    assert (tmp_path / "verification.csv").read_bytes() == whole
    assert "Not run: grid d=80 d_y=2." in (tmp_path / "verification.md").read_text("utf-8")


def test_the_page_says_what_a_sampler_was_not_run_on(tmp_path):
    planned = cells(TINY, [DDIM, DPS], 0)
    first, second = (problem for problem, _ in TINY.problems)
    todo = [cell for cell in planned if cell.problem == first or cell.method != "dps" or cell.seed == 0]
    scope, records = what_is_done(TINY, planned, run(todo, tmp_path, executor_of()))
    assert scope.problems == TINY.problems
    assert scope.left_out == (f"dps in 4 steps on {second.name}",)
    assert set(planned) - set(records) == {own for own in planned if (own.problem, own.method) == (second, "dps")}
    assert what_is_done(replace(TINY, steps=(4, 8)), cells(replace(TINY, steps=(4, 8)), [DDIM], 0), records)[
        0
    ].steps == (4,)
    write(rows(records), scope, 0, tmp_path, command=["verify"])
    text = (tmp_path / "verification.md").read_text("utf-8")
    assert re.search(r"\| dps \| [\d.]+ \| not run \| not run \| 4 \|", text)
    assert len(re.findall(r"^\| dps ", text, re.MULTILINE)) == 4  # the summary and the grid's three tables


def test_names_that_are_no_samplers(tmp_path, capsys, monkeypatch):
    out = tmp_path / "out"
    monkeypatch.setattr("sys.argv", ["posteriori", "verify", "--samplers", "dsp", "--out", str(out)])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert not out.exists()


def test_a_folder_in_use_is_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["posteriori", "verify", "--quick", "--out", str(tmp_path)])
    with claimed_folder(tmp_path), pytest.raises(SystemExit):
        main()
    assert "another posteriori command" in capsys.readouterr().err
