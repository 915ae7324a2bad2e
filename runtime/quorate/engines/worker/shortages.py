"""What this machine is short of for a while, as opposed to what is wrong with a model."""

from __future__ import annotations

import errno

_SHORTAGES = frozenset(
    {
        errno.EMFILE,  # descriptors of this process
        errno.ENFILE,  # descriptors of the machine
        errno.EAGAIN,  # processes
        errno.ENOMEM,
        errno.ENOBUFS,
        errno.ENOSPC,  # shared memory, and watched descriptors
    }
)


def is_shortage(error: BaseException) -> bool:
    """Whether an error says that something has run out which may be there again later."""
    if isinstance(error, OSError):
        return error.errno in _SHORTAGES
    return isinstance(error, MemoryError)
