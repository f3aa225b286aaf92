"""``posteriori priors``: what there is, what it is, and turning checkpoints into priors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from posteriori.priors.cards import Card
    from posteriori.priors.folder import Folder

app = typer.Typer(no_args_is_help=True, help="The pretrained models that serve as priors.")


@app.command("list", epilog="Examples:  posteriori priors list  |  POSTERIORI_HOME=/data posteriori priors list")
def list_() -> None:
    """The priors that come with the package, and the checkpoints it knows."""
    from posteriori.priors.load import list_priors

    table = Table("prior", "size", "where", "file", "licence", box=None)
    for row in list_priors():
        table.add_row(row.name, f"{row.size} px", row.where, _megabytes(row.bytes), row.licence)
    Console().print(table)


@app.command(epilog="Examples:  posteriori priors show ffhq-256  |  posteriori priors show ./my-prior")
def show(name: Annotated[str, typer.Argument(help="A prior's name, or a folder in diffusers' format.")]) -> None:
    """Everything that is known of a prior: network, noise schedule, licence, files and where they should lie."""
    from posteriori.names import nearest
    from posteriori.priors.cards import cards
    from posteriori.priors.folder import read_folder
    from posteriori.priors.load import EMBEDDED, embedded

    known = cards()
    if name in embedded():
        rows = _folder_rows(read_folder(EMBEDDED / name))
    elif name in known:
        rows = _card_rows(known[name])
    elif Path(name).is_dir():
        rows = _folder_rows(read_folder(Path(name)))
    else:
        there = ", ".join(nearest(name, [*embedded(), *known]))
        raise ValueError(f"no prior is called {name!r}: there are {there}; or give a folder in diffusers' format")
    table = Table(box=None, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


@app.command(
    epilog="Examples:  posteriori priors convert ffhq_10m.pt ffhq  |  "
    "posteriori priors convert model.pt mine --config flags.json"
)
def convert(
    ckpt: Annotated[Path, typer.Argument(help="A guided-diffusion checkpoint, a .pt file.")],
    folder: Annotated[Path, typer.Argument(help="The folder to write; it must not exist or be empty.")],
    config: Annotated[
        Path | None,
        typer.Option(help="JSON with guided-diffusion's flags, where no card knows the file."),
    ] = None,
) -> None:
    """Turns a guided-diffusion checkpoint into a folder in diffusers' format, weights in float32."""
    from posteriori.priors.load import convert_checkpoint

    convert_checkpoint(ckpt, folder, config)
    Console().print(f"wrote {folder}: use it as --prior {folder}", highlight=False)


def _card_rows(card: Card) -> list[tuple[str, str]]:
    from posteriori.priors.cards import cache_dir

    rows = [
        ("name", card.name),
        ("title", card.title),
        ("size", f"{card.size} px"),
        ("parameters", f"{card.parameters:,}" if card.parameters else "not recorded"),
        ("prediction", card.prediction + (", learned variance" if card.learned_variance else "")),
        ("schedule", _pairs(card.schedule)),
        ("network", _pairs(card.flags)),
        ("licence", card.licence),
        ("notes", card.notes),
    ]
    for file in card.files:
        path = cache_dir() / file.name
        rows += [
            ("file", f"{path} ({'here' if path.is_file() else 'not here'})"),
            ("  from", file.url),
            ("  bytes", f"{file.bytes:,}" if file.bytes else "not recorded"),
            ("  sha256", file.sha256 or "not recorded"),
        ]
    return rows


def _folder_rows(folder: Folder) -> list[tuple[str, str]]:
    from posteriori.priors.cards import sha256

    learned = folder.config["out_channels"] == 2 * folder.config["in_channels"]
    schedule = ("beta_schedule", "beta_start", "beta_end", "num_train_timesteps")
    network = ("block_out_channels", "layers_per_block", "down_block_types", "attention_head_dim")
    return [
        ("name", folder.name),
        ("size", f"{folder.size} px"),
        ("prediction", folder.prediction + (", learned variance" if learned else "")),
        ("schedule", _pairs({k: folder.scheduler[k] for k in schedule if k in folder.scheduler})),
        ("network", _pairs({"patch": folder.patch} | {k: folder.config[k] for k in network if k in folder.config})),
        ("licence", folder.licence),
        ("file", str(folder.weights)),
        ("  bytes", f"{folder.weights.stat().st_size:,}"),
        ("  sha256", sha256(folder.weights)),
    ]


def _pairs(values: Mapping[str, object]) -> str:
    return ", ".join(f"{k} {v}" for k, v in values.items())


def _megabytes(count: int | None) -> str:
    return "" if count is None else f"{count / 1e6:.0f} MB"
