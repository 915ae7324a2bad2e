"""Workers that lie: each ends with one clear line, and its neighbour goes on answering."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from quorate.engines.worker.engine import HostedEngine
from quorate.engines.worker.statuses import WorkerPhase
from quorate.engines.worker.transport.link import WorkerLink
from quorate.engines.worker.transport.process import WorkerProcess
from quorate.errors import QuorateError, WorkerLost
from quorate.request import TextPrompt
from support.hosted_engines import DEADLINE_SECONDS, hosted, ready, scripted_spec, until
from support.hostile_worker import ENCODING, FEEDING, LOADING, NOISE, SCORING, command

AT_ONCE = 3
MOST_CPU_SECONDS = 0.01


async def never(_: float) -> None:
    """What died stays dead."""
    await asyncio.Event().wait()


class Neighbour:
    """A model that is asked all the time.

    Attributes:
        answers: Rows it gave so far.
    """

    def __init__(self, engine: HostedEngine) -> None:
        self._engine = engine
        self.answers = 0

    async def work(self) -> None:
        while True:
            session = await self._engine.open(200)
            await session.feed([3, 1, 4])
            for _ in range(100):
                await session.feed([5])
                self.answers += 1
            session.close()

    async def answers_again(self) -> None:
        """Waits until it has given some further rows."""
        enough = self.answers + 3
        async with asyncio.timeout(DEADLINE_SECONDS):
            while self.answers < enough:
                await asyncio.sleep(0.001)


@pytest.fixture
async def neighbour() -> AsyncIterator[Neighbour]:
    async with ready(scripted_spec()) as engine:
        beside = Neighbour(engine)
        work = asyncio.create_task(beside.work())
        yield beside
        work.cancel()


@pytest.fixture
def longest_turn(monkeypatch) -> list[float]:
    """CPU seconds of every turn of the event loop that belongs to what a worker says."""
    turns: list[float] = []

    def timed(owner: type, name: str) -> None:
        original = getattr(owner, name)

        def call(*arguments: object) -> object:
            began = time.thread_time()
            try:
                return original(*arguments)
            finally:
                turns.append(time.thread_time() - began)

        monkeypatch.setattr(owner, name, call)

    timed(WorkerLink, "_on_readable")
    timed(WorkerLink, "_tell_in_turns")
    timed(WorkerProcess, "_read_output")
    return turns


@asynccontextmanager
async def lying(lie: str) -> AsyncIterator[HostedEngine]:
    async with hosted(scripted_spec(), command=command(lie), sleep=never) as engine:
        yield engine


async def feed(engine: HostedEngine) -> None:
    """Asks for rows until the worker is lost."""
    await engine.wait_ready()
    try:
        for _ in range(5):
            session = await engine.open(20)
            try:
                await session.feed([1, 2, 3])
            except WorkerLost:
                pass
            finally:
                session.close()
            # Raises once the worker is lost, of which nobody else is told here.
            _ = engine.facts
            await asyncio.sleep(0.05)
    except QuorateError:
        return


async def encode(engine: HostedEngine) -> None:
    await engine.wait_ready()
    with pytest.raises(WorkerLost, match="spoke out of turn"):
        await engine.encode(TextPrompt("abc"))


async def score(engine: HostedEngine) -> None:
    await engine.wait_ready()
    session = await engine.open(20)
    with pytest.raises(WorkerLost, match="spoke out of turn"):
        await session.score([1, 2, 3, 4])
    session.close()


async def nothing(engine: HostedEngine) -> None:
    """Loading is enough."""


async def becomes_of(lie: str, ask: Callable[[HostedEngine], Awaitable[None]]) -> str:
    """The status of a model whose worker lies."""
    async with lying(lie) as engine, asyncio.timeout(DEADLINE_SECONDS):
        await ask(engine)
        return (await until(engine, WorkerPhase.RESTARTING)).message


@pytest.mark.parametrize(
    ("lies", "ask"),
    [(LOADING, nothing), (FEEDING, feed), (ENCODING, encode), (SCORING, score)],
    ids=["loading", "feeding", "encoding", "scoring"],
)
async def test_a_worker_that_lies_ends_in_one_clear_line_and_its_neighbour_goes_on(
    neighbour, longest_turn, lies, ask
):
    became: dict[str, str] = {}
    room = asyncio.Semaphore(AT_ONCE)

    async def tell(lie: str) -> None:
        async with room:
            before = neighbour.answers
            try:
                became[lie] = await becomes_of(lie, ask)
            except TimeoutError:
                became[lie] = "nothing"
            assert neighbour.answers > before
            await neighbour.answers_again()

    await asyncio.gather(*map(tell, lies))

    assert {lie: told for lie, told in became.items() if not _is_clear(told)} == {}
    assert max(longest_turn) < MOST_CPU_SECONDS


def _is_clear(told: str) -> bool:
    return told.startswith("spoke out of turn: ") and told.isprintable() and len(told) < 500


@pytest.mark.parametrize("noise", NOISE)
async def test_a_worker_that_never_stops_printing_goes_on_and_costs_its_neighbour_nothing(
    neighbour, longest_turn, caplog, noise
):
    async with lying(noise) as engine:
        await engine.wait_ready()
        session = await engine.open(20)
        await session.feed([1, 2, 3])
        for _ in range(20):
            await neighbour.answers_again()
        assert engine.status.phase is WorkerPhase.READY
        session.close()

    told = [record.getMessage() for record in caplog.records if "fire" in record.getMessage()]
    assert len(told) <= 100
    assert all(line.isprintable() for line in told)
    assert max(longest_turn) < MOST_CPU_SECONDS
