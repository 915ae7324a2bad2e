"""``quorate spend``: energy and dollars, by model, profile, key, day, kind of plan or task."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quorate.cli.parameter_groups import grouped
from quorate.cli.parameters import JsonLines
from quorate.cli.target import ServerTarget
from quorate.errors import SettingsError

if TYPE_CHECKING:
    from quorate.cli.spending import SpendQuery, SpendReport

_SHOWN_CHARGES = 50
_AGO = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


class Grouping(Enum):
    """What sums are made for."""

    MODEL = "model"
    PROFILE = "profile"
    KEY = "key"
    DAY = "day"
    PLAN_KIND = "plan-kind"
    TASK = "task"


@grouped
def spend(
    *,
    by: Annotated[
        list[Grouping] | None,
        typer.Option(help="What to sum by; may be given several times; model if nothing is given."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="WHEN", help="From then on: 7d, 12h and the like ago, or 2026-11-01."),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="WHEN", help="Until before then, in the same form.")
    ] = None,
    key: Annotated[
        str | None, typer.Option(metavar="NAME", help="What came with this key alone.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="ID", help="What this model, or remote, took part in.")
    ] = None,
    profile: Annotated[
        str | None, typer.Option(metavar="NAME", help="What this profile answered.")
    ] = None,
    charges: Annotated[
        bool,
        typer.Option(
            "--charges", help="List the charges one by one, the latest first, instead of sums."
        ),
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help=f"Most charges listed; {_SHOWN_CHARGES} if nothing is given, all of them for "
            "--csv and --json.",
        ),
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    as_json: JsonLines = False,
    ledger: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Read this ledger, and ask no server.")
    ] = None,
    backup: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Copy the ledger there, whole, while a server writes to it; print nothing else.",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Let --backup replace a file that is there.")
    ] = False,
    target: ServerTarget,
) -> None:
    """Print what was spent: requests, tokens, energy and dollars, and what budgets have left.

    Without --target and --ledger the server of this machine is asked at its default address, and
    where none answers its ledger is read from the data folder. --backup copies the ledger of
    --ledger, or that of the data folder.
    """
    import time

    from quorate.cli.spending import SpendQuery
    from quorate.cli.views.spend import print_report
    from quorate.ledger.spending import ChargeFilter, Dimension

    if force and backup is None:
        raise SettingsError("--force replaces the file of a backup; give --backup too")
    if backup is not None:
        if by or charges or as_csv or target.address:
            raise SettingsError("--backup copies a file of this machine and prints no sums")
        return _back_up(ledger, backup, replace=force, as_json=as_json)
    if as_csv and as_json:
        raise SettingsError("--csv and --json exclude each other; give one of them")
    if by and charges:
        raise SettingsError("--by sums up and --charges does not; give one of them")
    if limit is not None and not charges:
        raise SettingsError("--limit counts charges; give --charges too")
    now = time.time()
    whole = as_csv or as_json
    query = SpendQuery(
        group_by=tuple(dict.fromkeys(Dimension[group.name] for group in by or [Grouping.MODEL])),
        charges=(limit or (None if whole else _SHOWN_CHARGES)) if charges else 0,
        which=ChargeFilter(
            since=None if since is None else parse_moment(since, "--since", now),
            until=None if until is None else parse_moment(until, "--until", now),
            key=key,
            model=model,
            profile=profile,
        ),
    )
    report = _report(query, target, ledger)
    print_report(report, query, as_csv=as_csv, as_json=as_json)


def parse_moment(text: str, option: str, now: float) -> float:
    """Reads ``7d``, ``12h`` and the like as so long ago, and dates and times of ISO 8601.

    A date is its beginning; without an offset a time is one of UTC. The moment and ``now`` are in
    seconds since 1970.

    Raises:
        SettingsError: Neither of them.
    """
    ago = _AGO.fullmatch(text)
    if ago:
        return max(0.0, now - float(ago[1]) * _SECONDS[ago[2]])
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise SettingsError(
            f"{option}: must be so long ago, such as 7d or 12h, or a date, such as 2026-11-01, "
            f"not {text!r}"
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _back_up(ledger: Path | None, target: Path, *, replace: bool, as_json: bool) -> None:
    import contextlib

    from quorate.cli.views.spend import print_backup
    from quorate.ledger.copying import back_up
    from quorate.ledger.ledger_file import open_for_reading
    from quorate_registry.store import default_home

    path = (ledger or default_home() / "ledger.sqlite3").absolute()
    with contextlib.closing(open_for_reading(path)) as connection:
        size = back_up(connection, target.absolute(), replace=replace)
    print_backup(path, target, size, as_json=as_json)


def _report(query: SpendQuery, target: ServerTarget, ledger: Path | None) -> SpendReport:
    """Reads the named ledger, or asks the named server, or else whichever is here."""
    import asyncio

    from quorate.cli.notes import note
    from quorate.cli.spending import read_file
    from quorate.client import DEFAULT_TARGET, ServiceError
    from quorate_registry.store import default_home

    if ledger is not None:
        return read_file(ledger, query)
    try:
        return asyncio.run(_asked(target.address or DEFAULT_TARGET, target, query))
    except ServiceError as error:
        path = default_home() / "ledger.sqlite3"
        if target.address or error.status != "UNAVAILABLE" or not path.is_file():
            raise
        note(f"nothing answers at {DEFAULT_TARGET}; reading {path}")
        return read_file(path, query)


async def _asked(address: str, target: ServerTarget, query: SpendQuery) -> SpendReport:
    from quorate.cli.option_names import Given, options_named
    from quorate.cli.spending import ask_server
    from quorate.cli.target import connect

    async with connect(address, target) as client:
        with options_named(Given()):
            return await ask_server(client, query)
