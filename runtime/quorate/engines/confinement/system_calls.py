"""System calls that a process does without, by seccomp: sockets, and reaching into others.

A list of what is refused and not of what is allowed: the libraries are large, and one that learns a
new call must not die of it. Written after the kernel's
``Documentation/userspace-api/seccomp_filter.rst``; a filter of 40 instructions, of which the kernel
keeps the outcome for every call that does not depend on an argument.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import socket
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from quorate.engines.confinement.privileges import check, libc


class _Architecture(NamedTuple):
    audit: int
    seccomp: int
    socket: int
    refused: tuple[int, ...]


# ptrace, process_vm_readv, process_vm_writev, bpf, perf_event_open, add_key, request_key, keyctl,
# userfaultfd, setns, mount, umount2, pivot_root, open_by_handle_at.
_ARCHITECTURES: Mapping[str, _Architecture] = {
    "x86_64": _Architecture(
        0xC000003E,
        317,
        41,
        (101, 310, 311, 321, 298, 248, 249, 250, 323, 308, 165, 166, 155, 304),
    ),
    "aarch64": _Architecture(
        0xC00000B7,
        277,
        198,
        (117, 270, 271, 280, 241, 217, 218, 219, 282, 268, 40, 39, 41, 265),
    ),
}
# Of all architectures. It can do what socket() does, and has never been asked for here.
_IO_URING_SETUP = 425
_X32 = 0x40000000

_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_SET_MODE_FILTER = 1
# Without it kernels before 5.16 also switch off speculation past stores, which costs some percent
# of all computing.
_SPECULATION_AS_BEFORE = 1 << 2

_LOCAL = (socket.AF_UNIX,)
_ROUTED = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK)


class _Instruction(ctypes.Structure):
    _fields_ = [
        ("code", ctypes.c_uint16),
        ("if_true", ctypes.c_uint8),
        ("if_false", ctypes.c_uint8),
        ("value", ctypes.c_uint32),
    ]


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_uint16), ("filter", ctypes.POINTER(_Instruction))]


def is_known() -> bool:
    """Whether calls can be refused on this architecture."""
    return platform.machine() in _ARCHITECTURES


def refuse(*, loopback: bool) -> None:
    """Refuses them to this process and all that it starts, for good; behind ``gain_nothing``.

    Args:
        loopback: Whether sockets of the internet protocols can still be made.

    Raises:
        OSError: The kernel knows no filters, or this architecture has none here.
    """
    architecture = _ARCHITECTURES.get(platform.machine())
    if architecture is None:
        raise OSError(errno.ENOSYS, f"no filter for {platform.machine()}")
    rules = [*_rules(architecture, _ROUTED if loopback else _LOCAL)]
    code = (_Instruction * len(rules))(*(_Instruction(*rule) for rule in rules))
    program = _Program(len(rules), code)
    check(
        libc.syscall(
            architecture.seccomp, _SET_MODE_FILTER, _SPECULATION_AS_BEFORE, ctypes.byref(program)
        )
    )


def _rules(
    architecture: _Architecture, families: Iterable[int]
) -> Iterable[tuple[int, int, int, int]]:
    """The program; each test skips the answer behind it where it does not hold."""
    yield _LOAD, 0, 0, _ARCHITECTURE
    yield _EQUAL, 1, 0, architecture.audit
    yield _RETURN, 0, 0, _ERRNO | errno.ENOSYS
    yield _LOAD, 0, 0, _NUMBER
    yield _AT_LEAST, 0, 1, _X32
    yield _RETURN, 0, 0, _ERRNO | errno.ENOSYS
    for number in architecture.refused:
        yield _EQUAL, 0, 1, number
        yield _RETURN, 0, 0, _ERRNO | errno.EPERM
    yield _EQUAL, 0, 1, _IO_URING_SETUP
    yield _RETURN, 0, 0, _ERRNO | errno.ENOSYS
    yield _EQUAL, 1, 0, architecture.socket
    yield _RETURN, 0, 0, _ALLOW
    yield _LOAD, 0, 0, _FIRST_ARGUMENT
    for family in families:
        yield _EQUAL, 0, 1, int(family)
        yield _RETURN, 0, 0, _ALLOW
    yield _RETURN, 0, 0, _ERRNO | errno.EACCES
