"""Work that moves between the models of a fleet at random, and what can be seen of its threads."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any

from quorate.engines.spec import EngineSpec
from quorate.engines.worker.engine import HostedEngine
from quorate.engines.worker.turns import Turns
from quorate.fleet.fleet import Fleet
from quorate.fleet.life_cycle import ModelSource

DEADLINE_SECONDS = 60.0
_SAMPLE_SECONDS = 0.002


@asynccontextmanager
async def fleet_of(cores: Sequence[int], *specs: EngineSpec) -> AsyncIterator[Fleet]:
    """Loaded models that share these cores."""
    turns = Turns()

    def start(spec: EngineSpec, given: Sequence[int]) -> HostedEngine:
        engine = HostedEngine(spec, given, turns=turns)
        engine.start()
        return engine

    fleet = Fleet(start, cores)
    try:
        for spec in specs:
            fleet.add(_source(spec))
        await asyncio.gather(*(fleet.load(spec.model) for spec in specs))
        yield fleet
    finally:
        await fleet.close()


def _source(spec: EngineSpec) -> ModelSource:
    async def prepare(on_progress: Any) -> EngineSpec:
        return spec

    return ModelSource(spec.model, spec.engine, prepare)


@dataclass
class Threads:
    """How many threads of some processes run, or spin, sampled every few milliseconds.

    A sample looks at one thread after the other, so that it may count those of two models where
    one has just handed its cores to the other: what seems too much is looked at a second time at
    once.

    Attributes:
        samples: How many there were.
        above: In how many of them there were more threads than cores.
        most_seen: The most threads of a sample.
        longest_seconds: For how long there were too many at a stretch.
    """

    pids: Sequence[int]
    most: int
    samples: int = 0
    above: int = 0
    most_seen: int = 0
    longest_seconds: float = 0.0
    _ending: Event = field(default_factory=Event)

    def __enter__(self) -> Threads:
        self._thread = Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()

    def _watch(self) -> None:
        since = None
        while not self._ending.wait(_SAMPLE_SECONDS):
            self.samples += 1
            seen = self._running()
            if seen > self.most:
                seen = min(seen, self._running())
            self.most_seen = max(self.most_seen, seen)
            if seen <= self.most:
                since = None
                continue
            self.above += 1
            now = time.monotonic()
            since = since or now
            self.longest_seconds = max(self.longest_seconds, now - since)

    def _running(self) -> int:
        return sum(map(running_threads, self.pids))


def running_threads(pid: int) -> int:
    """Threads of a process that run or want to."""
    running = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):
            running += (task / "stat").read_text().rpartition(")")[2].split()[0] == "R"
    return running


@dataclass
class Work:
    """Requests that come to a fleet at random.

    Attributes:
        answered: Tokens that each model has answered since this was last emptied.
        slowest: The longest that anybody waited for one answer of each model, in seconds.
    """

    fleet: Fleet
    models: Sequence[str]
    seed: int
    answered: dict[str, int] = field(default_factory=dict)
    slowest: dict[str, float] = field(default_factory=dict)

    async def go_on(self, seconds: float) -> None:
        """Has several callers ask one model after the other, or some of them at once."""
        end = time.monotonic() + seconds
        callers = [self._caller(random.Random(f"{self.seed} {n}"), end) for n in range(3)]
        await asyncio.gather(*callers)

    async def _caller(self, choose: random.Random, end: float) -> None:
        while time.monotonic() < end:
            asked = choose.sample(self.models, choose.randint(1, len(self.models)))
            await self._ask(asked, choose, end)
            await asyncio.sleep(choose.expovariate(10.0))

    async def _ask(self, asked: Sequence[str], choose: random.Random, end: float) -> None:
        """A vote of some models, or of one."""
        with self.fleet.muster(asked) as mustered:
            sessions = {model: await engine.open(128) for model, engine in mustered.engines.items()}
            prompt = [choose.randrange(3, 90) for _ in range(choose.randint(1, 60))]
            try:
                for _ in range(choose.randint(1, 12)):
                    await self._feed(sessions, prompt)
                    prompt = [choose.randrange(3, 90)]
                    if time.monotonic() > end:
                        break
            finally:
                for session in sessions.values():
                    session.close()

    async def _feed(self, sessions: dict[str, Any], tokens: list[int]) -> None:
        began = time.monotonic()
        async with asyncio.timeout(DEADLINE_SECONDS):
            for model, feed in [(m, s.feed(tokens)) for m, s in sessions.items()]:
                await feed
                self.answered[model] = self.answered.get(model, 0) + 1
                waited = time.monotonic() - began
                self.slowest[model] = max(self.slowest.get(model, 0.0), waited)


async def cores_of_a_lone_request(fleet: Fleet, model: str) -> float:
    """On how many cores a model computes from 50 ms after it is the only one that is asked."""
    with fleet.muster([model]) as mustered:
        engine = mustered.engines[model]
        assert isinstance(engine, HostedEngine)
        session = await engine.open(128)
        began = time.monotonic()
        while time.monotonic() - began < 0.05:
            await session.feed([5])
        before = engine.activity.done
        for _ in range(10):
            await session.feed([6])
        done = engine.activity.done
        session.close()
    assert done.waited_seconds == before.waited_seconds
    return (done.core_seconds - before.core_seconds) / (
        done.computed_seconds - before.computed_seconds
    )


def usable_cores() -> list[int]:
    return sorted(os.sched_getaffinity(0))
