"""What a service wrote into its ledger."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from quorate.client import Client
from quorate.v1 import accounting_pb2
from support.streams import Stream, joules_of

DEADLINE_SECONDS = 60.0
MICROJOULE = 1e-6


async def charges(client: Client, **filters: Any) -> list[accounting_pb2.Charge]:
    """Every row that the client may see, newest first."""
    return [charge async for charge in client.charges(**filters)]


async def charges_once(
    client: Client, condition: Callable[[list[accounting_pb2.Charge]], bool], **filters: Any
) -> list[accounting_pb2.Charge]:
    """The rows once they meet a condition; those of calls that were cancelled come by and by."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not condition(rows := await charges(client, **filters)):
            pass
    return rows


def reservations(path: Path) -> int:
    """Reservations that stand in the file of a ledger now."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        count: int = connection.execute("SELECT COUNT(*) FROM reservations").fetchone()[0]
        return count


def assert_told_once(streams: Mapping[str, Stream], rows: Iterable[accounting_pb2.Charge]) -> None:
    """What clients were told to the end is in the ledger, the rest at most once."""
    by_request: dict[str, list[accounting_pb2.Charge]] = {}
    for row in rows:
        by_request.setdefault(row.request_id, []).append(row)
    for name, own in by_request.items():
        assert len(own) == 1, name
    for name, stream in streams.items():
        if stream.finished is None:
            continue
        (row,) = by_request[name]
        usage = stream.usage
        assert row.outcome == "finished"
        assert row.prompt_tokens == usage.prompt_tokens
        assert row.generated_tokens == usage.generated_tokens
        assert [(part.model, part.prompt_tokens, part.generated_tokens) for part in row.models] == [
            (part.model, part.prompt_tokens, part.generated_tokens) for part in usage.models
        ]
        bound = MICROJOULE * len(row.models)
        assert row.energy.joules == pytest.approx(joules_of(usage), abs=bound)
