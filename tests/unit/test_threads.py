from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from quorate.threads import beside_loop


@contextmanager
def no_threads() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as without:
        without.setattr(threading.Thread, "start", lambda _: _refuse())
        yield


async def test_work_is_done_on_a_thread() -> None:
    assert await beside_loop(threading.get_ident) != threading.get_ident()


async def test_work_is_done_although_no_thread_can_be_started() -> None:
    with no_threads():
        with pytest.raises(RuntimeError, match="can't start"):
            await asyncio.to_thread(int)
        assert await beside_loop(threading.get_ident) == threading.get_ident()


async def test_what_was_done_here_is_not_done_again_once_there_are_threads() -> None:
    calls: list[int] = []
    with ThreadPoolExecutor(1) as executor:
        with no_threads():
            await beside_loop(calls.append, 1, executor=executor)
        await beside_loop(calls.append, 2, executor=executor)
    assert calls == [1, 2]


async def test_what_fails_fails_the_same() -> None:
    with pytest.raises(ZeroDivisionError):
        await beside_loop(divmod, 1, 0)
    with pytest.raises(RuntimeError, match="its own"):
        await beside_loop(_refuse, "its own")


def _refuse(why: str = "can't start new thread") -> None:
    raise RuntimeError(why)
