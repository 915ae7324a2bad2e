"""Files, signals and ports that a process can reach, by Landlock: three system calls.

Written after the kernel's ``Documentation/userspace-api/landlock.rst`` and
``include/uapi/linux/landlock.h``. Each version of its interface can refuse more; what the kernel of
this machine does not know is left out, and told.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable

from quorate.engines.confinement.privileges import check, libc

# Of all architectures: they were numbered together.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG = 1
_PATH_BENEATH = 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_FIRST_VERSION = (1 << 13) - 1
_TCP = 0b11
_ABSTRACT_SOCKETS, _SIGNALS = 1 << 0, 1 << 1

_READ = _EXECUTE | _READ_FILE | _READ_DIR
_USE = _READ_FILE | _READ_DIR | _WRITE_FILE | _IOCTL_DEV
# What can be said of a file that is no folder.
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV

NETWORK_VERSION = 4
SIGNALS_VERSION = 6


class _Ruleset(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("files", "network", "scoped")]


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32)]


def version() -> int:
    """Version of the kernel's interface; 0 where it has none, or where it is switched off."""
    found: int = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION_FLAG)
    return max(0, found)


def restrict(
    reads: Iterable[str], writes: Iterable[str], devices: Iterable[str], *, ports: bool
) -> None:
    """Leaves this thread, and what it starts from now on, these files and no process but its own.

    Only while no other thread runs, and behind ``gain_nothing``. What is missing is passed over.

    Args:
        reads: Files and folders whose contents may be read and run.
        writes: Those that may be changed as well.
        devices: Those that may be read, written and controlled.
        ports: Whether TCP stays as it is.

    Raises:
        OSError: The kernel knows no Landlock, or refuses.
    """
    known = check(libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION_FLAG))
    handled = _FIRST_VERSION | (_REFER if known >= 2 else 0)
    handled |= (_TRUNCATE if known >= 3 else 0) | (_IOCTL_DEV if known >= 5 else 0)
    attributes = _Ruleset(
        handled,
        0 if ports or known < NETWORK_VERSION else _TCP,
        _ABSTRACT_SOCKETS | _SIGNALS if known >= SIGNALS_VERSION else 0,
    )
    # Older kernels refuse a structure that is longer than theirs.
    size = 8 if known < NETWORK_VERSION else 16 if known < SIGNALS_VERSION else 24
    ruleset = check(
        libc.syscall(_CREATE_RULESET, ctypes.byref(attributes), ctypes.c_size_t(size), 0)
    )
    try:
        for paths, allowed in ((reads, _READ), (writes, handled), (devices, _USE | _TRUNCATE)):
            for path in paths:
                _allow(ruleset, path, allowed & handled)
        check(libc.syscall(_RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, allowed: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not os.path.isdir(path):
            allowed &= _OF_FILES
        rule = _PathBeneath(allowed, descriptor)
        check(libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0))
    finally:
        os.close(descriptor)
