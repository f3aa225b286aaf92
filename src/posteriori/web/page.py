"""What is seen: tabs to restore, compare, learn and look at earlier runs. What is asked becomes a ``Request``."""

from __future__ import annotations

import asyncio
import io
import zipfile
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any, get_type_hints

import gradio as gr
import numpy as np
from PIL import Image

from posteriori.errors import PosterioriError
from posteriori.files import read_json
from posteriori.hub.load import list_priors
from posteriori.images.picture import BUNDLED
from posteriori.jobs.progress import clock
from posteriori.likelihoods import NOISES
from posteriori.operators import OPERATORS
from posteriori.restore.inputs import Source
from posteriori.restore.manifest import MANIFEST
from posteriori.restore.request import Request
from posteriori.restore.run import Outcome, summary
from posteriori.samplers import SAMPLERS
from posteriori.settings.fields import Field
from posteriori.web import pieces
from posteriori.web.desk import Desk, Run, Session
from posteriori.web.fields import component, given, offered, text_fields, text_of
from posteriori.web.tasks import (
    CONSIDERED,
    ESTIMATE,
    FRAMES,
    LEARNT,
    LIVE,
    LOOKED,
    OUT,
    PREVIEW,
    Consider,
    Learn,
    Look,
    Restore,
)

#: seconds between two looks at a run
_PULSE = 0.4

FIND, MASK, OTHER = "Find out", "Holes, scratches", "Something else"
#: of what can have happened to a picture: the operator, and its field that is asked for
DAMAGES = {"Blur": ("gaussian-blur", "sigma"), "Low resolution": ("downsample", "factor"), "JPEG": ("jpeg", "quality")}
NOISE_ALONE = "Noise"
USUAL, FOUND, LEVEL = "As usual for that", "Find out", "A level"
#: what is wanted: the method, and the samples and interval that it takes
GOALS: dict[str, tuple[str, dict[str, Any]]] = {
    "Closest to the truth": ("auto", {}),
    "Best looking": ("auto:looks", {}),
    "How sure": ("auto:uncertainty", {"samples": 8, "interval": 0.9}),
}
BY_GOAL = "by what is wanted"
#: options of the command line that are given as they are
ADVANCED = (
    "steps", "samples", "seed", "interval", "widen", "time", "region", "range", "format", "mask_invert", "max_memory",
    "batch", "dtype",
)  # fmt: skip
#: what there is to learn from: the operator of each task
TASKS = {"Inpainting": "box-mask(size=13)", "Deconvolution": "gaussian-blur(sigma=1.5)"}
LEARNERS = {"SDEdit": "sdedit", "ScoreALD": "scoreald", "DPS": "dps"}
PANELS = ("x_t", "x̂₀, the estimate", "y - A(x̂₀), the residual", "its gradient")


@dataclass(frozen=True)
class Offer:
    """What the page offers: ``priors`` besides those that are here, the folder of earlier ``runs``, the ``device``.

    ``meanings`` say what each option of the command line means.
    """

    priors: tuple[str, ...]
    runs: Path
    device: str
    meanings: Mapping[str, str]


@dataclass(frozen=True)
class Page:
    """The blocks and what they are served with."""

    blocks: gr.Blocks
    theme: gr.themes.Base
    css: str
    head: str


def build(desk: Desk, offer: Offer) -> Page:
    """The page."""
    read = lambda name: resources.files("posteriori.web").joinpath(name).read_text("utf-8")  # noqa: E731
    fonts = ["system-ui", "-apple-system", "Segoe UI", "Noto Sans", "sans-serif"]
    theme = gr.themes.Default(
        primary_hue="blue", neutral_hue="slate", font=fonts, font_mono=["ui-monospace", "Consolas", "monospace"]
    ).set(
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        body_text_color_subdued="*neutral_600",
        block_info_text_color="*neutral_600",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
        checkbox_border_color="*neutral_500",
        checkbox_border_color_dark="*neutral_400",
        block_label_text_color="*neutral_700",
        block_title_text_color="*neutral_700",
    )
    with gr.Blocks(title="posteriori", analytics_enabled=False, delete_cache=(3600, 12 * 3600)) as blocks:
        gr.HTML(
            '<header class="pp-head"><h1>posteriori</h1><p>Restores pictures with a diffusion model as prior. They '
            "stay on this machine.</p></header>"
        )
        with gr.Tabs():
            with gr.Tab("Restore"):
                form = _Form(desk, offer)
                _restore_tab(desk, form)
            with gr.Tab("Compare"):
                _compare_tab(desk, form)
            with gr.Tab("Learn"):
                _learn_tab(desk)
            with gr.Tab("Runs"):
                _runs_tab(desk, offer)
        blocks.unload(_leaver(desk))
    blocks.queue(default_concurrency_limit=None, api_open=False)
    return Page(blocks, theme, read("page.css"), f"<script>{read('page.js')}</script>")


