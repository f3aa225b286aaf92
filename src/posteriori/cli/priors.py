"""``posteriori priors``: list, show and evaluate priors, get weights, and convert checkpoints."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from posteriori.cli import evaluate
from posteriori.cli.options import Json, Quiet
from posteriori.errors import PosterioriError

if TYPE_CHECKING:
    from posteriori.hub.cards import Card
    from posteriori.hub.contents import Folder

app = typer.Typer(no_args_is_help=True, help="List, show, evaluate, download and convert priors.")
app.command(epilog=evaluate.EPILOG)(evaluate.evaluate)

LIST_EPILOG = """
Examples:

  posteriori priors list

  posteriori priors list --json
"""
SHOW_EPILOG = """
Examples:

  posteriori priors show ffhq-256

  posteriori priors show ./my-prior --json
"""
PULL_EPILOG = """
Examples:

  posteriori priors pull ffhq-256

  POSTERIORI_HOME=/data posteriori priors pull 256x256_diffusion_uncond
"""
ADD_EPILOG = """
Examples:

  posteriori priors add ffhq-256 ~/Downloads/ffhq_10m.pt

  posteriori priors add ffhq-256 diffusion_ffhq_10m.pt --sha256 HASH
"""
CONVERT_EPILOG = """
Examples:

  posteriori priors convert ffhq_10m.pt ffhq

  posteriori priors convert model.pt mine --config flags.json
"""

Known = Annotated[str, typer.Argument(help="A name of `posteriori priors list` whose weights are not in the package.")]
Sha256 = Annotated[
    str | None,
    typer.Option("--sha256", metavar="HASH", help="Accept a file with this hash, if the card records none."),
]


@app.command("list", epilog=LIST_EPILOG)
def list_(as_json: Json = False) -> None:
    """List the priors in the package and the checkpoints that it knows."""
    from dataclasses import asdict

    from rich.table import Table

    from posteriori.hub.cards import cache_dir
    from posteriori.hub.load import list_priors
    from posteriori.terminal import console

    rows = list_priors()
    if as_json:
        typer.echo(json.dumps([asdict(row) for row in rows], indent=2))
        return
    table = Table("prior", "size", "where", "file", "licence", box=None)
    for row in rows:
        size = "" if row.bytes is None else f"{row.bytes / 1e6:.0f} MB"
        table.add_row(row.name, f"{row.size} px" if row.size else "any", row.where, size, row.licence)
    console().print(table)
    if any(row.where == "not here" for row in rows):
        typer.echo("\nget what is not here with `posteriori priors pull NAME`")
    if any(row.where == "downloaded" for row in rows):
        typer.echo(f"\ndownloaded files lie in {cache_dir()}")


@app.command(epilog=SHOW_EPILOG)
def show(
    name: Annotated[str, typer.Argument(help="A prior's name, or a folder in diffusers' format.")],
    as_json: Json = False,
) -> None:
    """Show a prior: network, noise schedule, licence, and its files with their paths."""
    from posteriori.hub.cards import cards
    from posteriori.hub.contents import read_folder
    from posteriori.hub.load import EMBEDDED, embedded
    from posteriori.names import nearest

    known = cards()
    if name in embedded():
        facts = _folder_facts(read_folder(EMBEDDED / name))
    elif name in known:
        facts = _card_facts(known[name])
    elif Path(name).is_dir():
        facts = _folder_facts(read_folder(Path(name)))
    else:
        there = ", ".join(nearest(name, [*embedded(), *known]))
        raise PosterioriError(f"no prior is called {name!r}: there are {there}; or give a folder in diffusers' format")
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
    else:
        _print(facts)


@app.command(epilog=PULL_EPILOG)
def pull(name: Known, sha256: Sha256 = None, quiet: Quiet = False) -> None:
    """Download a prior's weights. Interrupted downloads resume.

    They go to the user's cache, or to $POSTERIORI_HOME/priors. Every file is checked against its recorded hash.
    """
    from posteriori.hub import fetch

    card = _downloadable(name)
    path = fetch.pull(card, sha256, quiet=quiet, say=lambda text: quiet or typer.echo(text, err=True))
    if not quiet:
        typer.echo(f"{path}: use it as --prior {name}")


@app.command(epilog=ADD_EPILOG)
def add(
    name: Known,
    file: Annotated[Path, typer.Argument(help="The checkpoint that you downloaded; it is copied.")],
    sha256: Sha256 = None,
    quiet: Quiet = False,
) -> None:
    """Add a prior's weights from a file that you downloaded, if `pull` cannot reach them."""
    from posteriori.hub import fetch

    path = fetch.add(_downloadable(name), file.expanduser(), sha256, quiet=quiet)
    if not quiet:
        typer.echo(f"{path}: use it as --prior {name}")


