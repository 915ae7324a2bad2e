"""What a service wrote into its ledger."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from quorate.client import Client
from quorate.v1 import accounting_pb2

DEADLINE_SECONDS = 60.0


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
