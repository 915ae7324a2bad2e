"""Which processor cores this process may use, how many of them at once, and who has which."""

from __future__ import annotations

import errno
import math
import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_CGROUPS = Path("/sys/fs/cgroup")
_PROC = Path("/proc/self")


@dataclass(frozen=True, slots=True)
class Cores:
    """Processor cores to divide among models.

    Attributes:
        ids: Those that may be used, at least one.
        threads: How many may compute at once, at least one.
        pin: Whether models keep to the cores that they are given. A quota is no set of cores: it
            says how much time there is on all of them together, so that threads go where there is
            room.
    """

    ids: tuple[int, ...]
    threads: int
    pin: bool = True


def machine_cores(*, pin: bool = True) -> Cores:
    """What this process may use: its affinity, cpusets included, within its cgroups' CPU quota.

    Of a quota, the whole cores count, since a thread that has only a part of one makes all others
    wait for it; but one at least.

    Args:
        pin: Whether models may be pinned to cores at all.
    """
    ids = available_cores()
    quota = cgroup_quota(_CGROUPS, _PROC / "cgroup", _PROC / "mountinfo")
    if quota is None or quota >= len(ids):
        return Cores(ids, len(ids), pin)
    return Cores(ids, max(1, math.floor(quota)), pin=False)


def available_cores() -> tuple[int, ...]:
    """Ids of the cores this process may use, ascending."""
    return tuple(sorted(os.sched_getaffinity(0)))


def cgroup_quota(mount: Path, membership: Path, mounts: Path | None = None) -> float | None:
    """CPU quota of a process in cores: the tightest of its cgroups and those above, v1 and v2.

    Args:
        mount: Where cgroups are mounted where ``mounts`` does not tell.
        membership: The process's ``/proc/PID/cgroup``.
        mounts: Its ``/proc/PID/mountinfo``.

    Returns:
        None where nothing limits it.
    """
    hierarchies = list(_mounted(mounts)) or list(_usual(mount))
    quotas = [
        quota
        for version, path in _memberships(membership)
        for hierarchy in hierarchies
        if hierarchy.version == version
        for folder in hierarchy.folders(path)
        if (quota := _read_quota(folder, version)) is not None
    ]
    return min(quotas, default=None)


@dataclass(frozen=True, slots=True)
class _Hierarchy:
    """A tree of cgroups that can limit CPU time.

    Attributes:
        place: Where it is mounted.
        root: Which of its folders is mounted there.
    """

    version: int
    place: Path
    root: str = "/"

    def folders(self, path: str) -> Iterator[Path]:
        """Those of a cgroup and of all above it, as far as they are mounted."""
        inside = PurePosixPath(path)
        # In a container the path may be one of the host, or lead out of what can be seen.
        if ".." in inside.parts:
            inside = PurePosixPath("/")
        elif inside.is_relative_to(self.root):
            inside = PurePosixPath("/") / inside.relative_to(self.root)
        below = inside.relative_to("/") if inside.is_absolute() else inside
        for folder in (below, *below.parents):
            yield self.place / folder


def _usual(mount: Path) -> Iterator[_Hierarchy]:
    yield _Hierarchy(2, mount)
    yield _Hierarchy(2, mount / "unified")
    for name in ("cpu", "cpu,cpuacct", "cpuacct,cpu"):
        yield _Hierarchy(1, mount / name)


def _mounted(mounts: Path | None) -> Iterator[_Hierarchy]:
    """From lines of ``/proc/PID/mountinfo``, as ``proc(5)`` describes them."""
    for line in _lines(mounts) if mounts is not None else ():
        here, _, there = line.partition(" - ")
        left, right = here.split(" "), there.split(" ")
        if len(left) < 5 or len(right) < 3:
            continue
        place = Path(left[4].replace("\\040", " "))
        if right[0] == "cgroup2":
            yield _Hierarchy(2, place, left[3])
        elif right[0] == "cgroup" and "cpu" in right[2].split(","):
            yield _Hierarchy(1, place, left[3])


def _memberships(membership: Path) -> Iterator[tuple[int, str]]:
    """Version and path of each cgroup of the process that can limit CPU time."""
    for line in _lines(membership):
        number, _, rest = line.partition(":")
        controllers, colon, path = rest.partition(":")
        if not colon:
            continue
        if number == "0" and not controllers:
            yield 2, path
        elif "cpu" in controllers.split(","):
            yield 1, path


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return []


def _read_quota(folder: Path, version: int) -> float | None:
    try:
        if version == 2:
            limit, period = (folder / "cpu.max").read_text().split()
        else:
            limit = (folder / "cpu.cfs_quota_us").read_text()
            period = (folder / "cpu.cfs_period_us").read_text()
        if limit.strip() == "max":
            return None
        cores = int(limit) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None
    # Version 1 writes -1 where there is no limit.
    return cores if cores > 0 else None


class CoreClaims:
    """Which cores of this machine are a server's, so that no other one pins a model to them.

    A claim is a socket with a name for each core, in the namespace of names that are no files:
    nobody else can bind that name, no file is left over, and the kernel gives it back when the
    process dies, however it dies. Servers of different users see each other; those in containers
    with networks of their own do not, and need cpusets to be kept apart.
    """

    def __init__(self, prefix: str = "quorate/core/") -> None:
        self._prefix = prefix
        self._held: dict[int, socket.socket] = {}

    def take(self, cores: Sequence[int], count: int) -> tuple[int, ...]:
        """Takes so many of these cores, those that it has first, and gives back all others.

        Returns:
            Those that it has then, in the order of ``cores``; fewer where others have the rest.
        """
        mine = [core for core in cores if core in self._held][:count]
        for core in cores:
            if len(mine) == count:
                break
            if core not in self._held and self._claimed(core):
                mine.append(core)
        self._give_back(set(self._held) - set(mine))
        return tuple(core for core in cores if core in mine)

    def release(self) -> None:
        """Gives all of them back."""
        self._give_back(set(self._held))

    def _claimed(self, core: int) -> bool:
        try:
            claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        except OSError:
            # Short of descriptors; a model that cannot be told apart must run all the same.
            return True
        try:
            claim.bind(f"\0{self._prefix}{core}")
        except OSError as error:
            claim.close()
            # Where there are no such names nobody else can have claimed one.
            return error.errno != errno.EADDRINUSE
        self._held[core] = claim
        return True

    def _give_back(self, cores: Iterable[int]) -> None:
        for core in cores:
            self._held.pop(core).close()
