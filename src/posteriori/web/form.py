"""The page's form: the picture, what happened to it, and what is wanted. It becomes a ``Request``."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, get_type_hints

import gradio as gr
import numpy as np
from PIL import Image

from posteriori.errors import PosterioriError
from posteriori.files import read_json
from posteriori.hub.load import list_priors
from posteriori.images.picture import BUNDLED
from posteriori.likelihoods import NOISES
from posteriori.operators import OPERATORS
from posteriori.restore.request import Request
from posteriori.samplers import SAMPLERS
from posteriori.settings.fields import Field
from posteriori.web import pieces
from posteriori.web.desk import Desk, Session
from posteriori.web.fields import component, given, offered, text_fields, text_of
from posteriori.web.tasks import LOOKED, PREVIEW, Look

FIND, MASK, OTHER = "Find out", "Holes, scratches", "Something else"
#: what can have happened to a picture: the operator, and its field that the form asks for
DAMAGES = {"Blur": ("gaussian-blur", "sigma"), "Low resolution": ("downsample", "factor"), "JPEG": ("jpeg", "quality")}
NOISE_ALONE = "Noise"
USUAL, FOUND, LEVEL = "Default", "Find out", "A level"
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


@dataclass(frozen=True)
class Offer:
    """What the page offers: ``priors`` besides the installed ones, the folder of earlier ``runs``, the ``device``.

    ``meanings`` say what each option of the command line means.
    """

    priors: tuple[str, ...]
    runs: Path
    device: str
    meanings: Mapping[str, str]


class Form:
    """The picture, what happened to it, and what is wanted."""

    def __init__(self, desk: Desk, offer: Offer):
        self.desk, self.offer = desk, offer
        self.operators, self.samplers, self.noises = offered(OPERATORS), offered(SAMPLERS), offered(NOISES)
        self.priors = [row.name for row in list_priors() if row.file] + list(offer.priors)
        hints = get_type_hints(Request)
        defaults = {name: getattr(Request, name) for name in ADVANCED}
        self.options = [Field(name, hints[name], defaults[name], offer.meanings.get(name, "")) for name in ADVANCED]

    def draw(self) -> None:
        """Draws the components in the current column."""
        self.upload = gr.File(
            label="A picture, or a measurement (.npy)", height=130, file_count="single", elem_id="upload"
        )
        self.bundled = gr.Radio(list(BUNDLED), label="or a bundled one", elem_id="bundled")
        self.preview = gr.HTML('<p class="pp-none">No picture yet.</p>', elem_id="preview")
        self.simulate = gr.Checkbox(
            False,
            label="It is clean: degrade it first, then restore it",
            info="Metrics then say how close the result is to it.",
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
        """The events of a changed input."""
        return [own.change for own in self.inputs - {self.editor}]

    def request(self, data: Mapping[Any, Any], session: Session) -> tuple[Request, bytes | None]:
        """The request, and the mask. Raises PosterioriError if something is missing."""
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
        """Shows the fields of the chosen class if ``switch`` is ``on``."""
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
        """The preview, the editor and the diagnosis; or, if the picture cannot be read, why, and no picture."""
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
    """A function that notes the value of a field of a class."""

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
