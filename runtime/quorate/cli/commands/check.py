"""``quorate check``: everything in a configuration that cannot work."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from quorate.cli.parameters import JsonLines


def check(
    config: Annotated[
        Path | None,
        typer.Argument(metavar="CONFIG", help="Configuration; ./quorate.toml if none is named."),
    ] = None,
    as_json: JsonLines = False,
) -> None:
    """Say everything in a configuration that cannot work here, without starting anything.

    Exits with 0 where nothing is wrong or only doubtful, with 1 where something is, and with 2
    where the file cannot be read.
    """
    from quorate.app.checking import Place, check_file
    from quorate.app.registry import open_registry
    from quorate.cli.failures import FAILED
    from quorate.cli.logs import keep_log_quiet
    from quorate.cli.services import DEFAULT_CONFIG
    from quorate.cli.views.check import print_findings

    keep_log_quiet()
    path = config or DEFAULT_CONFIG
    settings, findings = check_file(path, Place(open_registry()))
    if print_findings(path, settings, findings, as_json=as_json):
        raise typer.Exit(FAILED)
