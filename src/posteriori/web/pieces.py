"""The page's HTML, made from the manifests and files that the command line writes too."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from posteriori.jobs.progress import clock


def status(text: str, kind: str = "", *, done: float | None = None, curve: str = "") -> str:
    """A line that screen readers read out, with a bar where something is under way."""
    bar = "" if done is None else f'<progress max="1" value="{done:.3f}" aria-label="progress"></progress>'
    role = "alert" if kind == "failed" else "status"
    return f'<div class="pp-status {kind}" role="{role}">{bar}<p>{escape(text)}</p>{curve}</div>'


def empty() -> str:
    """What is shown before the first restoration."""
    return (
        '<div class="pp-empty"><p>The restored picture will be here.</p><p>Give a picture, say what happened to it, '
        "and press Restore.</p></div>"
    )


def lines(found: Iterable[Sequence[str]]) -> str:
    """(subject, finding) pairs as a list."""
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in found)
    return f'<dl class="pp-lines">{rows}</dl>' if rows else ""


def picture(url: str, text: str) -> str:
    return f'<img class="pp-picture" src="{escape(url)}" alt="{escape(text)}">'


def inline(path: Path, kind: str) -> str:
    """The file as a data URL."""
    return f"data:image/{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def curve(points: Sequence[Sequence[float]], label: str, *, at: bool = False) -> str:
    """A line through ``points`` (x, y), y from 0; with ``at``, a marker that a script moves."""
    if len(points) < 2:
        return ""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    left, width, top = min(xs), max(xs) - min(xs) or 1, max(ys) or 1
    placed = " ".join(f"{300 * (x - left) / width:.1f},{60 - 56 * y / top:.1f}" for x, y in points)
    first = placed.partition(",")[0]
    marker = f'<line class="pp-at" x1="{first}" x2="{first}" y1="0" y2="60"/>' if at else ""
    return (
        f'<figure class="pp-curve" data-points="{placed}"><svg viewBox="-4 0 308 64" preserveAspectRatio="none" '
        f'role="img" aria-label="{escape(label)}: from {ys[0]:.3g} to {ys[-1]:.3g}"><line x1="0" x2="300" y1="60" '
        f'y2="60"/><polyline points="{placed}"/>{marker}</svg>'
        f"<figcaption>{escape(label)}: {ys[0]:.3g} to {ys[-1]:.3g}</figcaption></figure>"
    )


def slider(before: str, after: str, names: tuple[str, str]) -> str:
    """Two pictures over one another, with a handle between them and a zoom."""
    first, second = map(escape, names)
    zooms = "".join(f'<option value="{z}">{z} x</option>' for z in (1, 2, 4, 8))
    return (
        '<figure class="pp-slider"><div class="pp-window" tabindex="0" role="group" '
        f'aria-label="{first} and {second}, to scroll where zoomed"><div class="pp-pair">'
        f'<img class="pp-after" src="{escape(after)}" alt="{second}" onload="pp.fit(this)">'
        f'<img class="pp-before" src="{escape(before)}" alt="{first}"><span class="pp-handle"></span></div></div>'
        f'<figcaption><span>{first}</span><input type="range" min="0" max="100" value="50" '
        f'aria-label="how much of {first} is seen, from the left" oninput="pp.cut(this)"><span>{second}</span>'
        f'<label>zoom <select onchange="pp.zoom(this)"><option value="0">fit</option>{zooms}</select></label>'
        "</figcaption></figure>"
    )


def check(name: str, value: float | None, known: Sequence[float] | None, good: str, bad: str, *, ok: bool) -> str:
    """One of the two checks: its value, the usual range, and what that means."""
    number = "" if value is None else f"{value:.3f}"
    usual = f", usual is {known[0]:.3f} to {known[1]:.3f}" if known else ""
    mark = "✓" if ok else "!"
    return (
        f'<li class="{"ok" if ok else "doubt"}"><span aria-hidden="true">{mark}</span><div><strong>'
        f"{escape(good if ok else bad)}</strong><br>{escape(name)} {number}{usual}</div></li>"
    )


def checks(row: dict[str, Any]) -> str:
    """Whether the result explains the measurement and whether the prior believes it, from a row of results.json."""
    said = row["warnings"]
    explains = not any(text.startswith(("residual", "none of")) for text in said)
    believed = not any(text.startswith("shift") for text in said)
    parts = [
        check(
            "residual",
            row["residual"],
            row["residual_of_true_images"],
            "It explains the measurement",
            "It may not explain the measurement",
            ok=explains,
        ),
        check(
            "shift",
            row["shift"],
            row["shift_of_known_pictures"],
            "The prior believes it",
            "The prior may not believe it",
            ok=believed,
        ),
    ]
    notes = "".join(f'<p class="pp-warning">{escape(text)}</p>' for text in said)
    return f'<ul class="pp-checks">{"".join(parts)}</ul>{notes}'


#: the columns of results.json that are shown, with titles and formats
FIGURES = {
    "psnr": ("PSNR (dB)", ".2f"),
    "ssim": ("SSIM", ".3f"),
    "lpips": ("LPIPS", ".4f"),
    "coverage": ("coverage", ".3f"),
    "residual": ("residual", ".2f"),
    "shift": ("shift", ".2f"),
    "network_calls": ("network calls", "d"),
    "seconds": ("seconds", ".1f"),
}


def table(rows: Sequence[tuple[str, dict[str, Any]]], first: str) -> str:
    """The figures of named rows of results.json."""
    shown = {key: form for key, form in FIGURES.items() if any(row[key] is not None for _, row in rows)}
    heads = "".join(f'<th scope="col">{escape(title)}</th>' for title, _ in shown.values())
    body = ""
    for name, row in rows:
        cells = "".join(
            f"<td>{'' if row[key] is None else format(row[key], form)}</td>" for key, (_, form) in shown.items()
        )
        body += f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>'
    return (
        f'<div class="pp-scroll"><table class="pp-table"><thead><tr><th scope="col">{escape(first)}</th>{heads}</tr>'
        f"</thead><tbody>{body}</tbody></table></div>"
    )


def result(base: str, files: Iterable[str], row: dict[str, Any], archive: str) -> str:
    """A restored picture: the slider, the checks, its figures, its map of uncertainty and its samples.

    ``base`` is the address of its folder's ``files``, ``archive`` that of a zip.
    """
    files = set(files)
    name = "mean.png" if "mean.png" in files else "restored.png"
    maps = "".join(
        f'<figure class="pp-map">{picture(f"{base}/{file}", text)}<figcaption>{escape(text)}</figcaption></figure>'
        for file, text in (
            ("std.png", "Standard deviation of the samples, with its scale: where they differ"),
            ("interval.png", "Width of the intervals, with its scale: where the picture may be wrong"),
            ("outside.png", "Where the truth is outside of the intervals"),
        )
        if file in files
    )
    samples = sorted(file for file in files if file.startswith("sample-") and file.endswith(".png"))
    row_of = "".join(picture(f"{base}/{file}", f"sample {i}") for i, file in enumerate(samples, 1))
    pictures = f'<h3>Samples</h3><div class="pp-samples">{row_of}</div>' if samples else ""
    truth = ""
    if "truth.png" in files:
        clean = picture(f"{base}/truth.png", "the picture before it was degraded")
        truth = f'<h3>Truth</h3><div class="pp-samples">{clean}</div>'
    names = ("measurement", f"mean of {len(samples)}" if name == "mean.png" else "restored")
    load = (
        f'<p><a class="pp-button" href="{escape(archive)}" download>Download everything (zip)</a></p>'
        if archive
        else ""
    )
    return (
        f'<div class="pp-result">{slider(f"{base}/measurement.png", f"{base}/{name}", names)}{checks(row)}'
        f"{table([(row['name'], row)], 'picture')}{load}{maps}{pictures}{truth}</div>"
    )


def left(seconds: float | None) -> str:
    return "" if seconds is None else f", {clock(seconds)} left"


def compared(rows: Sequence[tuple[str, dict[str, Any]]], crops: Sequence[tuple[str, str]]) -> str:
    """The metrics of several methods, and the same part of each result."""
    figures = "".join(
        f'<figure><div class="pp-crop"><img src="{escape(url)}" alt="{escape(name)}"></div>'
        f"<figcaption>{escape(name)}</figcaption></figure>"
        for name, url in crops
    )
    ranges = "".join(
        f'<label>{text} <input type="range" min="{least}" max="{most}" step="{step}" value="{value}" '
        f"""oninput="pp.crop(this, '--{name}')"></label>"""
        for text, name, least, most, step, value in (
            ("zoom", "zoom", 1, 8, 0.5, 2),
            ("across", "x", 0, 1, 0.01, 0.5),
            ("down", "y", 0, 1, 0.01, 0.5),
        )
    )
    return (
        f'<div class="pp-compare">{table(rows, "method")}<div class="pp-part">{ranges}</div>'
        f'<div class="pp-crops">{figures}</div></div>'
    )


def walk(url: str, rows: Sequence[dict[str, float]], panels: Sequence[str]) -> str:
    """A slider over the rows of the picture ``url``: one row for each step, with ``panels`` side by side."""
    said = [
        f"t = {row['t']:.0f}, sigma {row['sigma']:.3f}, |r| {row['residual']:.3g}, |g| {row['gradient']:.3g}"
        for row in rows
    ]
    places = [100 * i / (len(panels) - 1) for i in range(len(panels))]
    frames = "".join(
        f'<figure><div class="pp-frame" role="img" aria-label="{escape(name)}" style="background-image:url('
        f"{escape(url)});background-size:{100 * len(panels)}% {100 * len(rows)}%;"
        f'background-position:{place:.2f}% 0%"></div>'
        f"<figcaption>{escape(name)}</figcaption></figure>"
        for name, place in zip(panels, places, strict=True)
    )
    curves = "".join(
        curve([(i, row[key]) for i, row in enumerate(rows)], label, at=True)
        for key, label in (("residual", "|r|, the residual's norm"), ("gradient", "|g|, the norm of its gradient"))
    )
    return (
        f'<div class="pp-learn" data-rows="{escape(json.dumps(said))}"><div class="pp-along"><label for="pp-t">'
        f'from noise to clean</label><input id="pp-t" type="range" min="0" max="{len(rows) - 1}" value="0" '
        f'oninput="pp.step(this)" aria-valuetext="{escape(said[0])}"><output>{escape(said[0])}</output></div>'
        f'<div class="pp-steps">{frames}</div>{curves}</div>'
    )
