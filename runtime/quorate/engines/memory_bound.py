"""How much memory this process may come to take beyond what it has: for strangers' programs in it.

By ``RLIMIT_DATA``, which counts what a process can write and shares with nobody: what Python and
native code allocate, and the stacks of threads. Weights that are mapped, and shared memory, do not
count. Where the kernel refuses, Python raises ``MemoryError`` in the thread that asked, and all
goes on; a native library may abort, which ends the process.
"""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_DATA_PAGES = 5

_lock = threading.Lock()
_users = 0
_before = resource.RLIM_INFINITY


def hold(most_bytes: int) -> None:
    """From now on, until it is called again, this process may take so much; see ``taken``."""
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    if hard == resource.RLIM_INFINITY or most_bytes < hard:
        resource.setrlimit(resource.RLIMIT_DATA, (most_bytes, hard))


def taken() -> int:
    """Bytes of what counts that this process has now."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[_DATA_PAGES]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


@contextmanager
def at_most(more_bytes: int) -> Iterator[None]:
    """Within it, where nothing else is held: a limit of the whole process, and of all threads.

    Whoever comes while others are within it shares what they have.
    """
    _enter(more_bytes)
    try:
        yield
    finally:
        _leave()


def _enter(more_bytes: int) -> None:
    global _users, _before
    with _lock:
        _users += 1
        if _users == 1:
            _before = resource.getrlimit(resource.RLIMIT_DATA)[0]
            if _before == resource.RLIM_INFINITY:
                hold(taken() + more_bytes)


def _leave() -> None:
    global _users
    with _lock:
        _users -= 1
        if not _users:
            hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
            resource.setrlimit(resource.RLIMIT_DATA, (_before, hard))