def _leaver(desk: Desk) -> Callable[[gr.Request], None]:
    def leave(request: gr.Request) -> None:
        desk.close(request.session_hash or "")

    return leave


class _Form:
    """The picture, what happened to it, and what is wanted."""

    def __init__(self, desk: Desk, offer: Offer):
        self.desk, self.offer = desk, offer
        self.operators, self.samplers, self.noises = offered(OPERATORS), offered(SAMPLERS), offered(NOISES)
        self.priors = [row.name for row in list_priors() if row.file] + list(offer.priors)
        hints = get_type_hints(Request)
        defaults = {name: getattr(Request, name) for name in ADVANCED}
        self.options = [Field(name, hints[name], defaults[name], offer.meanings.get(name, "")) for name in ADVANCED]

    def draw(self) -> None:
        """The components, in the column where this is called."""
        self.upload = gr.File(
            label="A picture, or a measurement (.npy)", height=130, file_count="single", elem_id="upload"
        )
        self.bundled = gr.Radio(list(BUNDLED), label="or a bundled one", elem_id="bundled")
        self.preview = gr.HTML('<p class="pp-none">No picture yet.</p>', elem_id="preview")
        self.simulate = gr.Checkbox(
            False, label="It is clean: degrade it first, then restore it", info="Figures then say how near it came."
        )
        self.damage = gr.Radio(
            [FIND, MASK, *DAMAGES, NOISE_ALONE, OTHER], value=FIND, label="What happened to it", elem_id="damage"
        )
        self.editor = gr.ImageEditor(
            label="Paint over what is to be replaced",
            type="pil",
            image_mode="RGBA",
            sources=[],
            transforms=[],
            layers=False,
            brush=gr.Brush(colors=["#ff2d2d"], default_size=12, color_mode="fixed"),
            format="png",
            visible=False,
            elem_id="editor",
            buttons=[],
        )
        self.amounts = {}
        for name, (operator, field) in DAMAGES.items():
            own = next(own for own in text_fields(self.operators[operator]) if own.name == field)
            meaning = own.meaning[0].upper() + own.meaning[1:]
            whole = 0 if own.type is int else None
            self.amounts[name] = gr.Number(own.default, label=meaning, visible=False, precision=whole)
        self.operator = gr.Dropdown(list(self.operators), value="motion-blur", label="Operator", visible=False)
        self.values = gr.State({})
        self._rendered(self.operator, self.operators, self.damage, OTHER)
        noises = [USUAL, FOUND, LEVEL, *self.noises.keys() - {"gaussian"}]
        self.noise = gr.Dropdown(sorted(noises, key=noises.index), value=USUAL, label="Noise")
        self.level = gr.Number(5, label="Its level, of 255", minimum=0, step=1, visible=False)
        self._rendered(self.noise, self.noises, None, "")
        self.goal = gr.Radio(list(GOALS), value=next(iter(GOALS)), label="What is wanted", elem_id="goal")
        with gr.Row():
            self.prior = gr.Dropdown(
                [("chosen by its size", ""), *((name, name) for name in self.priors)],
                value="",
                label="Prior",
                min_width=220,
            )
            fits = [("as it is", ""), ("crop", "crop"), ("pad", "pad"), ("resize", "resize")]
            self.fit = gr.Dropdown(fits, value="", label="Size, for priors of one size", min_width=220)
        with gr.Accordion("Advanced", open=False, elem_id="advanced"):
            self.sampler = gr.Dropdown([BY_GOAL, *self.samplers], value=BY_GOAL, label="Method")
            self._rendered(self.sampler, self.samplers, None, "")
            self.advanced = {field.name: component(field, "option") for field in self.options}
        self.damage.change(
            self._shown, self.damage, [self.editor, *self.amounts.values(), self.operator], show_progress="hidden"
        )
        self.noise.change(lambda own: gr.update(visible=own == LEVEL), self.noise, self.level, show_progress="hidden")
        self.looked = gr.State({})
        taken = [self.upload, self.preview, self.editor, self.looked, self.bundled]
        self.upload.upload(self._uploaded, self.upload, taken, show_progress="minimal")
        self.bundled.input(self._picked, self.bundled, taken, show_progress="hidden")

    @property
    def inputs(self) -> set[Any]:
        plain = {self.simulate, self.damage, self.editor, self.operator, self.noise, self.level, self.goal, self.prior}
        more = {self.fit, self.sampler, self.values, self.looked}
        return plain | more | set(self.amounts.values()) | set(self.advanced.values())

    @property
    def changed(self) -> list[Any]:
        """What says that one of the inputs is another."""
        return [own.change for own in self.inputs - {self.editor}]

    def request(self, data: Mapping[Any, Any], session: Session) -> tuple[Request, bytes | None]:
        """What was asked for, and the mask. PosterioriError where something is missing."""
        if not session.picture:
            raise PosterioriError("there is no picture yet: drop one above, or pick a bundled one")
        options = {field.name: given(field, data[self.advanced[field.name]]) for field in self.options}
        goal, own = GOALS[data[self.goal]]
        sampler = data[self.sampler]
        if sampler != BY_GOAL:
            goal = text_of(self.samplers[sampler], data[self.values].get(sampler, {}))
        damage, simulate, mask = data[self.damage], bool(data[self.simulate]), None
        operator = None
        if damage == MASK:
            mask = _mask(data[self.editor], data[self.looked].get("size"))
        elif damage == NOISE_ALONE:
            operator = "identity"
        elif damage == OTHER:
            name = data[self.operator]
            operator = text_of(self.operators[name], data[self.values].get(name, {}))
        elif damage in DAMAGES:
            name, field = DAMAGES[damage]
            operator = text_of(self.operators[name], {field: data[self.amounts[damage]]})
        prior = data[self.prior] or None
        if prior and prior not in self.priors:
            raise PosterioriError(f"no prior is called {prior}: there are {', '.join(self.priors)}")
        asked = Request(
            (session.picture,),
            operator=operator,
            sampler=goal,
            noise=self._noise(data),
            simulate=simulate,
            mask="mask.png" if mask else None,
            fit=data[self.fit] or None,
            prior=prior,
            device=self.offer.device,
            **{**own, **_set(options)},
        )
        return asked, mask

    def _noise(self, data: Mapping[Any, Any]) -> str | None:
        noise = data[self.noise]
        if noise == USUAL:
            return "auto" if data[self.damage] == NOISE_ALONE and not data[self.simulate] else None
        if noise == FOUND:
            return "auto"
        if noise == LEVEL:
            return f"{float(data[self.level] or 0):g}/255"
        return text_of(self.noises[noise], data[self.values].get(noise, {}))

    def _rendered(self, chooser: Any, classes: Mapping[str, Any], switch: Any, on: str) -> None:
        """The fields of the class that is chosen, where ``switch`` is ``on``."""
        watched = [chooser, switch] if switch else [chooser]

        @gr.render(inputs=watched, triggers=[own.change for own in watched])
        def fields_of(name: str, switched: str = "") -> None:
            if name not in classes or switched != on:
                return
            for field in text_fields(classes[name]):
                box = component(field, name)
                box.change(_noting(name, field.name), [self.values, box], self.values, show_progress="hidden")

    def _shown(self, damage: str) -> list[Any]:
        amounts = [gr.update(visible=damage == name) for name in self.amounts]
        return [gr.update(visible=damage == MASK), *amounts, gr.update(visible=damage == OTHER)]

    def _uploaded(self, upload: str | None, request: gr.Request) -> list[Any]:
        session = self.desk.session(request.session_hash or "")
        if upload is None:
            return [None, *[gr.skip()] * 4]
        session.take(Path(upload))
        return [None, *self._seen(session), None]

    def _picked(self, name: str, request: gr.Request) -> list[Any]:
        session = self.desk.session(request.session_hash or "")
        if name not in BUNDLED:
            return [gr.skip()] * 5
        session.file, session.picture = None, name
        return [None, *self._seen(session), gr.skip()]

    def _seen(self, session: Session) -> list[Any]:
        """The preview, the editor and what was found, or why it cannot be read; then there is no picture."""
        folder, name = session.working_folder(), session.picture
        try:
            run = self.desk.start(session, self.desk.quick, Look(str(folder), name, self.desk.limits.pixels)).join()
            if run.state != "done":
                raise PosterioriError(run.problem)
            looked = read_json(folder / LOOKED)
        except PosterioriError as error:
            session.file, session.picture = None, ""
            return [pieces.status(str(error), "failed"), None, {}]
        about = f"{name}, {looked['about']}"
        if looked["size"] is None:
            return [pieces.status(about), None, looked]
        url = self.desk.publish(session, {"preview.png": folder / PREVIEW}) + "/preview.png"
        found = f"<details><summary>What is found in it</summary>{pieces.lines(looked['lines'])}</details>"
        seen = f'<figure class="pp-given">{pieces.picture(url, about)}<figcaption>{escape(about)}</figcaption></figure>'
        with Image.open(folder / PREVIEW) as picture:
            background = picture.convert("RGB")
        return [seen + found, {"background": background, "layers": [], "composite": None}, looked]


