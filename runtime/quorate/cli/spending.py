"""What ``spend`` asks for and gets, from a server or from a ledger's file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from quorate.cli.messages import charge_of, spend_of
from quorate.client import ChargeOptions, Client
from quorate.ledger.charges import Charge
from quorate.ledger.reader import LedgerReader, open_read_only
from quorate.ledger.spending import ChargeFilter, Dimension, SpendFilter, SpendRow
from quorate.v1 import accounting_pb2

_PAGE = 200


@dataclass(frozen=True, slots=True)
class SpendQuery:
    """What is asked for; None is all.

    Attributes:
        group_by: What sums are made for.
        charges: How many charges are listed, the latest first; 0 for sums alone.
        which: The charges that count.
    """

    group_by: tuple[Dimension, ...] = ()
    charges: int | None = 0
    which: ChargeFilter = field(default_factory=ChargeFilter)


@dataclass(frozen=True, slots=True)
class SpendReport:
    """What there is to tell.

    Attributes:
        rows: Sums of each group.
        total: One sum of all, or None where nothing was spent.
        charges: The latest charges, if they were asked for.
        windows: Of the budget; a file has none.
        machine: Energy of the machine since the server started, or None.
    """

    rows: tuple[SpendRow, ...] = ()
    total: SpendRow | None = None
    charges: tuple[Charge, ...] = ()
    windows: tuple[accounting_pb2.BudgetWindow, ...] = ()
    machine: accounting_pb2.MachineEnergy | None = None


async def ask_server(client: Client, query: SpendQuery) -> SpendReport:
    """Asks a server that runs.

    Raises:
        ServiceError: What it refuses, or a lost connection.
    """
    which = query.which
    filters: ChargeOptions = {
        "since": which.since,
        "until": which.until,
        "key": which.key,
        "model": which.model,
        "profile": which.profile,
    }
    windows = tuple(await client.budget(which.key or ""))
    if query.charges != 0:
        return SpendReport(charges=await _latest(client, query.charges, filters), windows=windows)
    sums = await client.spend([group.value for group in query.group_by], **filters)
    total = await client.spend(**filters)
    return SpendReport(
        rows=tuple(map(spend_of, sums.spends)),
        total=_only([spend_of(spend) for spend in total.spends]),
        windows=windows,
        machine=sums.machine if sums.HasField("machine") else None,
    )


def read_file(path: Path, query: SpendQuery) -> SpendReport:
    """Reads a ledger's file, whether or not a server writes to it.

    Raises:
        SettingsError: There is none, or it is broken or newer.
        Unavailable: It cannot be read.
    """
    reader = open_read_only(path)
    try:
        return _read(reader, query)
    finally:
        reader.close()


def _read(reader: LedgerReader, query: SpendQuery) -> SpendReport:
    which = query.which
    if query.charges != 0:
        return SpendReport(charges=tuple(islice(reader.scan(which), query.charges)))
    summed = SpendFilter(key=which.key, profile=which.profile, model=which.model)
    return SpendReport(
        rows=reader.summarize(query.group_by, which.since, which.until, summed),
        total=_only(reader.summarize((), which.since, which.until, summed)),
    )


async def _latest(client: Client, count: int | None, filters: ChargeOptions) -> tuple[Charge, ...]:
    charges: list[Charge] = []
    size = _PAGE if count is None else min(count, _PAGE)
    async for message in client.charges(page_size=size, **filters):
        charges.append(charge_of(message))
        if len(charges) == count:
            break
    return tuple(charges)


def _only(rows: Sequence[SpendRow]) -> SpendRow | None:
    return rows[0] if rows else None
