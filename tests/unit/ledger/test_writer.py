from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable

import pytest

from quorate.errors import Internal, Unavailable
from quorate.ledger.writer import Writer


def counting() -> tuple[sqlite3.Connection, list[str]]:
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    connection.execute("CREATE TABLE numbers (n UNIQUE)")
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    return connection, statements


def insert(number: int) -> Callable[[sqlite3.Connection], int]:
    def job(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT INTO numbers VALUES (?)", (number,))
        return number

    return job


async def test_what_comes_in_during_a_commit_shares_the_next_transaction() -> None:
    connection, statements = counting()
    writer = Writer(connection, "numbers")
    started, go_on = threading.Event(), threading.Event()

    def slow(_: sqlite3.Connection) -> None:
        started.set()
        assert go_on.wait(30)

    first = asyncio.create_task(writer.run(slow))
    await asyncio.to_thread(started.wait, 30)
    others = [asyncio.create_task(writer.run(insert(n))) for n in range(100)]
    await asyncio.sleep(0)
    go_on.set()
    await first
    assert await asyncio.gather(*others) == list(range(100))
    assert statements.count("COMMIT") == 2
    writer.close()


async def test_a_job_that_fails_is_undone_alone() -> None:
    connection, _ = counting()
    writer = Writer(connection, "numbers")

    def bad(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO numbers VALUES (99)")
        raise ValueError("no")

    results = await asyncio.gather(
        writer.run(insert(1)), writer.run(bad), writer.run(insert(1)), writer.run(insert(2)),
        return_exceptions=True,
    )  # fmt: skip
    assert results[0] == 1 and results[3] == 2
    assert isinstance(results[1], Internal) and "numbers: a row cannot be kept: no" in str(
        results[1]
    )
    assert isinstance(results[2], Internal)
    rows = await writer.run(lambda c: c.execute("SELECT n FROM numbers ORDER BY n").fetchall())
    assert rows == [(1,), (2,)]
    writer.close()


async def test_a_file_that_cannot_be_written_is_no_defect() -> None:
    connection, _ = counting()
    connection.execute("PRAGMA query_only = 1")
    writer = Writer(connection, "numbers")
    with pytest.raises(Unavailable, match=r"numbers: cannot be written: .*readonly"):
        await writer.run(insert(1))
    writer.close()


async def test_closing_finishes_what_was_given() -> None:
    connection, statements = counting()
    writer = Writer(connection, "numbers")
    tasks = [asyncio.create_task(writer.run(insert(n))) for n in range(1000)]
    await asyncio.sleep(0)
    await asyncio.to_thread(writer.close)
    assert await asyncio.gather(*tasks) == list(range(1000))
    assert sum(statement.startswith("INSERT") for statement in statements) == 1000
    with pytest.raises(Unavailable, match="numbers: is closed"):
        await writer.run(insert(1))


def test_a_loop_that_does_not_wait_stops_nobody_else() -> None:
    connection, _ = counting()
    writer = Writer(connection, "numbers")
    hold = threading.Event()

    async def leave() -> None:
        task = asyncio.create_task(writer.run(lambda _: hold.wait(30)))
        await asyncio.sleep(0)
        task.cancel()

    asyncio.run(leave())
    hold.set()
    assert asyncio.run(writer.run(insert(7))) == 7
    writer.close()
