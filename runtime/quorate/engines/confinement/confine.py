"""What a process does to itself before it imports a library or opens a file of a model."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from quorate.engines.confinement import landlock, loopback, privileges, system_calls
from quorate.engines.confinement.plan import VARIABLE, Confinement
from quorate.engines.worker_log import warn

# Programs and shared libraries, wherever distributions keep them, and what tells about the machine.
_SYSTEM = (
    "/usr",
    "/lib",
    "/lib32",
    "/lib64",
    "/bin",
    "/sbin",
    "/opt",
    "/nix/store",
    "/gnu/store",
    "/run/opengl-driver",
    "/proc",
    "/sys",
)
_CONFIGURATION = (
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "timezone",
    "locale.alias",
    "passwd",
    "group",
    "nsswitch.conf",
    "hosts",
    "os-release",
    "machine-id",
    "alternatives",
    "OpenCL",
    "vulkan",
    "nvidia",
    "cuda",
)
_DEVICES = ("null", "zero", "full", "random", "urandom", "nvidia*", "dri", "kfd", "accel")


def confine_from_environment() -> None:
    """Confines this process as its coordinator decided; not at all where it was started by hand.

    What the kernel does not have is told in one line, and does without.
    """
    text = os.environ.pop(VARIABLE, "")
    if not text:
        return
    lacking = confine(Confinement.from_text(text))
    if lacking:
        warn(f"its process is not fully confined: {'; '.join(lacking)}")


def confine(confinement: Confinement) -> list[str]:
    """Confines this process, as far as the kernel can; returns what does not hold, and why.

    For good, and only while it has a single thread.
    """
    privileges.set_name(confinement.title)
    steps: list[tuple[str, Callable[[], None]]] = [
        ("its place in the order of death", lambda: privileges.die_sooner(confinement.oom_score)),
        ("no core files", privileges.write_no_cores),
    ]
    if confinement.sandbox:
        steps += _sandbox(confinement)
    return [problem for what, step in steps if (problem := _tried(what, step))]


def _sandbox(confinement: Confinement) -> Iterator[tuple[str, Callable[[], None]]]:
    yield "limits", lambda: privileges.limit(confinement.descriptors, confinement.file_bytes)
    if confinement.loopback:
        yield "a network of its own", loopback.isolate
    yield "no rights of root", privileges.drop_capabilities
    yield "no new privileges", privileges.gain_nothing
    yield "files", lambda: _restrict_files(confinement)
    yield "system calls", lambda: system_calls.refuse(loopback=confinement.loopback)


def _tried(what: str, step: Callable[[], None]) -> str:
    try:
        step()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        return f"{what} ({reason})"
    return ""


def _restrict_files(confinement: Confinement) -> None:
    landlock.restrict(
        [*_libraries(), *confinement.reads],
        confinement.writes,
        _devices(),
        ports=confinement.loopback,
    )


def _libraries() -> Iterator[str]:
    """Where Python, its packages and the libraries of the system are."""
    yield from _SYSTEM
    for name in _CONFIGURATION:
        yield f"/etc/{name}"
    yield from {sys.prefix, sys.base_prefix, sys.exec_prefix, str(Path(__file__).parents[3])}
    listed = os.environ.get("LD_LIBRARY_PATH", "").split(":")
    for place in (*sys.path, *listed):
        # Whoever puts these there means them, but the whole machine was never meant.
        if place and os.path.realpath(place) != "/":
            yield place
    yield from filter(None, os.environ.get("LD_PRELOAD", "").replace(":", " ").split())


def _devices() -> Iterator[str]:
    for name in _DEVICES:
        yield from glob.glob(f"/dev/{name}")
