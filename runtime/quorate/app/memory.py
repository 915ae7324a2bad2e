"""Gives memory of large requests back to the system.

glibc's ``malloc`` returns what is large at once, but what it calls large grows with every large
piece that is freed: after one request of 15 MB, pieces of 15 MB are cut out of the heap, and holes
between others stay resident. Measured with 48 requests of 15 MB, refused one after the other: a
coordinator of 87 MB kept 190 to 360, and 89 with a limit that does not move.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from quorate.threads import beside_loop

LARGE_BYTES = 4 * 2**20
"""Larger than any row of log-probs, which must not be mapped anew for every token."""

_WATCH_SECONDS = 1.0
_RARELY_SECONDS = 8.0
_GROWTH_BYTES = 8 * 2**20
_CHANGE_BYTES = 2**20
# Of mallopt, in malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8

_log = logging.getLogger(__name__)


def settle_allocator() -> None:
    """Has this process map large pieces one by one, so that each goes back when it is freed.

    To be called before there is a second thread. Where the C library is no glibc, nothing happens.
    """
    mallopt = _of_libc("mallopt")
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
        # Else the end of the heap would be returned and taken again with every row.
        mallopt(_M_TRIM_THRESHOLD, 2 * LARGE_BYTES)
        # Trimming never shortens a further heap, of which each thread of gRPC would have its own.
        mallopt(_M_ARENA_MAX, 1)


@asynccontextmanager
async def memory_given_back() -> AsyncIterator[None]:
    """Returns free memory of the heap while the context lasts, whenever the process has grown.

    That is for the many small pieces of which a large request consists as well.
    """
    trim = _of_libc("malloc_trim")
    if trim is None:
        yield
        return
    watching = asyncio.create_task(
        _watch(lambda: trim(0), resident_bytes()), name="memory is given back"
    )
    try:
        yield
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


async def _watch(trim: Callable[[], Any], least: int) -> None:
    """Trims while more is resident than the least was, ever more rarely where that is in use."""
    pause, last = _WATCH_SECONDS, least
    while True:
        await asyncio.sleep(pause)
        now = resident_bytes()
        still, last = abs(now - last) < _CHANGE_BYTES, now
        if now > least + _GROWTH_BYTES:
            # A thread, since it may take milliseconds. ctypes lets go of the interpreter meanwhile.
            await beside_loop(trim)
            last = resident_bytes()
            _log.debug("memory: %.0f MB, after %.0f", last / 1e6, now / 1e6)
        in_vain = still and last > max(least, now - _CHANGE_BYTES)
        pause = min(2 * pause, _RARELY_SECONDS) if in_vain else _WATCH_SECONDS
        least = min(least, last)


def resident_bytes() -> int:
    """Resident memory of this process; 0 where the system does not tell."""
    try:
        pages = Path("/proc/self/statm").read_text().split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _of_libc(name: str) -> Any:
    """A function of the C library this process runs with, or None where it has none of it."""
    try:
        return getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError):
        return None