def _noting(name: str, field: str) -> Callable[[dict[str, Any], Any], dict[str, Any]]:
    """Notes the value of a field of a class."""

    def note(values: dict[str, Any], value: Any) -> dict[str, Any]:
        return {**values, name: {**values.get(name, {}), field: value}}

    return note


def _set(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _mask(drawn: Mapping[str, Any] | None, size: list[int] | None) -> bytes:
    """What was painted, as a mask of the picture's (height, width): white is restored."""
    layers = (drawn or {}).get("layers") or []
    if not layers or size is None:
        raise PosterioriError("nothing is painted yet: paint over what is to be replaced")
    alpha = np.maximum.reduce([np.asarray(layer.convert("RGBA"))[..., 3] for layer in layers])
    mask = Image.fromarray(np.where(alpha >= 128, 255, 0).astype(np.uint8))
    if mask.size != (size[1], size[0]):
        mask = mask.resize((size[1], size[0]), Image.Resampling.NEAREST)
    file = io.BytesIO()
    mask.save(file, "PNG")
    return file.getvalue()


def _restore_tab(desk: Desk, form: _Form) -> None:
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=320):
            form.draw()
        with gr.Column(scale=6, min_width=320):
            estimate = gr.HTML(pieces.status("How long it will take is said here."), elem_id="estimate")
            with gr.Row():
                go = gr.Button("Restore", variant="primary", elem_id="go")
                cancel = gr.Button("Cancel", visible=False, elem_id="cancel")
                another = gr.Button("Draw another", visible=False, elem_id="another")
            told = gr.HTML("", elem_id="told")
            view = gr.HTML(pieces.empty(), elem_id="view")
            command = gr.Textbox(
                label="The same on the command line, beside the files of the zip",
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
        text = "how long it takes cannot be timed beforehand" if seconds is None else f"about {clock(max(seconds, 1))}"
        details = f"<details><summary>What will be done</summary>{pieces.lines(found['lines'])}</details>"
        return pieces.status(f"It will take {text}." if seconds is not None else text, curve=details)

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
    """Restores, and shows how far that is: as outputs of the tab."""
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
    yield [pieces.status("It begins."), gr.skip(), gr.update(visible=False), *busy, again]
    before = None
    while not run.over:
        seen = _progress(desk, run, folder)
        if seen != before:
            yield [*seen, gr.skip(), *[gr.skip()] * 4]
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
    """The line of a run that is not over, and the picture of its estimate."""
    if run.state == "waiting":
        place = desk.device.place(run)
        return [pieces.status(f"{place} before you: it begins when the device is free.", done=0), gr.skip()]
    live = read_json(folder / LIVE) if (folder / LIVE).is_file() else None
    if live is None:
        return [pieces.status(f"{what}The prior is loaded and the picture read.", done=run.done), gr.skip()]
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
    return manifest.parent, _row(manifest, out)


def _row(manifest: Path, out: Path) -> dict[str, Any]:
    about = read_json(manifest)
    return summary(Outcome(Source(about["input"]["file"], about["name"]), about), out)


def _files(folder: Path) -> dict[str, Path]:
    """The files in ``folder`` and below, none hidden, by their names."""
    found = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name: path for name, path in found.items() if not any(part.startswith(".") for part in name.split("/"))}


