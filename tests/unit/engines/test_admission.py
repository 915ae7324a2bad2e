from __future__ import annotations

import asyncio
import itertools

import pytest

from quorate.engines.admission import Admission, Reservation
from quorate.engines.fair_turns import CALLER, Caller
from quorate.errors import Unavailable, WorkerLost


async def settle() -> None:
    """Lets every task that can go on do so."""
    for _ in range(5):
        await asyncio.sleep(0)


async def waiting(
    admission: Admission, *wanted: tuple[int, ...]
) -> list[asyncio.Task[Reservation]]:
    """Those who want so many KV tokens, and slots, and got as far as they can."""
    waiters = [asyncio.create_task(admission.acquire(*one)) for one in wanted]
    await settle()
    return waiters


async def test_slots_are_numbered_from_zero_and_reused() -> None:
    admission = Admission(2, 100)
    first, second = await admission.acquire(10), await admission.acquire(10)
    assert (first.slots, second.slots) == ((0,), (1,))
    admission.release(first)
    assert (await admission.acquire(10)).slots == (0,)


async def test_a_reservation_waits_for_a_slot() -> None:
    admission = Admission(1, 100)
    first = await admission.acquire(10)
    (waiter,) = await waiting(admission, (10,))
    assert not waiter.done()
    assert admission.waiting == 1
    admission.release(first)
    assert (await waiter).slots == (0,)
    assert admission.waiting == 0


async def test_a_reservation_waits_for_kv_tokens() -> None:
    admission = Admission(4, 100)
    first = await admission.acquire(60)
    (waiter,) = await waiting(admission, (41,))
    assert not waiter.done()
    admission.release(first)
    assert (await waiter).kv_tokens == 41


async def test_nobody_overtakes() -> None:
    admission = Admission(4, 100)
    first = await admission.acquire(60)
    large, small = await waiting(admission, (90,), (10,))
    assert not large.done() and not small.done()
    admission.release(first)
    await settle()
    assert large.done() and small.done()


async def test_waiters_are_served_in_order_of_arrival() -> None:
    admission = Admission(1, 100)
    granted = await admission.acquire(1)
    order: list[int] = []

    async def wait(name: int) -> None:
        mine = await admission.acquire(1)
        order.append(name)
        admission.release(mine)

    tasks = [asyncio.create_task(wait(name)) for name in range(5)]
    await settle()
    admission.release(granted)
    await asyncio.gather(*tasks)
    assert order == [0, 1, 2, 3, 4]


async def test_a_cancelled_waiter_gives_its_turn_up() -> None:
    admission = Admission(4, 100)
    first = await admission.acquire(60)
    large, small = await waiting(admission, (90,), (10,))
    large.cancel()
    assert (await small).kv_tokens == 10
    with pytest.raises(asyncio.CancelledError):
        await large
    admission.release(first)
    assert admission.try_acquire(90) is not None


async def test_a_waiter_cancelled_just_after_it_was_served_leaks_nothing() -> None:
    admission = Admission(1, 100)
    first = await admission.acquire(1)
    waiter, next_one = await waiting(admission, (100,), (100,))
    admission.release(first)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    admission.release(await next_one)
    assert admission.try_acquire(100) is not None


async def test_a_waiter_cancelled_just_after_it_was_failed_leaks_nothing() -> None:
    admission = Admission(1, 100)
    first = await admission.acquire(1)
    (waiter,) = await waiting(admission, (1,))
    admission.fail_all(Unavailable("gone"))
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    admission.release(first)
    assert admission.try_acquire(100) is not None


async def test_fail_all_wakes_everyone_and_keeps_what_was_granted() -> None:
    admission = Admission(1, 100)
    first = await admission.acquire(1)
    waiters = await waiting(admission, (1,), (1,), (1,))
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


async def test_a_reservation_cannot_be_released_twice() -> None:
    admission = Admission(1, 100)
    granted = await admission.acquire(1)
    admission.release(granted)
    with pytest.raises(ValueError, match=r"slots \(0,\) were released already"):
        admission.release(granted)


async def test_several_slots_are_granted_at_once() -> None:
    admission = Admission(4, 100)
    group = await admission.acquire(50, 3)
    assert (group.slots, group.kv_tokens) == ((0, 1, 2), 50)
    assert (await admission.acquire(50)).slots == (3,)
    admission.release(group)
    assert (await admission.acquire(50, 3)).slots == (0, 1, 2)


async def test_the_kv_tokens_of_a_fork_group_are_reserved_once() -> None:
    admission = Admission(4, 100)
    group = await admission.acquire(60, 3)
    assert admission.try_acquire(41) is None
    assert admission.try_acquire(40) is not None
    admission.release(group)
    assert admission.try_acquire(61) is None
    assert admission.try_acquire(60) is not None


