"""The reference pages, written from the package itself: its command line, samplers, operators, priors and functions."""

import inspect
import re
from collections.abc import Iterable
from operator import attrgetter
from pathlib import Path

import typer.main
from typer.cli import get_docs_for_click

import posteriori
from posteriori.cli import app
from posteriori.operators import OPERATORS
from posteriori.samplers import SAMPLERS
from posteriori.settings.fields import accepts, class_fields
from posteriori.settings.text import format_default

ROOT = Path(__file__).parents[1]
#: a link from docs/ to a page of Markdown outside it
OUTSIDE = re.compile(r"\]\((?:\.\./)+((?:src|benches|training)/[^)#]+\.md)\)")
#: the end of a command's help
EXAMPLES = re.compile(r"^Examples:\s+((?:(?!^#).*\n?)*)", re.MULTILINE)
#: what readers search for, in lower case and other words than the page's title: the search lists the page first
SOUGHT = {
    "checkpoints": ("my own checkpoint", "my own prior", "ffhq"),
    "choosing": ("which sampler", "auto"),
    "concepts/noise": ("0.05", "sigma", "noise level"),
    "diagnosis": ("jpeg", "noise"),
    "extending": ("add an operator", "add a sampler", "my own operator", "my own sampler"),
    "operators": ("mask", "blur"),
    "page": ("web page", "gui"),
    "tutorials/compare": ("my own pictures", "compare two methods"),
    "tutorials/photograph": ("scratches", "old photo"),
}
REPORT = 'The report is "Diffusion Models for Solving Inverse Problems" ([do its claims hold?](../report.md)).'
PACKAGE = Path(posteriori.__file__).parent
FUNCTIONS = ("sample", "load_prior", "load_image", "save_image", "preset", "check", "from_deepinv")
CLASSES = ("Gaussian", "Gaussian.simulate", "PerPixelNoise", "Poisson", "Poisson.simulate", "Flat", "Each",
           "GaussianMixture", "GaussianMixture.posterior")  # fmt: skip
METRICS = (
    "psnr",
    "ssim",
    "lpips",
    "credible_interval",
    "pooled_features",
    "kernel_distance",
    "kernel_distance_interval",
)


def write(folder: Path) -> None:
    """Writes cli.md, functions.md, samplers.md and operators.md, and the pages from elsewhere, into ``folder``."""
    folder.mkdir(exist_ok=True)
    names = (*FUNCTIONS, *CLASSES, *(f"metrics.{name}" for name in METRICS))
    calls = [(f"pp.{name}", attrgetter(name)(posteriori)) for name in names]
    pages = {
        "cli": _command_line(),
        "functions": _page(
            "Functions",
            "Functions, likelihoods, metrics, and a prior with a known posterior; `import posteriori as pp` has them.",
            (_call(name, thing) for name, thing in calls),
        ),
        "samplers": _page(
            "Fields of samplers",
            "A sampler is a frozen dataclass. Its fields are its hyperparameters, with its paper's values as defaults. "
            "The command line and `pp.preset` use measured values where there are some. "
            "[Samplers](../samplers.md) has all of them in one table. " + REPORT,
            map(_fields, SAMPLERS),
        ),
        "operators": _page(
            "Fields of operators",
            "An operator maps images (B, C, H, W) on [-1, 1] to measurements. In Python its first argument is `shape`, "
            "the (C, H, W) of an image. [Operators](../operators.md) shows them on pictures. " + REPORT,
            map(_fields, OPERATORS),
        ),
    }
    for path in _elsewhere(folder.parent):
        pages[_own_name(path)] = "---\norphan: true\n---\n" + path.read_text("utf-8")
    for name, text in pages.items():
        path = folder / f"{name}.md"
        if not path.exists() or path.read_text("utf-8") != text:  # an unchanged page is not built again
            path.write_text(text, "utf-8")