def _pack(folder: Path, archive: Path, line: str) -> None:
    """What lies in ``folder``, in one file: the picture, the mask, what was made of them, and the line to type."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as packed:
        for name, path in _files(folder).items():
            if path != archive:
                packed.write(path, name)
        packed.writestr("command.txt", line + "\n")


def _compare_tab(desk: Desk, form: _Form) -> None:
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


def _learn_tab(desk: Desk) -> None:
    gr.HTML(
        "<p>Every method walks from noise to a picture. Here one walks on a bundled face, 64 pixels a side, and each "
        "step can be looked at: the state x_t, the estimate x̂₀ that the network makes of it, what of y that leaves "
        "unexplained, and the gradient of its norm at x_t.</p>"
    )
    with gr.Row():
        task = gr.Radio(list(TASKS), value="Deconvolution", label="Task")
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


def _runs_tab(desk: Desk, offer: Offer) -> None:
    folder = offer.runs
    gr.HTML(f"<p>What earlier commands left in <code>{escape(str(folder))}</code>.</p>")
    chosen = gr.Dropdown(_runs(folder), label="Run", value=None, elem_id="runs", allow_custom_value=False)
    again = gr.Button("Look again")
    view = gr.HTML("", elem_id="run")

    def opened(name: str | None, request: gr.Request) -> str:
        there = dict.fromkeys(_runs(folder))
        if name not in there:
            return ""
        session, path = desk.session(request.session_hash or ""), folder / name
        files = _files(path)
        base = desk.publish(session, files)
        if MANIFEST in files:
            return pieces.result(base, files, _row(path / MANIFEST, path.parent), "")
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
