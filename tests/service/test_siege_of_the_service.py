"""A crowd, random leavers and killed workers at once; run by scripts/prove.

What clients were told is compared with the ledger, which was written in the same turmoil.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from quorate.client import Client
from quorate.v1 import models_pb2
from support.command_line import Serving, serving
from support.ledgers import assert_told_once, charges, reservations
from support.streams import Stream

SAY = "the quick brown fox jumps over the lazy dog"
CONFIG = f"""
[server]
listen = "127.0.0.1:0"
max_waiting = 1024
[routing]
probe = false
[profiles.pair]
members = ["a", "b"]
on_failure = "replay"
[[models]]
id = "a"
engine = "scripted"
options = {{ say = "{SAY}", seed = 1, step_delay_ms = 0.5, sessions = 64, cells = 65536 }}
[[models]]
id = "b"
engine = "scripted"
options = {{ say = "{SAY}", seed = 2, step_delay_ms = 0.5, sessions = 64, cells = 65536 }}
"""
STREAMS = 500
TINY = 10_000
LEAVERS = 1_000
KILLS = 10
ASKERS = 24
DEADLINE_SECONDS = 900.0

pytestmark = pytest.mark.slow


class Siege:
    """Everything that was asked, by its id, and who left of their own will."""

    def __init__(self, client: Client) -> None:
        self.streams: dict[str, Stream] = {}
        self.left: set[str] = set()
        self._client = client
        self._luck = random.Random(7)

    @property
    def answered(self) -> int:
        """Whole answers so far."""
        return sum(stream.finished is not None for stream in self.streams.values())

    def begin(self, name: str, **options: Any) -> Stream:
        """Begins an answer; what fails is waited for and done again."""
        plan = self._luck.choice([{"model": "a"}, {"model": "b"}, {"profile": "pair"}])
        if "model" in plan:
            options["failure_policy"] = "replay"
        stream = Stream(self._client, "", request_id=name, temperature=0.0, **{**plan, **options})
        self.streams[name] = stream
        return stream

    async def crowd(self) -> None:
        """Hundreds of whole answers at once."""
        await asyncio.gather(*(self.begin(f"s{i}").end() for i in range(STREAMS)))

    async def tiny(self, asker: int) -> None:
        """One token, again and again."""
        for number in range(asker, TINY, ASKERS):
            await self.begin(f"t{number}", max_tokens=1).end()

    async def leavers(self, asker: int) -> None:
        """Answers that are left at any moment, before their first event too."""
        for number in range(asker, LEAVERS, ASKERS):
            name, events = f"l{number}", self._luck.randrange(0, 6)
            stream = self.begin(name)
            self.left.add(name)
            await stream.heard_or_ended(events)
            await stream.leave()


async def killed_now_and_then(
    server: Serving, client: Client, siege: Siege, over: asyncio.Event
) -> int:
    """Kills one worker after the other while the siege goes on; how many it were.

    Each after so many more answers that nobody loses a member more often than requests wait for
    one: who is killed faster than anybody can answer loses something, by design.
    """
    kills = 0
    while not over.is_set() and kills < KILLS:
        models = {model.id: model for model in await client.models()}
        ready = all(model.state == models_pb2.MODEL_STATE_READY for model in models.values())
        if ready and siege.answered > kills * TINY // KILLS:
            os.kill(_worker_of(server, kills), signal.SIGKILL)
            kills += 1
        with suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), 0.25)
    return kills


def _worker_of(server: Serving, turn: int) -> int:
    workers = sorted(server.workers())
    return workers[turn % len(workers)]


@pytest.mark.timeout(DEADLINE_SECONDS)
async def test_nothing_is_lost_under_siege_and_the_ledger_tells_it_all(tmp_path: Path) -> None:
    with serving(tmp_path, CONFIG) as server:
        async with Client(server.address) as client:
            siege, over = Siege(client), asyncio.Event()
            await asyncio.gather(*(siege.begin(f"w{i}").end() for i in range(50)))
            before, descriptors = resident_bytes(server), open_descriptors(server)
            killing = asyncio.create_task(killed_now_and_then(server, client, siege, over))
            await asyncio.gather(
                siege.crowd(),
                *(siege.tiny(asker) for asker in range(ASKERS)),
                *(siege.leavers(asker) for asker in range(ASKERS)),
            )
            over.set()
            kills = await killing
            after = resident_bytes(server)
            errors = Counter(
                str(stream.error)
                for name, stream in siege.streams.items()
                if stream.finished is None and name not in siege.left
            )
            async with asyncio.timeout(60.0):
                while reservations(_ledger(tmp_path)):
                    await asyncio.sleep(0.05)
            rows = await charges(client)
            descriptors_after = open_descriptors(server)
    assert kills == KILLS
    assert not errors
    assert_told_once(siege.streams, rows)
    # Of those who left only some had begun.
    assert {row.request_id for row in rows} <= set(siege.streams)
    outcomes = Counter(row.outcome for row in rows)
    assert outcomes["finished"] >= 50 + STREAMS + TINY
    assert set(outcomes) <= {"finished", "cancelled"}
    assert after <= 1.2 * before, (before, after)
    assert descriptors_after <= descriptors + 8


def resident_bytes(server: Serving) -> int:
    return int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]) * 4096


def open_descriptors(server: Serving) -> int:
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


def _ledger(home: Path) -> Path:
    (found,) = home.rglob("ledger.sqlite3")
    return found
