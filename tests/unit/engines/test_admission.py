from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine
from typing import Any

import pytest

from quorate.engines.admission import Admission, Lease, Places
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
    assert (first.slots, second.slots) == ((0,), (1,))
    admission.release(first)
    assert (await admission.acquire(10)).slots == (0,)


async def test_a_lease_waits_for_a_slot() -> None:
    admission = Admission(1, 100)
    first = await admission.acquire(10)
    waiter = start(admission.acquire(10))
    await settle()
    assert not waiter.done()
    assert admission.waiting == 1
    admission.release(first)
    assert (await waiter).slots == (0,)
    assert admission.waiting == 0


async def test_a_lease_waits_for_cells() -> None:
    admission = Admission(4, 100)
    first = await admission.acquire(60)
    waiter = start(admission.acquire(41))
    await settle()
    assert not waiter.done()
    admission.release(first)
    assert (await waiter).kv_tokens == 41


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
    assert (await small).kv_tokens == 10
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
    with pytest.raises(ValueError, match=r"slots \(0,\) were released already"):
        admission.release(lease)


async def test_several_slots_are_granted_at_once() -> None:
    admission = Admission(4, 100)
    family = await admission.acquire(50, 3)
    assert (family.slots, family.kv_tokens) == ((0, 1, 2), 50)
    assert (await admission.acquire(50)).slots == (3,)
    admission.release(family)
    assert (await admission.acquire(50, 3)).slots == (0, 1, 2)


async def test_the_cells_of_a_family_are_reserved_once() -> None:
    admission = Admission(4, 100)
    family = await admission.acquire(60, 3)
    assert admission.try_acquire(41) is None
    assert admission.try_acquire(40) is not None
    admission.release(family)
    assert admission.try_acquire(61) is None
    assert admission.try_acquire(60) is not None


async def test_nobody_overtakes_a_family_that_waits_for_many_slots() -> None:
    admission = Admission(3, 100)
    leases = [await admission.acquire(1) for _ in range(3)]
    family, single = start(admission.acquire(1, 3)), start(admission.acquire(1))
    for lease in leases[:2]:
        admission.release(lease)
        await settle()
        assert not family.done() and not single.done()
    admission.release(leases[2])
    await settle()
    assert (await family).slots == (0, 1, 2)
    assert not single.done()
    admission.release(await family)
    assert (await single).slots == (0,)


async def test_a_family_that_gives_up_lets_those_behind_it_in() -> None:
    admission = Admission(2, 100)
    lease = await admission.acquire(1)
    family, single = start(admission.acquire(1, 2)), start(admission.acquire(1))
    await settle()
    family.cancel()
    assert (await single).slots == (1,)
    admission.release(lease)
    with pytest.raises(asyncio.CancelledError):
        await family


async def test_more_slots_than_are_free_are_not_granted_in_part() -> None:
    admission = Admission(3, 100)
    await admission.acquire(1)
    assert admission.try_acquire(1, 3) is None
    family = admission.try_acquire(1, 2)
    assert family is not None and family.slots == (1, 2)


async def test_places_are_taken_until_none_is_left() -> None:
    admission = Admission(4, 100)
    places = Places(await admission.acquire(50, 3), 40, admission.release)
    assert (places.first, places.tokens, places.branching) == (0, 40, True)
    assert [places.take() for _ in range(4)] == [1, 2, None, None]
    places.give_back(2)
    assert [places.take() for _ in range(2)] == [2, None]


async def test_a_place_for_one_has_none_for_branches() -> None:
    admission = Admission(4, 100)
    places = Places(await admission.acquire(50), 50, admission.release)
    assert not places.branching
    assert places.take() is None


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
async def test_the_last_place_given_back_ends_the_lease(order: tuple[int, ...]) -> None:
    admission = Admission(3, 100)
    places = Places(await admission.acquire(100, 3), 100, admission.release)
    assert [places.take(), places.take()] == [1, 2]
    for slot in order:
        assert admission.try_acquire(1) is None
        places.give_back(slot)
    assert admission.try_acquire(100, 3) is not None


async def test_places_never_taken_do_not_keep_the_lease() -> None:
    admission = Admission(3, 100)
    places = Places(await admission.acquire(100, 3), 100, admission.release)
    places.give_back(places.first)
    assert admission.try_acquire(100, 3) is not None
