"""Work of milliseconds and more, beside the event loop as long as there are threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from contextvars import copy_context
from functools import partial
from typing import Generic, TypeVar

_T = TypeVar("_T")


async def beside_loop(
    function: Callable[..., _T], *arguments: object, executor: Executor | None = None
) -> _T:
    """What a function returns, which is called once: on a thread, or here where none can start.

    Better that everybody waits once than that a request, or what looks after the service, ends
    with an error because the machine is short of threads for a moment.

    Args:
        function: May take milliseconds; sees the context variables of whoever asks.
        arguments: What it is called with.
        executor: Whose thread; the event loop's own by default.
    """
    call = _Once(partial(copy_context().run, function, *arguments))
    try:
        result = asyncio.get_running_loop().run_in_executor(executor, call)
    except RuntimeError:
        return call()
    return await result


class _Once(Generic[_T]):
    """A call that is made once, and keeps nothing of what it was made with.

    An executor keeps what it was given although it could start no thread for it, and runs it when
    it can start one later.
    """

    def __init__(self, function: Callable[[], _T]) -> None:
        self._function: Callable[[], _T] | None = function
        self._taking = threading.Lock()

    def __call__(self) -> _T:
        with self._taking:
            function, self._function = self._function, None
        if function is None:
            raise RuntimeError("called a second time")
        return function()
