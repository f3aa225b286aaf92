"""The command line. Heavy imports wait inside the commands, so that ``--help`` is instant."""

from __future__ import annotations

import sys
import traceback

import typer

from posteriori import __version__
from posteriori.cli import (
    bench,
    compare,
    demo,
    denoise,
    listing,
    priors,
    report,
    restore,
    sample,
    serve,
    sweep,
    train,
    usage,
    verify,
)
from posteriori.cli.interrupt import heard
from posteriori.errors import sentence
from posteriori.jobs.heap import keep_freed
from posteriori.jobs.threads import settle

app = typer.Typer(
    name="posteriori",
    help="Restore images from y = A(x) + n with pretrained diffusion models as priors.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
app.command(epilog=demo.EPILOG)(demo.demo)
app.command(epilog=restore.EPILOG)(restore.restore)
app.command(epilog=denoise.EPILOG)(denoise.denoise)
app.command(epilog=sample.EPILOG)(sample.sample)
app.command(epilog=serve.EPILOG)(serve.serve)
app.command(epilog=report.EPILOG)(report.report)
app.command(epilog=sweep.EPILOG)(sweep.sweep)
app.command(epilog=bench.EPILOG)(bench.bench)
app.command(epilog=compare.EPILOG)(compare.compare)
app.command(epilog=verify.EPILOG)(verify.verify)
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
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error. Accepted anywhere on the line."),
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    pass


#: typer's exit code for Ctrl-C, as in shells
_INTERRUPTED = 130


def main() -> None:
    """The entry point: an error is one line on stderr; exit code 1, 2 for wrong usage, 130 for Ctrl-C, 143 for SIGTERM.

    An exception that is not among ``errors`` is reported as a bug.
    """
    settle()
    keep_freed()
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    debug = len(arguments) < len(sys.argv) - 1
    try:
        if (problem := usage.empty(arguments)) is not None:
            raise typer.BadParameter(problem)
        with heard():
            code, problem = app(arguments, standalone_mode=False) or 0, ""
    except typer.TyperException as error:  # usage: the message is about what was typed
        if not error.format_message():  # a command without arguments has shown its help
            raise SystemExit(error.exit_code) from None
        code, problem = error.exit_code, usage.said(error)
    except (Exception, KeyboardInterrupt) as error:
        if debug:
            traceback.print_exc()
        code, problem = 1, sentence(error, "run again with --debug, and report what it prints")
        if isinstance(error.__cause__ or error, KeyboardInterrupt):  # Python 3.11 wraps it where a class is made
            code = _INTERRUPTED
    if code == _INTERRUPTED:
        problem = "interrupted: what was finished is kept"
    if not problem:
        raise SystemExit(code)
    print(f"posteriori: {problem.splitlines()[0]}", file=sys.stderr)
    raise SystemExit(code)