@app.command(epilog=CONVERT_EPILOG)
def convert(
    ckpt: Annotated[Path, typer.Argument(help="A guided-diffusion checkpoint, a .pt file.")],
    folder: Annotated[Path, typer.Argument(help="The folder to write: a new or an empty one.")],
    config: Annotated[
        Path | None,
        typer.Option(help="JSON with guided-diffusion's flags, if no card knows the file."),
    ] = None,
) -> None:
    """Convert a guided-diffusion checkpoint to a folder in diffusers' format, with float32 weights."""
    from posteriori.hub.load import convert_checkpoint

    convert_checkpoint(ckpt, folder, config)
    typer.echo(f"wrote {folder}: use it as --prior {folder}")


def _downloadable(name: str) -> Card:
    from posteriori.hub.cards import cards, load_card
    from posteriori.names import nearest

    known = cards()
    if name not in known:
        from posteriori.hub.load import embedded

        if name in embedded():
            others = ", ".join(nearest(name, known))
            raise PosterioriError(f"{name} comes with the package and needs no file; those that need one are {others}")
    return load_card(name)


def _card_facts(card: Card) -> dict[str, Any]:
    from posteriori.hub.cards import cache_dir

    files = []
    for file in card.files:
        path = cache_dir() / file.name
        files.append(
            {
                "file": str(path),
                "here": path.is_file(),
                "url": file.url,
                "page": file.by_hand,
                "bytes": file.bytes,
                "sha256": file.sha256,
            }
        )
    return {
        "name": card.name,
        "title": card.title,
        "size": card.size,
        "parameters": card.parameters,
        "prediction": card.prediction,
        "learned_variance": card.learned_variance,
        "schedule": card.schedule,
        "network": card.flags,
        "licence": card.licence,
        "notes": card.notes,
        "files": files,
    }


def _folder_facts(folder: Folder) -> dict[str, Any]:
    from posteriori.hub.cards import sha256

    schedule = ("beta_schedule", "beta_start", "beta_end", "num_train_timesteps")
    files = [
        {"file": str(file), "here": True, "bytes": file.stat().st_size, "sha256": sha256(file)}
        for file in folder.all_files
    ]
    return {
        "name": folder.name,
        "size": folder.sides[0] if folder.sides[0] == folder.sides[1] else "{1} x {0}".format(*folder.sides),
        "any_size": folder.any_size,
        "prediction": folder.prediction,
        "learned_variance": folder.config["out_channels"] == 2 * folder.config["in_channels"],
        "schedule": {k: folder.scheduler[k] for k in schedule if k in folder.scheduler},
        "network": _network_facts(folder),
        **({"noisy": {"above": folder.noisy_above, **_network_facts(folder.noisy)}} if folder.noisy else {}),
        "licence": folder.licence,
        "files": files,
    }


def _network_facts(folder: Folder) -> dict[str, Any]:
    network = ("block_out_channels", "layers_per_block", "down_block_types", "attention_head_dim")
    return {"patch": folder.patch} | {k: folder.config[k] for k in network if k in folder.config}


def _print(facts: Mapping[str, Any]) -> None:
    from rich.table import Table

    from posteriori.terminal import console

    table = Table(box=None, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for key, value in facts.items():
        if key != "files":
            table.add_row(key.replace("_", " "), _text(key, value))
    for file in facts["files"]:
        table.add_row("file", f"{file['file']} ({'here' if file['here'] else 'not here'})")
        for key in ("url", "page", "bytes", "sha256"):
            if key in file:
                table.add_row(f"  {key}", _text(key, file[key]))
    console().print(table)


def _text(key: str, value: Any) -> str:
    if value is None:
        return "not recorded"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{k} {v}" for k, v in value.items())
    if key == "size":
        return f"{value} px"
    return f"{value:,}" if isinstance(value, int) else str(value)