async def test_nobody_overtakes_a_fork_group_that_waits_for_many_slots() -> None:
    admission = Admission(3, 100)
    held = [await admission.acquire(1) for _ in range(3)]
    group, single = await waiting(admission, (1, 3), (1,))
    for one in held[:2]:
        admission.release(one)
        await settle()
        assert not group.done() and not single.done()
    admission.release(held[2])
    await settle()
    assert (await group).slots == (0, 1, 2)
    assert not single.done()
    admission.release(await group)
    assert (await single).slots == (0,)


async def test_a_fork_group_that_gives_up_lets_those_behind_it_in() -> None:
    admission = Admission(2, 100)
    granted = await admission.acquire(1)
    group, single = await waiting(admission, (1, 2), (1,))
    group.cancel()
    assert (await single).slots == (1,)
    admission.release(granted)
    with pytest.raises(asyncio.CancelledError):
        await group


async def test_more_slots_than_are_free_are_not_granted_in_part() -> None:
    admission = Admission(3, 100)
    await admission.acquire(1)
    assert admission.try_acquire(1, 3) is None
    group = admission.try_acquire(1, 2)
    assert group is not None and group.slots == (1, 2)


async def test_slots_are_taken_until_none_is_left() -> None:
    admission = Admission(4, 100)
    reservation = await admission.acquire(50, 3)
    assert (reservation.first, reservation.kv_tokens, reservation.branching) == (0, 50, True)
    assert [reservation.take() for _ in range(4)] == [1, 2, None, None]
    reservation.give_back(2)
    assert [reservation.take() for _ in range(2)] == [2, None]


async def test_a_reservation_for_one_has_no_slot_for_branches() -> None:
    admission = Admission(4, 100)
    reservation = await admission.acquire(50)
    assert not reservation.branching
    assert reservation.take() is None


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
async def test_the_last_slot_given_back_ends_the_reservation(order: tuple[int, ...]) -> None:
    admission = Admission(3, 100)
    reservation = await admission.acquire(100, 3)
    assert [reservation.take(), reservation.take()] == [1, 2]
    for slot in order:
        assert admission.try_acquire(1) is None
        reservation.give_back(slot)
    assert admission.try_acquire(100, 3) is not None


async def test_slots_never_taken_do_not_keep_the_reservation() -> None:
    admission = Admission(3, 100)
    reservation = await admission.acquire(100, 3)
    reservation.give_back(reservation.first)
    assert admission.try_acquire(100, 3) is not None


async def by(caller: str, admission: Admission, *wanted: int) -> list[asyncio.Task[Reservation]]:
    """Those who want so many KV tokens for one of several callers."""
    CALLER.set(Caller(caller, shares=True))
    return await waiting(admission, *((one,) for one in wanted))


def granted(tasks: list[asyncio.Task[Reservation]]) -> int:
    return sum(task.done() for task in tasks)


async def test_one_caller_leaves_sessions_and_kv_tokens_for_another_who_comes() -> None:
    by_sessions, by_tokens = Admission(8, 1000), Admission(100, 80)
    for admission in (by_sessions, by_tokens):
        assert granted(await by("hog", admission, *[10] * 20)) == 7
        (late,) = await by("late", admission, 10)
        assert late.done()


async def test_who_holds_nothing_may_have_all_of_it() -> None:
    admission = Admission(8, 1000)
    assert granted(await by("a", admission, 1000)) == 1


async def test_callers_are_served_in_turn() -> None:
    admission = Admission(1, 100)
    whose = dict.fromkeys(await by("hog", admission, *[100] * 10), "hog")
    whose |= dict.fromkeys(await by("late", admission, 100, 100), "late")
    order = []
    for _ in range(4):
        (now,) = (task for task in whose if task.done())
        order.append(whose.pop(now))
        admission.release(await now)
        await settle()
    assert order == ["hog", "late", "hog", "late"]
    for task in whose:
        task.cancel()
    await asyncio.gather(*whose, return_exceptions=True)


async def test_whose_turn_it_is_waits_for_room_and_is_not_overtaken_by_small_ones() -> None:
    admission = Admission(8, 100)
    (held,) = await by("a", admission, 60)
    (large,) = await by("b", admission, 90)
    (small,) = await by("a", admission, 5)
    assert not large.done() and not small.done()
    admission.release(await held)
    await settle()
    assert large.done()


async def test_each_place_of_a_fork_group_counts_against_what_is_kept_for_others() -> None:
    admission = Admission(32, 32_000)
    CALLER.set(Caller("hog", shares=True))
    group = await admission.acquire(100, 28)
    (one_more,) = await waiting(admission, (100, 1))
    assert not one_more.done()
    admission.release(group)
    assert (await one_more).slots == (0,)
