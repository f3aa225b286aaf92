"""``posteriori serve``: restoration in the browser."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Annotated, get_args, get_origin, get_type_hints

import typer

from posteriori.cli.options import Device
from posteriori.cli.restore import restore
from posteriori.errors import PosterioriError

EPILOG = """
Examples:

  posteriori serve

  posteriori serve --port 8000 --runs out/restore

  POSTERIORI_AUTH=ann:secret posteriori serve --host 0.0.0.0
"""


def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on: 127.0.0.1 for this machine only, 0.0.0.0 for others as well.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 7860,
    auth: Annotated[
        str | None,
        typer.Option(
            metavar="USER:PASSWORD",
            envvar="POSTERIORI_AUTH",
            help="Ask for this name and password. The environment variable is not seen by other users of the machine.",
        ),
    ] = None,
    prior: Annotated[
        list[str] | None,
        typer.Option(help="Offer this prior too: a folder or a checkpoint. Can be given several times."),
    ] = None,
    runs: Annotated[Path, typer.Option(help="Folder of earlier runs and reports that the page can open.")] = Path(
        "out"
    ),
    device: Device = "auto",
    max_megapixels: Annotated[
        float, typer.Option(min=0.01, max=10_000, help="Largest picture, in millions of pixels.")
    ] = 25,
    max_megabytes: Annotated[int, typer.Option(min=1, max=1_000_000, help="Largest file.")] = 100,
    max_queue: Annotated[int, typer.Option(min=0, help="Runs that may wait for the device.")] = 10,
    max_minutes: Annotated[float, typer.Option(min=0.1, help="Runs are stopped after this time.")] = 60,
) -> None:
    """Restore pictures in the browser, with a page that does what `restore` does.

    It restores a picture and shows the progress, compares methods, shows their steps, and opens earlier runs. Every
    result comes with the command line that gives the same bytes. One run at a time uses the device; others wait.
    Pictures given to the page stay on this machine, and are deleted when the tab is closed.
    """
    user, colon, password = (auth or "").partition(":")
    if auth is not None and not (user and colon and password):
        raise PosterioriError("--auth takes USER:PASSWORD, both of at least one character")
    try:
        from posteriori.web.form import Offer
        from posteriori.web.server import LOCAL, Limits, serve
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("gradio", "fastapi", "uvicorn"):
            raise
        raise PosterioriError("the page needs Gradio: pip install 'posteriori[web]'") from None
    if host not in LOCAL and auth is None:
        typer.echo(
            f"posteriori: warning: anybody who reaches {host} can use this page and its processor, and see {runs}: "
            "give --auth USER:PASSWORD, and put it behind HTTPS",
            err=True,
        )
    # checked here, since uvicorn says so late and in several lines
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as free:
        try:
            free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            free.bind((host, port))
        except OSError as error:
            raise PosterioriError(
                f"{host}:{port} cannot be listened on ({error.strerror}): give another --port or --host"
            ) from None
    limits = Limits(int(max_megapixels * 1e6), max_megabytes * 2**20, max_queue, 60 * max_minutes)
    offer = Offer(tuple(prior or ()), runs, device, _meanings())
    typer.echo(f"posteriori: http://{host}:{port}, Ctrl-C stops it", err=True)
    serve(host, port, limits, offer, (user, password) if auth else None)


def _meanings() -> dict[str, str]:
    """The help of `restore`'s options, by their names."""
    found = {}
    for name, hint in get_type_hints(restore, include_extras=True).items():
        if get_origin(hint) is Annotated:
            found[name.rstrip("_")] = next((mark.help for mark in get_args(hint) if hasattr(mark, "help")), "")
    return found
