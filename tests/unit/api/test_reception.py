from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from quorate.api.reading import AT_ONCE_BYTES
from quorate.api.reception import Reception, ReceptionLimits
from quorate.errors import Overloaded, PeerStalled

DEADLINE_SECONDS = 30.0


class Peers:
    """Messages on their way: each arrives when it is told to."""

    def __init__(self, limits: ReceptionLimits) -> None:
        self.reception = Reception(limits)
        self.asked_for: list[str] = []
        self._changed = asyncio.Event()

    def send(
        self, name: str, caller: str = "a", peer: str = "", whole: bool = False
    ) -> asyncio.Task[object]:
        """A message that arrives whole, or never."""

        async def receive() -> str:
            self.asked_for.append(name)
            self._changed.set()
            if not whole:
                await asyncio.Event().wait()
            return name

        asked: Callable[[], Awaitable[str]] = receive
        return asyncio.create_task(self.reception.message(caller, peer or name, asked, kept))

    async def asked(self, count: int) -> list[str]:
        """The first so many messages that were asked for."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while len(self.asked_for) < count:
                self._changed.clear()
                await self._changed.wait()
        return self.asked_for[:count]


async def kept(message: object) -> object:
    return message


def limits(**values: float) -> ReceptionLimits:
    return ReceptionLimits(**{"patience_seconds": 30.0, "limit_seconds": 60.0, **values})  # type: ignore[arg-type]


async def end(*tasks: asyncio.Task[object]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_large_message_keeps_its_place_until_it_was_read() -> None:
    """Whoever waits for the one thread that reads has all of a message in memory."""
    peers = Peers(limits(most=2, most_each=1, patience_seconds=0.001, limit_seconds=0.2))
    reading, read = asyncio.Event(), asyncio.Event()

    async def receive() -> bytes:
        return b"x" * (AT_ONCE_BYTES + 1)

    async def digest(message: bytes) -> int:
        reading.set()
        await read.wait()
        return len(message)

    large = asyncio.create_task(peers.reception.message("a", "p", receive, digest))
    await reading.wait()
    waiting = peers.send("a1", "a")
    other = peers.send("b0", "b")
    assert await peers.asked(1) == ["b0"]
    # It is none that keeps others waiting by being slow, though they wait longer than is allowed.
    with pytest.raises(Overloaded, match="kept it waiting"):
        await waiting
    assert not large.done()
    after = peers.send("a2", "a")
    read.set()
    assert await large == AT_ONCE_BYTES + 1
    assert await peers.asked(2) == ["b0", "a2"]
    await end(waiting, other, after)


async def test_a_small_message_leaves_its_place_before_it_is_read() -> None:
    peers = Peers(limits(most=1))

    async def receive() -> bytes:
        return b"x"

    async def digest(message: bytes) -> str:
        return str(await peers.asked(1))

    small = asyncio.create_task(peers.reception.message("a", "p", receive, digest))
    other = peers.send("a1", "a")
    assert await small == "['a1']"
    await end(other)


async def test_so_many_messages_are_asked_for_at_once_of_one_caller_and_of_all() -> None:
    peers = Peers(limits(most=3, most_each=2))
    tasks = [peers.send(f"a{number}", "a") for number in range(3)]
    tasks += [peers.send(f"b{number}", "b") for number in range(3)]
    assert await peers.asked(3) == ["a0", "a1", "b0"]
    await asyncio.sleep(0)
    assert len(peers.asked_for) == 3
    tasks[0].cancel()
    assert (await peers.asked(4))[3] == "a2"
    await end(*tasks)


async def test_a_message_that_takes_long_gives_way_to_those_that_wait_for_it() -> None:
    peers = Peers(limits(most=4, most_each=1, patience_seconds=0.02))
    slow = peers.send("slow", peer="hostile")
    await peers.asked(1)
    assert await asyncio.wait_for(peers.send("small", whole=True), DEADLINE_SECONDS) == "small"
    with pytest.raises(Overloaded, match="while others waited"):
        await slow


async def test_whole_messages_that_are_taken_late_are_nobodys_fault() -> None:
    """A thousand at once of one caller, of which the event loop takes one after the other."""
    reception = Reception(limits(most_each=2, patience_seconds=0.01))

    async def receive() -> str:
        # Longer than others would wait, in some rounds of a loop that is busy with all of them.
        for _ in range(3):
            await asyncio.sleep(0)
            time.sleep(0.01)
        return "whole"

    sent = [reception.message("a", f"{number}", receive, kept) for number in range(30)]
    assert await asyncio.gather(*sent) == ["whole"] * 30


async def test_a_caller_whose_messages_stall_is_given_less_time_for_the_next_ones() -> None:
    peers = Peers(limits(most_each=2, patience_seconds=0.05))
    stalled = [peers.send(f"{number}") for number in range(160)]
    # Ten times the patience once; for each two of them it would be forty seconds.
    assert await asyncio.wait_for(peers.send("whole", whole=True), DEADLINE_SECONDS) == "whole"
    await end(*stalled)


async def test_a_message_that_takes_long_is_let_be_while_nobody_waits_for_its_place() -> None:
    peers = Peers(limits(most=4, most_each=1, patience_seconds=0.01))
    slow = peers.send("slow", "a")
    for number in range(20):
        assert await peers.send(f"b{number}", "b", whole=True) == f"b{number}"
    assert not slow.done()
    await end(slow)


async def test_where_all_places_are_taken_whoever_holds_most_gives_way() -> None:
    peers = Peers(limits(most=3, most_each=2, patience_seconds=0.02))
    many = [peers.send("a0", "a"), peers.send("a1", "a")]
    one = peers.send("b0", "b")
    await peers.asked(3)
    assert await asyncio.wait_for(peers.send("c0", "c", whole=True), DEADLINE_SECONDS) == "c0"
    with pytest.raises(Overloaded):
        await many[0]
    assert not many[1].done() and not one.done()
    await end(*many, one)


async def test_who_gave_way_before_comes_after_those_who_did_not() -> None:
    peers = Peers(limits(most=1, most_each=1, patience_seconds=0.02))
    first = peers.send("slow", peer="hostile")
    await peers.asked(1)
    again = [peers.send(f"again{number}", peer="hostile") for number in range(3)]
    assert await asyncio.wait_for(peers.send("small", whole=True), DEADLINE_SECONDS) == "small"
    assert peers.asked_for[:2] == ["slow", "small"]
    await end(first, *again)


async def test_a_message_that_never_ends_is_given_up() -> None:
    peers = Peers(limits(limit_seconds=0.02))
    with pytest.raises(PeerStalled, match=r"had not come to its end after 0\.02 s"):
        await peers.send("slow")


async def test_a_message_that_waited_for_its_turn_for_too_long_is_given_up_as_well() -> None:
    peers = Peers(limits(most=1, most_each=1, limit_seconds=0.05))
    slow, behind = peers.send("slow"), peers.send("behind")
    results = await asyncio.gather(slow, behind, return_exceptions=True)
    assert [type(one) for one in results] == [PeerStalled, Overloaded]


async def test_of_one_caller_no_more_wait_than_may() -> None:
    peers = Peers(limits(most=1, most_each=1, most_waiting=2))
    tasks = [peers.send(str(number)) for number in range(3)]
    await peers.asked(1)
    with pytest.raises(Overloaded, match="too many messages"):
        await peers.send("one too many")
    other = peers.send("other", "b")
    await asyncio.sleep(0)
    assert not other.done()
    await end(*tasks, other)


async def test_cancelling_anywhere_leaves_all_places_free() -> None:
    peers = Peers(limits(most=2, most_each=2))
    for cancelled in range(4):
        tasks = [peers.send(f"{cancelled}.{number}") for number in range(4)]
        for _ in range(cancelled):
            await asyncio.sleep(0)
        await end(*tasks)
    last = [peers.send(f"last{number}", whole=True) for number in range(8)]
    assert await asyncio.gather(*last) == [f"last{number}" for number in range(8)]