def bring_in(docname: str, text: str) -> str:
    """``text`` of a page with what is SOUGHT there, and its links to Markdown outside docs/ led to copies in it."""
    up = "../" * docname.count("/")
    if docname in SOUGHT:
        entries = ", ".join(f"! {words}" for words in SOUGHT[docname])
        text = text.replace("\n\n", f"\n\n```{{index}} {entries}\n```\n\n", 1)
    return OUTSIDE.sub(lambda link: f"]({up}reference/{_own_name(ROOT / link[1])}.md)", text)


def _elsewhere(docs: Path) -> set[Path]:
    return {ROOT / link for page in docs.rglob("*.md") for link in OUTSIDE.findall(page.read_text("utf-8"))}


def _own_name(path: Path) -> str:
    return "-".join(path.relative_to(ROOT).with_suffix("").parts[-2:]).lower()


def _page(title: str, says: str, sections: Iterable[str]) -> str:
    return "\n\n".join([f"# {title}", says, *sections]) + "\n"


def _fields(cls: type) -> str:
    """A sampler or an operator: what it is written as, its docstring, and a row for each field."""
    rows = [
        f"| `{field.name}` | `{format_default(field.default)}` | {_prose(field.meaning)} | {accepts(field.type)} |"
        for field in class_fields(cls)
    ]
    table = "\n".join(["| field | default | meaning | accepts |", "|---|---|---|---|", *rows]) if rows else ""
    return f"## {cls.name}\n\n`pp.{cls.__name__}`\n\n{_prose(inspect.getdoc(cls))}\n\n{table}\n\n{_source(cls)}"


def _call(name: str, thing) -> str:
    signature = inspect.signature(thing)
    parameters = [parameter for parameter in signature.parameters.values() if parameter.name != "self"]
    own, keywords = list(map(str, parameters)), [parameter.kind is parameter.KEYWORD_ONLY for parameter in parameters]
    if True in keywords:
        own.insert(keywords.index(True), "*")
    returns = "" if isinstance(thing, type) else f" -> {signature.return_annotation}"
    shown = re.sub(r"(: |-> )'([^']*)'", r"\1\2", "(\n    " + ",\n    ".join(own) + f",\n){returns}")
    shown = f"```python\n{name}{shown}\n```"
    return f"## {name.removeprefix('pp.')}\n\n{shown}\n\n{_prose(inspect.getdoc(thing))}\n\n{_source(thing)}"


def _source(thing) -> str:
    path = Path(inspect.getsourcefile(inspect.unwrap(thing))).relative_to(PACKAGE)
    return f"[{path}](../../src/posteriori/{path})"


def _prose(text: str | None) -> str:
    """Docstrings as Markdown: code and indented formulas stay, and elsewhere what Markdown would read is escaped."""
    parts = re.split(r"(``.+?``|`.+?`|^ {4}.*$)", text or "", flags=re.MULTILINE)
    parts[1::2] = [part.replace("``", "") if part.startswith("    ") else part for part in parts[1::2]]
    meant = re.compile(r"([*_<>|\[\]]|(?<=^\d)[.)])", re.MULTILINE)  # "(N +\n1) of" would begin a list
    return "".join(part if i % 2 else meant.sub(r"\\\1", part) for i, part in enumerate(parts))


def _command_line() -> str:
    command = typer.main.get_command(app)
    context = typer.Context(command, info_name="posteriori")
    text = get_docs_for_click(obj=command, ctx=context, name="posteriori", title="Command line")
    for name, own in command.commands.items():  # whole, where the list has the first words
        text = re.sub(rf"^\* `{name}`: .*$", f"* `{name}`: {_first_line(own.help)}", text, count=1, flags=re.MULTILINE)
    return EXAMPLES.sub(lambda found: f"Examples:\n\n```sh\n{_lines(found[1])}\n```\n\n", text)


def _first_line(text: str | None) -> str:
    return (text or "").strip().partition("\n\n")[0].replace("\n", " ")


def _lines(text: str) -> str:
    return "\n".join(line.strip() for line in re.split(r"\n+|\s\|\s", text) if line.strip())
