"""What every door does around its calls."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable

import pytest

from quorate.access.keys import KeyRing, KeySettings
from quorate.access.record import RequestRecord
from quorate.api.calls import Calls
from quorate.api.open_calls import OpenCalls
from quorate.api.reading import AT_ONCE_BYTES
from quorate.api.strangers import STRANGERS
from quorate.dispatch.loop_turns import LoopTurns
from quorate.engines.fair_turns import CALLER, Caller
from quorate.errors import (
    DeadlinePassed,
    Internal,
    NotFound,
    Overloaded,
    QuorateError,
    ServerStopped,
    Unauthenticated,
)

DEADLINE_SECONDS = 30.0
KEYS = {"alice": KeySettings(sha256=hashlib.sha256(b"secret").hexdigest())}


class Left(Exception):
    pass


class Turns(LoopTurns):
    def __init__(self) -> None:
        super().__init__()
        self.log: list[str] = []

    def arrive(self) -> None:
        self.log.append("arrived")

    async def enter(self, caller: Caller | None = None) -> None:
        self.log.append("entered")

    async def enter_alone(self, caller: Caller | None = None) -> None:
        self.log.append("entered alone")


class Door:
    def __init__(self, keys: dict[str, KeySettings] | None = None, most: int = 8) -> None:
        self.turns = Turns()
        self.open_calls = OpenCalls(most)
        self.told: list[tuple[str, str]] = []
        self.calls = Calls(
            KeyRing(keys or {}),
            self.open_calls,
            self.turns,
            lambda key, origin: Caller(f"key {key}" if key else origin),
            DEADLINE_SECONDS,
            lambda method, status, seconds: self.told.append((method, status)),
        )

    def record(self, authorization: str | None = None) -> RequestRecord:
        record = RequestRecord("Call", "r", origin="here")
        refusal = self.calls.identify(record, authorization)
        self.calls.work_for(record, refused=refusal is not None)
        return record

    async def outcome(
        self,
        serve: Callable[[], Awaitable[None]],
        refusal: QuorateError | None = None,
        seconds: float | None = None,
    ) -> tuple[QuorateError | None, str]:
        record = self.record()
        with self.open_calls.one(record.whose), self.calls.told(record):
            found = await self.calls.outcome(record, refusal, lambda: seconds, serve, Left)
        return found, record.status


async def nothing() -> None:
    pass


async def for_ever() -> None:
    await asyncio.Event().wait()


def raising(error: BaseException) -> Callable[[], Awaitable[None]]:
    async def serve() -> None:
        raise error

    return serve


async def test_strangers_take_their_turns_together_and_none_from_those_who_have_keys() -> None:
    door = Door(KEYS)
    for authorization in (None, "Bearer wrong"):
        door.record(authorization)
        assert CALLER.get() == STRANGERS
    assert door.turns.log == []
    door.record("Bearer secret")
    assert CALLER.get() == Caller("key alice")
    assert door.turns.log == ["arrived"]


async def test_where_nobody_needs_a_key_a_caller_is_where_it_comes_from() -> None:
    door = Door()
    door.record()
    assert CALLER.get() == Caller("here")
    assert door.turns.log == ["arrived"]


async def test_a_call_has_its_turn_before_it_is_served_or_refused() -> None:
    door = Door()
    assert await door.outcome(nothing) == (None, "OK")
    refusal = Unauthenticated("no")
    assert await door.outcome(for_ever, refusal) == (refusal, "UNAUTHENTICATED")
    assert door.turns.log == ["arrived", "entered"] * 2
    assert door.told == [("Call", "OK"), ("Call", "UNAUTHENTICATED")]


async def test_who_leaves_gives_back_in_turn_unless_nothing_had_begun() -> None:
    door = Door()
    await door.calls.turn_to_leave(refused=True)()
    assert door.turns.log == []
    await door.calls.turn_to_leave(refused=False)()
    assert door.turns.log == ["entered alone"]


async def test_a_caller_is_told_what_went_wrong_and_of_a_defect_no_more_than_its_number() -> None:
    door = Door()
    known = NotFound("model", "x", [])
    assert await door.outcome(raising(known)) == (known, "NOT_FOUND")
    for defect in (KeyError("secret"), asyncio.CancelledError("by nobody"), TimeoutError()):
        found, status = await door.outcome(raising(defect))
        assert isinstance(found, Internal) and "secret" not in found.message
        assert status == "INTERNAL"


async def test_who_has_left_is_told_nothing() -> None:
    door = Door()
    with pytest.raises(Left):
        await door.outcome(raising(Left()))
    leaving = asyncio.create_task(door.outcome(for_ever))
    await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert door.told == [("Call", "CANCELLED")] * 2


async def test_a_call_ends_at_its_deadline_or_with_the_server() -> None:
    door = Door()
    found, status = await door.outcome(for_ever, seconds=0.001)
    assert isinstance(found, DeadlinePassed) and status == "DEADLINE_EXCEEDED"
    running = asyncio.create_task(door.outcome(for_ever))
    await asyncio.sleep(0)
    door.calls.end_all()
    async with asyncio.timeout(DEADLINE_SECONDS):
        found, status = await running
    assert isinstance(found, ServerStopped) and status == "UNAVAILABLE"
    # One that comes later ends at once.
    found, _ = await door.outcome(for_ever)
    assert isinstance(found, ServerStopped)


async def test_one_call_too_many_is_refused() -> None:
    door = Door(most=1)
    with door.open_calls.one("here"):
        found, status = await door.outcome(nothing)
    assert isinstance(found, Overloaded) and status == "RESOURCE_EXHAUSTED"


@pytest.mark.parametrize(("size", "log"), [(AT_ONCE_BYTES, ["entered"]), (AT_ONCE_BYTES + 1, [])])
async def test_a_small_message_is_read_in_a_turn(size: int, log: list[str]) -> None:
    door = Door()

    async def receive() -> bytes:
        return b"x" * size

    async def read(data: bytes) -> int:
        return len(data)

    assert await door.calls.read(RequestRecord("Call", "r"), receive, read) == size
    assert door.turns.log == log
