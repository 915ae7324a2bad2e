"""Where requests are read: small ones at once, large ones beside the event loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from quorate.threads import beside_loop

AT_ONCE_BYTES = 4096
"""What is not longer takes a millisecond or two to be checked, parsed and translated."""

_Result = TypeVar("_Result")


class Reader:
    """Checks, parses and translates requests, none of which may hold up the event loop.

    All that is large shares one thread. The thread gives way to the event loop every few
    milliseconds, unless one call into C takes longer, as those of ``json`` would: readers see to it
    that none does. Large requests wait for each other instead of being many that do so at once.

    Args:
        turn: Waits until the loop may go on with a request that comes back from the thread.
    """

    def __init__(self, turn: Callable[[], Awaitable[None]]) -> None:
        self._turn = turn
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="request-reader")

    async def run(self, size: int, read: Callable[[], _Result]) -> _Result:
        """What ``read`` returns or raises, for a request of so many bytes."""
        if size <= AT_ONCE_BYTES:
            return read()
        result = await beside_loop(read, executor=self._thread)
        await self._turn()
        return result

    def close(self) -> None:
        """Ends the thread once it has done what it was given."""
        self._thread.shutdown(wait=False)
