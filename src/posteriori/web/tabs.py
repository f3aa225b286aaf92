"""The tabs Restore, Compare, Learn and Runs, and the progress of the runs in them."""

from __future__ import annotations

import asyncio
import zipfile
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from posteriori.errors import PosterioriError
from posteriori.files import read_json
from posteriori.jobs.progress import clock
from posteriori.restore.manifest import MANIFEST
from posteriori.restore.request import Request
from posteriori.restore.summary import row as row_of
from posteriori.settings.fields import Field
from posteriori.web import pieces
from posteriori.web.desk import Desk, Run
from posteriori.web.fields import component, given
from posteriori.web.form import Form
from posteriori.web.tasks import CONSIDERED, ESTIMATE, FRAMES, LEARNT, LIVE, OUT, Consider, Learn, Restore

#: seconds between updates of a run's progress
_PULSE = 0.4
#: the tasks of the tab Learn, with their operators
TASKS = {"Inpainting": "box-mask(size=13)", "Deconvolution": "gaussian-blur(sigma=1.5)"}
LEARNERS = {"SDEdit": "sdedit", "ScoreALD": "scoreald", "DPS": "dps"}
PANELS = ("x_t", "x̂₀, the estimate", "y - A(x̂₀), the residual", "its gradient")


def restore_tab(desk: Desk, form: Form) -> None:
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=320):
            form.draw()
        with gr.Column(scale=6, min_width=320):
            estimate = gr.HTML(pieces.status("The estimated time will be here."), elem_id="estimate")
            with gr.Row():
                go = gr.Button("Restore", variant="primary", elem_id="go")
                cancel = gr.Button("Cancel", visible=False, elem_id="cancel")
                another = gr.Button("Draw another", visible=False, elem_id="another")
            told = gr.HTML("", elem_id="told")
            view = gr.HTML(pieces.empty(), elem_id="view")
            command = gr.Textbox(
                label="The same on the command line, run in the unpacked zip",
                buttons=["copy"],
                lines=2,
                interactive=False,
                visible=False,
                elem_id="command",
            )
    last = gr.State(None)
    outputs = [told, view, command, go, cancel, another, last]

    async def considered(data: dict[Any, Any], request: gr.Request) -> str:
        session = desk.session(request.session_hash or "")
        try:
            asked, mask = form.request(data, session)
            folder = session.working_folder(mask)
            run = desk.start(session, desk.quick, Consider(str(folder), asked))
            while not run.over:
                await asyncio.sleep(0.1)
            if run.state != "done":
                raise PosterioriError(run.problem)
        except PosterioriError as error:
            return pieces.status(str(error))
        found = read_json(folder / CONSIDERED)
        seconds = found["seconds"]
        text = "The time cannot be estimated in advance."
        if seconds is not None:
            text = f"It will take about {clock(max(seconds, 1))}."
        details = f"<details><summary>What will be done</summary>{pieces.lines(found['lines'])}</details>"
        return pieces.status(text, curve=details)

    async def restored(data: dict[Any, Any], request: gr.Request) -> AsyncIterator[list[Any]]:
        try:
            asked, mask = form.request(data, desk.session(request.session_hash or ""))
        except PosterioriError as error:
            yield [pieces.status(str(error), "failed"), *[gr.skip()] * 6]
            return
        async for seen in _watched(desk, request, asked, mask):
            yield seen

    async def drawn(before: tuple[Request, bytes | None], request: gr.Request) -> AsyncIterator[list[Any]]:
        asked, mask = before
        async for seen in _watched(desk, request, replace(asked, seed=asked.seed + 1), mask):
            yield seen

    gr.on(form.changed, considered, form.inputs, estimate, trigger_mode="always_last", show_progress="hidden")
    go.click(restored, form.inputs, outputs, show_progress="hidden")
    another.click(drawn, last, outputs, show_progress="hidden")
    cancel.click(_canceller(desk), None, None, show_progress="hidden")


def _canceller(desk: Desk) -> Callable[[gr.Request], None]:
    def cancel(request: gr.Request) -> None:
        for run in desk.session(request.session_hash or "").runs:
            run.stop()

    return cancel


