from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from quorate.engines.admission import Admission, Lease
from quorate.errors import Unavailable, WorkerLost


async def settle() -> None:
    """Lets every task that can go on do so."""
    for _ in range(5):
        await asyncio.sleep(0)


def start(coroutine: Coroutine[Any, Any, Lease]) -> asyncio.Task[Lease]:
    return asyncio.get_running_loop().create_task(coroutine)


async def test_slots_are_numbered_from_zero_and_reused() -> None:
    admission = Admission(2, 100)
    first, second = await admission.acquire(10), await admission.acquire(10)
    assert (first.slot, second.slot) == (0, 1)
    admission.release(first)
    assert (await admission.acquire(10)).slot == 0


async def test_a_lease_waits_for_a_slot() -> None:
    admission = Admission(1, 100)
    first = await admission.acquire(10)
    waiter = start(admission.acquire(10))
    await settle()
    assert not waiter.done()
    assert admission.waiting == 1
    admission.release(first)
    assert (await waiter).slot == 0
    assert admission.waiting == 0


async def test_a_lease_waits_for_cells() -> None:
    admission = Admission(4, 100)
    first = await admission.acquire(60)
    waiter = start(admission.acquire(41))
    await settle()
    assert not waiter.done()
    admission.release(first)
    assert (await waiter).cells == 41


async def test_nobody_overtakes() -> None:
    admission = Admission(4, 100)
    first = await admission.acquire(60)
    large, small = start(admission.acquire(90)), start(admission.acquire(10))
    await settle()
    assert not large.done() and not small.done()
    admission.release(first)
    await settle()
    assert large.done() and small.done()


async def test_waiters_are_served_in_order_of_arrival() -> None:
    admission = Admission(1, 100)
    lease = await admission.acquire(1)
    order: list[int] = []

    async def wait(name: int) -> None:
        mine = await admission.acquire(1)
        order.append(name)
        admission.release(mine)

    tasks = [asyncio.create_task(wait(name)) for name in range(5)]
    await settle()
    admission.release(lease)
    await asyncio.gather(*tasks)
    assert order == [0, 1, 2, 3, 4]


async def test_a_cancelled_waiter_gives_its_place_up() -> None:
    admission = Admission(4, 100)
    first = await admission.acquire(60)
    large, small = start(admission.acquire(90)), start(admission.acquire(10))
    await settle()
    large.cancel()
    assert (await small).cells == 10
    with pytest.raises(asyncio.CancelledError):
        await large
    admission.release(first)
    assert admission.try_acquire(90) is not None


async def test_a_waiter_cancelled_just_after_it_was_served_leaks_nothing() -> None:
    admission = Admission(1, 100)
    first = await admission.acquire(1)
    waiter, next_one = start(admission.acquire(100)), start(admission.acquire(100))
    await settle()
    admission.release(first)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    admission.release(await next_one)
    assert admission.try_acquire(100) is not None


async def test_a_waiter_cancelled_just_after_it_was_failed_leaks_nothing() -> None:
    admission = Admission(1, 100)
    first = await admission.acquire(1)
    waiter = start(admission.acquire(1))
    await settle()
    admission.fail_all(Unavailable("gone"))
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    admission.release(first)
    assert admission.try_acquire(100) is not None


async def test_fail_all_wakes_everyone_and_keeps_granted_leases() -> None:
    admission = Admission(1, 100)
    first = await admission.acquire(1)
    waiters = [start(admission.acquire(1)) for _ in range(3)]
    await settle()
    admission.fail_all(WorkerLost("a", "killed"))
    for waiter in waiters:
        with pytest.raises(WorkerLost):
            await waiter
    assert admission.try_acquire(1) is None
    admission.release(first)
    assert admission.try_acquire(1) is not None


async def test_try_acquire_does_not_wait() -> None:
    admission = Admission(2, 100)
    assert admission.try_acquire(101) is None
    assert admission.try_acquire(60) is not None
    assert admission.try_acquire(60) is None
    assert admission.try_acquire(40) is not None
    assert admission.try_acquire(0) is None


async def test_a_fork_may_pass_those_who_wait() -> None:
    admission = Admission(4, 100)
    await admission.acquire(60)
    waiter = start(admission.acquire(90))
    await settle()
    assert admission.try_acquire(40) is not None
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter


async def test_a_lease_cannot_be_released_twice() -> None:
    admission = Admission(1, 100)
    lease = await admission.acquire(1)
    admission.release(lease)
    with pytest.raises(ValueError, match="slot 0 was released already"):
        admission.release(lease)
