"""Writes results as a Markdown file and as one self-contained HTML page."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from textwrap import fill

from jinja2 import Environment
from PIL import Image

from posteriori.files import atomic_path
from posteriori.studies.table import Table


@dataclass(frozen=True)
class Plot:
    """A figure on disk: a PNG with a PDF beside it. ``alt`` is its text alternative."""

    path: Path
    caption: str
    alt: str


@dataclass(frozen=True)
class Finding:
    """A claim, whether it held here, and by how much."""

    claim: str
    verdict: str
    evidence: str


@dataclass(frozen=True)
class Section:
    title: str
    paragraphs: Sequence[str] = ()
    findings: Sequence[Finding] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[Plot] = ()


@dataclass(frozen=True)
class Page:
    """``command`` is the command line that writes the page."""

    title: str
    lead: Sequence[str]
    command: str
    sections: Sequence[Section]


def fill_marks(page: Path, parts: Mapping[str, str]) -> None:
    """In the Markdown file ``page``, replaces the text between <!-- MARK --> and <!-- end --> with ``parts[MARK]``."""
    text = page.read_text("utf-8")
    for mark, part in parts.items():
        before, _, rest = text.partition(f"<!-- {mark} -->\n")
        text = f"{before}<!-- {mark} -->\n{part}\n{rest[rest.index('<!-- end -->') :]}"
    with atomic_path(page) as temporary:
        temporary.write_text(text, "utf-8")


def write_page(page: Page, out: Path, *, html: str, markdown: str) -> None:
    """Writes ``page`` to files of these names in ``out``. The pictures must lie in ``out`` or below it."""
    pictures = [picture for section in page.sections for picture in section.pictures]
    data = {picture.path.name: base64.b64encode(picture.path.read_bytes()).decode() for picture in pictures}
    widths = {picture.path.name: _width(picture.path) for picture in pictures}
    template = resources.files("posteriori.studies").joinpath("page.html.j2").read_text("utf-8")
    environment = Environment(autoescape=True, trim_blocks=True)
    rendered = environment.from_string(template).render(page=page, data=data, widths=widths)
    for name, content in ((html, rendered), (markdown, _markdown(page, out))):
        with atomic_path(out / name) as path:
            path.write_text(content, "utf-8")


def _width(path: Path) -> int:
    with Image.open(path) as picture:
        return picture.width


def _markdown(page: Page, out: Path) -> str:
    lines = [f"# {page.title}", "", *(line for text in page.lead for line in (_lines(text), ""))]
    lines += [f"    {page.command}", ""]
    for section in page.sections:
        lines += [f"## {section.title}", ""]
        lines += [line for paragraph in section.paragraphs for line in (_lines(paragraph), "")]
        for finding in section.findings:
            text = f"- {finding.claim} **{finding.verdict.capitalize()}.** {finding.evidence}"
            lines.append(_lines(text, indent="  "))
        lines += [""] * bool(section.findings)
        for table in section.tables:
            lines += [f"### {table.title}", "", table.markdown(), "", _lines(table.note), ""]
        for picture in section.pictures:
            place = picture.path.relative_to(out).as_posix()
            lines += [f"![{picture.alt}]({place})", "", _lines(picture.caption), ""]
    return "\n".join(lines).rstrip() + "\n"


def _lines(text: str, indent: str = "") -> str:
    """Wraps a paragraph of Markdown without breaking words."""
    return fill(text, 120, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