async def _watched(desk: Desk, request: gr.Request, asked: Request, mask: bytes | None) -> AsyncIterator[list[Any]]:
    """Restores, and yields the tab's outputs with the progress."""
    session = desk.session(request.session_hash or "")
    line, again = asked.command(OUT), (asked, mask)
    busy = [gr.update(visible=False), gr.update(visible=True), gr.update(visible=False)]
    idle = [gr.update(visible=True), gr.update(visible=False)]
    try:
        folder = session.working_folder(mask)
        run = desk.start(session, desk.device, Restore(str(folder), asked))
    except PosterioriError as error:
        yield [pieces.status(str(error), "failed"), gr.skip(), gr.skip(), *idle, gr.skip(), gr.skip()]
        return
    yield [pieces.status("Starting."), gr.skip(), gr.update(visible=False), *busy, again]
    before = None
    while not run.over:
        seen = _progress(desk, run, folder)
        if seen != before:
            yield [*seen, gr.skip(), *busy, gr.skip()]
        before = seen
        await asyncio.sleep(_PULSE)
    if run.state != "done":
        kind = "failed" if run.state == "failed" else ""
        text = run.problem or "Cancelled. The last estimate stays here."
        yield [pieces.status(text, kind), gr.skip(), gr.skip(), *idle, gr.skip(), gr.skip()]
        return
    entry, row = _entry(folder / OUT)
    files = _files(entry)
    archive = folder / "restored.zip"
    await asyncio.to_thread(_pack, folder, archive, line)
    base = desk.publish(session, {**files, "restored.zip": archive})
    shown = pieces.result(base, files, row, f"{base}/restored.zip")
    text = f"Done in {clock(row['seconds'])}, seed {asked.seed}."
    yield [
        pieces.status(text, "done"),
        shown,
        gr.update(value=line, visible=True),
        *idle,
        gr.update(visible=True),
        again,
    ]


def _progress(desk: Desk, run: Run, folder: Path, what: str = "") -> list[str]:
    """The status line of a run that is not over, and its current estimate."""
    if run.state == "waiting":
        place = desk.device.place(run)
        return [pieces.status(f"{place} before you. It starts when the device is free.", done=0), gr.skip()]
    live = read_json(folder / LIVE) if (folder / LIVE).is_file() else None
    if live is None:
        return [pieces.status(f"{what}Loading the prior and the picture.", done=run.done), gr.skip()]
    step = max(live["step"], round(run.done * live["steps"]))
    residual = f", residual {live['curve'][-1][1]:.3g}" if live["curve"] else ""
    text = f"{what}Step {step} of {live['steps']}{pieces.left(run.seconds_left)}{residual}"
    curve = pieces.curve(live["curve"], "residual |y - A(x̂₀)| by step")
    said = "".join(f" {text}" for text in live["said"])
    picture = pieces.picture(pieces.inline(folder / ESTIMATE, "webp"), "the estimate so far")
    return [pieces.status(text + said, done=run.done, curve=curve), f'<div class="pp-live">{picture}</div>']


def _entry(out: Path) -> tuple[Path, dict[str, Any]]:
    """The folder of the one picture in ``out``, and its row of results.json."""
    manifest = next(iter(sorted(out.rglob(MANIFEST))))
    return manifest.parent, row_of(manifest, out)


def _files(folder: Path) -> dict[str, Path]:
    """The files in ``folder`` and below, none hidden, by their names."""
    found = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name: path for name, path in found.items() if not any(part.startswith(".") for part in name.split("/"))}


