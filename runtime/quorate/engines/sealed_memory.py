"""Anonymous shared memory that lives exactly as long as somebody holds it.

The coordinator creates an empty ``memfd`` before it spawns the worker, which inherits the
descriptor. The worker knows the size once the model is loaded: it grows the memory and seals it, so
that afterwards neither side can shrink it under the other's feet (SIGBUS). There is no name in any
file system, so whichever process is killed leaves nothing behind.
"""

from __future__ import annotations

import fcntl
import os

_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


def create(name: str) -> int:
    """Returns the descriptor of a new, empty memory; ``name`` shows in ``/proc`` only."""
    return os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)


def seal(descriptor: int, size: int) -> None:
    """Gives the memory its final size in bytes."""
    os.ftruncate(descriptor, size)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)


def sealed_size(descriptor: int) -> int:
    """Size in bytes.

    Raises:
        ValueError: The size is not final yet, so that mapping it would not be safe.
    """
    if fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & _SEALS != _SEALS:
        raise ValueError("the shared memory is not sealed")
    return os.fstat(descriptor).st_size


def write(descriptor: int, data: bytes) -> None:
    """Makes the memory hold exactly ``data``."""
    seal(descriptor, len(data))
    written = 0
    while written < len(data):
        written += os.pwrite(descriptor, data[written:], written)


def read(descriptor: int, most: int) -> bytes:
    """Returns a copy of what ``write`` wrote, of ``most`` bytes.

    Raises:
        ValueError: The memory is not sealed, or larger.
    """
    size = sealed_size(descriptor)
    if size > most:
        raise ValueError(f"the shared memory has {size} bytes, and {most} are the most")
    data = bytearray()
    while len(data) < size:
        data += os.pread(descriptor, size - len(data), len(data))
    return bytes(data)
