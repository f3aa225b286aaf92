"""The command line. Heavy imports wait inside the commands, so that ``--help`` is instant."""

from __future__ import annotations

import sys
import traceback

import typer

from posteriori import __version__
from posteriori.cli import demo, listing, priors, train

app = typer.Typer(
    name="posteriori",
    help="Restore images from y = A(x) + n with pretrained diffusion models as priors.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
app.command(epilog=demo.EPILOG)(demo.demo)
app.command(epilog=train.EPILOG)(train.train)
app.command(epilog=listing.SAMPLERS_EPILOG)(listing.samplers)
app.command(epilog=listing.OPERATORS_EPILOG)(listing.operators)
app.add_typer(priors.app, name="priors")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"posteriori {__version__}")
        raise typer.Exit()


@app.callback()
def _common(
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    pass


def main() -> None:
    """The entry point: an error is one line on stderr, exit code 1; wrong usage exits with 2."""
    try:
        app()
    except (ValueError, OSError, FloatingPointError, MemoryError) as error:
        if "--debug" in sys.argv:
            traceback.print_exc()
        lines = str(error).strip().splitlines() or [type(error).__name__]
        print(f"posteriori: {lines[0]}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        print("posteriori: interrupted", file=sys.stderr)
        raise SystemExit(130) from None
