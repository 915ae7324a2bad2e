"""The server is killed while clients listen: what they were told stands in the ledger, once."""

from __future__ import annotations

import asyncio
import math
import os
import random
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from quorate.client import Client
from support.command_line import Serving, serving
from support.ledgers import assert_told_once, charges, reservations
from support.streams import Stream

CONFIG = """
[server]
listen = "127.0.0.1:0"
[routing]
probe = false
[profiles.pair]
members = ["a", "b"]
[[models]]
id = "a"
engine = "scripted"
options = { say = "the quick brown fox jumps over the lazy dog", seed = 1, step_delay_ms = 1.0 }
[[models]]
id = "b"
engine = "scripted"
options = { say = "the quick red hen walks under the busy cat", seed = 2, step_delay_ms = 1.0 }
"""
PLANS: list[dict[str, Any]] = [
    {"model": "a"},
    {"model": "b", "max_tokens": 3},
    {"profile": "pair"},
    {"stages": [("a", 1.0), "b"]},
]
CLIENTS = 6
MICROJOULE = 1e-6
DEADLINE_SECONDS = 60.0
OUTCOMES = {"finished", "failed", "cancelled", "lost"}


class Crowd:
    """Clients that ask one thing after the other until their server is gone."""

    def __init__(self, client: Client, turn: int, luck: random.Random) -> None:
        self.streams: dict[str, Stream] = {}
        self._client = client
        self._turn = turn
        self._luck = luck
        self._ended = asyncio.Event()
        self._tasks = [asyncio.create_task(self._ask()) for _ in range(CLIENTS)]

    async def heard(self, events: int) -> None:
        """Waits until so many events came in all."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while sum(len(stream.events) for stream in self.streams.values()) < events:
                await asyncio.wait(self._tasks, timeout=0.002)

    async def heard_an_end(self) -> None:
        """Waits until the next answer is complete."""
        self._ended.clear()
        await asyncio.wait_for(self._ended.wait(), DEADLINE_SECONDS)

    async def gone(self) -> None:
        """Waits until every client has lost its server."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            await asyncio.gather(*self._tasks)

    async def _ask(self) -> None:
        while True:
            name = f"{self._turn}-{len(self.streams)}"
            stream = Stream(self._client, "", request_id=name, **self._luck.choice(PLANS))
            self.streams[name] = stream
            await stream.end()
            self._ended.set()
            if stream.error is not None:
                assert stream.error.status == "UNAVAILABLE"
                return


async def killed_while_asked(
    server: Serving, client: Client, turn: int, luck: random.Random
) -> dict[str, Stream]:
    """Kills a server in the midst of its work; everything that was asked of it, by its id."""
    workers = [os.pidfd_open(pid) for pid in server.workers()]
    assert len(workers) >= 2
    crowd = Crowd(client, turn, luck)
    await crowd.heard(luck.randrange(1, 600))
    if turn % 2 == 0:
        # The worst moment: a client has just been told what it took.
        await crowd.heard_an_end()
    os.kill(server.process.pid, signal.SIGKILL)
    await crowd.gone()
    for worker in workers:
        await asyncio.wait_for(ended(worker), DEADLINE_SECONDS)
        os.close(worker)
    assert server.end() == -signal.SIGKILL
    return crowd.streams


async def ended(pidfd: int) -> None:
    """Waits for the end of a process."""
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(pidfd, over.set)
    try:
        await over.wait()
    finally:
        loop.remove_reader(pidfd)


@pytest.mark.parametrize(
    "kills",
    [
        pytest.param(3, id="3 kills"),
        pytest.param(50, id="50 kills", marks=[pytest.mark.slow, pytest.mark.timeout(900)]),
    ],
)
async def test_a_server_that_is_killed_loses_nothing_that_it_told(
    tmp_path: Path, kills: int
) -> None:
    luck = random.Random(kills)
    streams: dict[str, Stream] = {}
    for turn in range(kills):
        with serving(tmp_path, CONFIG) as server:
            async with Client(server.address) as client:
                assert_told_once(streams, await charges(client, page_size=1000))
                streams |= await killed_while_asked(server, client, turn, luck)
    with serving(tmp_path, CONFIG) as server:
        async with Client(server.address) as client:
            left = reservations(tmp_path / "home" / "ledger.sqlite3")
            rows = await charges(client, page_size=1000)
            (whole,) = (await client.spend()).spends
            by_kind = (await client.spend(["plan_kind"])).spends
    assert left == 0
    assert_told_once(streams, rows)
    told = [stream for stream in streams.values() if stream.finished]
    assert len(told) >= kills
    assert len(streams) - len(told) >= kills
    assert {row.request_id for row in rows} <= streams.keys()
    outcomes = Counter(row.outcome for row in rows)
    assert set(outcomes) <= OUTCOMES
    assert outcomes["lost"] >= 1
    assert len({row.attempt_id for row in rows}) == len(rows) == whole.requests
    for sums in ([whole], by_kind):
        assert sum(one.requests for one in sums) == len(rows)
        assert sum(one.generated_tokens for one in sums) == sum(r.generated_tokens for r in rows)
        assert math.fsum(one.energy.joules for one in sums) == pytest.approx(
            math.fsum(row.energy.joules for row in rows), abs=MICROJOULE * len(rows)
        )
