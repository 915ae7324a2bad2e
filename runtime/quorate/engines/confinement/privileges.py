"""What a process may have of the kernel: limits, rights, and its turn where memory runs out."""

from __future__ import annotations

import ctypes
import os
import resource

_PR_SET_NAME, _PR_SET_NO_NEW_PRIVS = 15, 38
_LONGEST_NAME = 15
_CAPABILITY_VERSION_3 = 0x20080522
# Weight files of other users, where a server that runs as root may read them, and memory that the
# option use_mlock holds.
_CAP_DAC_READ_SEARCH, _CAP_IPC_LOCK = 2, 14
_KEPT = 1 << _CAP_DAC_READ_SEARCH | 1 << _CAP_IPC_LOCK
_LOWEST_ORDER, _HIGHEST_ORDER = -1000, 1000

libc = ctypes.CDLL(None, use_errno=True)


def check(result: int) -> int:
    """The result of a call of the C library.

    Raises:
        OSError: It says that the call failed.
    """
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def set_name(title: str) -> None:
    """What ``top`` and ``ps -o comm`` call this process; ``ps`` shows the whole as an argument."""
    libc.prctl(_PR_SET_NAME, title.encode()[:_LONGEST_NAME], 0, 0, 0)


def die_sooner(by: int) -> None:
    """Has the kernel kill this process before its parent where memory runs out.

    Raises:
        OSError: There is no such file, or it may not be written.
    """
    path = "/proc/self/oom_score_adj"
    with open(path) as file:
        inherited = int(file.read())
    with open(path, "w") as file:
        file.write(str(max(_LOWEST_ORDER, min(_HIGHEST_ORDER, inherited + by))))


def gain_nothing() -> None:
    """No program that this process starts, set-uid ones included, can do more than it.

    Raises:
        OSError: The kernel knows no such thing.
    """
    check(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))


def write_no_cores() -> None:
    """A core file would hold the prompts of everybody."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def limit(descriptors: int, file_bytes: int) -> None:
    """Bounds what can be held open and how large a file can be written.

    Not the address space of a worker: weights are mapped, GPUs reserve many times what they have,
    and what is reserved costs nothing. Nor processes, which are counted over a whole user.
    """
    _lower(resource.RLIMIT_NOFILE, descriptors)
    _lower(resource.RLIMIT_FSIZE, file_bytes)


def drop_capabilities() -> None:
    """Of a server that runs as root: keeps what reads weights and locks them into memory.

    Raises:
        OSError: They cannot be dropped.
    """

    class Header(ctypes.Structure):
        _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]

    class Data(ctypes.Structure):
        _fields_ = [(name, ctypes.c_uint32) for name in ("effective", "permitted", "inheritable")]

    header, data = Header(_CAPABILITY_VERSION_3, 0), (Data * 2)()
    check(libc.capget(ctypes.byref(header), data))
    for half, kept in zip(data, (_KEPT, 0), strict=True):
        half.effective &= kept
        half.permitted &= kept
        half.inheritable = 0
    check(libc.capset(ctypes.byref(header), data))


def _lower(what: int, most: int) -> None:
    hard = resource.getrlimit(what)[1]
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    resource.setrlimit(what, (most, most))
