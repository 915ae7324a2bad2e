"""The program ``quorate``: its commands, and how every failure ends as one line, or one object."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.exceptions import TyperException

from quorate.cli.commands import bench, models
from quorate.cli.commands.bench_growth import growth
from quorate.cli.commands.bench_peers import peers
from quorate.cli.commands.calibrate import calibrate
from quorate.cli.commands.check import check
from quorate.cli.commands.demo import demo
from quorate.cli.commands.explain import explain
from quorate.cli.commands.generate import generate
from quorate.cli.commands.rate import rate
from quorate.cli.commands.score import score
from quorate.cli.commands.serve import serve
from quorate.cli.commands.server import load, ps, status, unload
from quorate.cli.commands.spend import spend
from quorate.cli.commands.tune import tune
from quorate.cli.failures import FAILED, INTERRUPTED, failure_of
from quorate.cli.notes import speak_json, wants_json
from quorate.cli.streams import abandon_stdout, prepare_streams

app = typer.Typer(
    name="quorate",
    help="Open-weight models on your own machine vote on every token.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(serve)
app.command()(generate)
app.command()(explain)
app.command()(ps)
app.command()(load)
app.command()(unload)
app.command()(status)
app.command()(score)
app.command()(rate)
app.command()(spend)
app.command()(calibrate)
app.command()(check)
app.command()(tune)
app.command()(demo)
bench.app.command()(peers)
bench.app.command()(growth)
app.add_typer(bench.app)
app.add_typer(models.app)


def _print_version(asked: bool) -> None:
    if not asked:
        return
    from importlib.metadata import version

    typer.echo(f"quorate {version('quorate')}")
    raise typer.Exit


@app.callback()
def _program(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Open-weight models on your own machine vote on every token."""
    if context.invoked_subcommand != "serve":
        # gRPC's core reads it when it is imported. Of a connection that fails it has lines of its
        # own, which the server makes hints of, and others say in one line what went wrong.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")


def run(arguments: Sequence[str]) -> int:
    """Runs one command, given the words after ``quorate``, and returns the exit code."""
    prepare_streams()
    as_json = wants_json(arguments)
    speak_json(as_json)
    command = typer.main.get_command(app)
    try:
        code = command.main(list(arguments), prog_name="quorate", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        abandon_stdout()
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except (TyperException, Exception) as error:
        if os.environ.get("QUORATE_DEBUG"):
            raise
        failure = failure_of(error)
        print(failure.json if as_json else failure.text, file=sys.stderr, flush=True)
        return failure.exit_code
    return code if isinstance(code, int) else 0