def _pack(folder: Path, archive: Path, line: str) -> None:
    """Packs ``folder`` into one file: the picture, the mask, the results, and the command line."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED, strict_timestamps=False) as packed:
        for name, path in _files(folder).items():
            if path != archive:
                packed.write(path, name)
        packed.writestr("command.txt", line + "\n")


def compare_tab(desk: Desk, form: Form) -> None:
    gr.HTML("<p>The picture, and what happened to it, are those of the first tab.</p>")
    names = ["auto", "auto:looks", *form.samplers]
    methods = gr.CheckboxGroup(names, value=["auto", "dps", "diffpir"], label="Methods", elem_id="methods")
    count = Field("steps", int | None, None, "of each method; by default its own, at most 250")
    steps = component(count, "compare")
    with gr.Row():
        go = gr.Button("Compare", variant="primary", elem_id="compare")
        cancel = gr.Button("Cancel", visible=False)
    told, view = gr.HTML("", elem_id="compared"), gr.HTML("")
    outputs = [told, view, go, cancel]

    async def compared(data: dict[Any, Any], request: gr.Request) -> AsyncIterator[list[Any]]:
        session = desk.session(request.session_hash or "")
        idle = [gr.update(visible=True), gr.update(visible=False)]
        busy = [gr.update(visible=False), gr.update(visible=True)]
        chosen, rows, crops, problems = [name for name in data[methods] if name in names], [], [], []
        try:
            if not chosen:
                raise PosterioriError("no method is chosen: choose two or more")
            asked, mask = form.request(data, session)
            number = given(count, data[steps])
        except PosterioriError as error:
            yield [pieces.status(str(error), "failed"), gr.skip(), *idle]
            return
        for i, name in enumerate(chosen, 1):
            folder = session.working_folder(mask)
            try:
                one = replace(asked, sampler=name, steps=number)
                run = desk.start(session, desk.device, Restore(str(folder), one))
            except PosterioriError as error:
                problems.append(f"{name}: {error}")
                continue
            while not run.over:
                line, _ = _progress(desk, run, folder, f"{name}, {i} of {len(chosen)}: ")
                yield [line, gr.skip(), *busy]
                await asyncio.sleep(_PULSE)
            if run.state == "cancelled":
                break
            if run.state == "failed":
                problems.append(f"{name}: {run.problem}")
                continue
            entry, row = _entry(folder / OUT)
            files = _files(entry)
            base = desk.publish(session, files)
            if not crops:
                crops.append(("measurement", f"{base}/measurement.png"))
                crops += [("truth", f"{base}/truth.png")] if "truth.png" in files else []
            rows.append((name, row))
            crops.append((name, f"{base}/{'mean.png' if 'mean.png' in files else 'restored.png'}"))
            yield [gr.skip(), pieces.compared(rows, crops), *busy]
        text = "; ".join([f"{len(rows)} of {len(chosen)} done", *problems])
        yield [pieces.status(text, "failed" if problems else "done"), gr.skip(), *idle]

    go.click(compared, form.inputs | {methods, steps}, outputs, show_progress="hidden")
    cancel.click(_canceller(desk), None, None, show_progress="hidden")


def learn_tab(desk: Desk) -> None:
    gr.HTML(
        "<p>Every method goes from noise to a picture. Here you can look at its steps on a bundled face of 64 x 64 "
        "pixels: the state x_t, the network's estimate x̂₀, the residual y&nbsp;-&nbsp;A(x̂₀), and the gradient of the "
        "residual's norm at x_t.</p>"
    )
    with gr.Row():
        task = gr.Radio(list(TASKS), value="Deconvolution", label="Task", min_width=220)
        method = gr.Radio(list(LEARNERS), value="DPS", label="Method", elem_id="learner")
        seed = gr.Number(0, label="Seed", precision=0, minimum=0)
    go = gr.Button("Walk", variant="primary", elem_id="walk")
    told, view = gr.HTML("", elem_id="walked"), gr.HTML("", elem_id="steps")

    async def learnt(task: str, method: str, seed: int, request: gr.Request) -> AsyncIterator[list[Any]]:
        session = desk.session(request.session_hash or "")
        folder = session.new_folder()
        try:
            learn = Learn(str(folder), "astronaut", TASKS[task], LEARNERS[method], 0.05, max(0, int(seed or 0)))
            run = desk.start(session, desk.device, learn)
        except PosterioriError as error:
            yield [pieces.status(str(error), "failed"), gr.skip()]
            return
        while not run.over:
            place = desk.device.place(run)
            waits = run.state == "waiting"
            text = f"{place} before you" if waits else f"{method} walks{pieces.left(run.seconds_left)}"
            yield [pieces.status(text, done=run.done), gr.skip()]
            await asyncio.sleep(_PULSE)
        if run.state != "done":
            yield [pieces.status(run.problem or "Cancelled.", "failed"), gr.skip()]
            return
        found = read_json(folder / LEARNT)
        base = desk.publish(session, {"learn.png": folder / FRAMES})
        text = f"{method}, {task.lower()}: {len(found['rows'])} of its steps. Move the slider."
        yield [pieces.status(text, "done"), pieces.walk(f"{base}/learn.png", found["rows"], PANELS)]

    go.click(learnt, [task, method, seed], [told, view], show_progress="hidden")


def runs_tab(desk: Desk, folder: Path) -> None:
    gr.HTML(f"<p>Results of earlier commands in <code>{escape(str(folder))}</code>.</p>")
    chosen = gr.Dropdown(_runs(folder), label="Run", value=None, elem_id="runs", allow_custom_value=False)
    again = gr.Button("Refresh")
    view = gr.HTML("", elem_id="run")

    def opened(name: str | None, request: gr.Request) -> str:
        there = dict.fromkeys(_runs(folder))
        if name not in there:
            return ""
        session, path = desk.session(request.session_hash or ""), folder / name
        files = _files(path)
        base = desk.publish(session, files)
        if MANIFEST in files:
            return pieces.result(base, files, row_of(path / MANIFEST, path.parent), "")
        return f'<iframe class="pp-report" src="{base}/{_report(files)}" title="{escape(name)}"></iframe>'

    chosen.change(opened, chosen, view, show_progress="hidden")
    again.click(lambda: gr.update(choices=_runs(folder)), None, chosen, show_progress="hidden")


def _runs(folder: Path) -> list[str]:
    """The folders in ``folder`` and below that hold a restored picture or a report, newest first."""
    if not folder.is_dir():
        return []
    found = {path.parent for path in folder.rglob(MANIFEST) if (path.parent / "measurement.png").is_file()}
    found |= {path.parent for path in folder.rglob("*.html")}
    newest = sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)
    names = [path.relative_to(folder).as_posix() for path in newest]
    return [name for name in names if not any(part.startswith(".") for part in name.split("/"))]


def _report(files: Mapping[str, Path]) -> str:
    return next(name for name in sorted(files) if name.endswith(".html"))
