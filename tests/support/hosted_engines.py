"""Hosted engines for tests, and what the operating system knows of this process."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from quorate.engines.spec import EngineSpec
from quorate.engines.worker.engine import HostedEngine
from quorate.engines.worker.statuses import WorkerPhase, WorkerStatus

DEADLINE_SECONDS = 30.0


def scripted_spec(**options: Any) -> EngineSpec:
    return EngineSpec("toy", "scripted", options=options)


@asynccontextmanager
async def hosted(
    spec: EngineSpec, *, cores: tuple[int, ...] | None = None, **keywords: Any
) -> AsyncIterator[HostedEngine]:
    """An engine whose worker has been started; not necessarily ready."""
    usable = tuple(sorted(os.sched_getaffinity(0)))
    engine = HostedEngine(spec, cores or usable[:1], **keywords)
    engine.start()
    try:
        yield engine
    finally:
        await engine.close()


@asynccontextmanager
async def ready(spec: EngineSpec, **keywords: Any) -> AsyncIterator[HostedEngine]:
    """An engine whose worker is ready; keywords as for ``hosted``."""
    async with hosted(spec, **keywords) as engine:
        await engine.wait_ready()
        yield engine


async def until(engine: HostedEngine, phase: WorkerPhase) -> WorkerStatus:
    """Waits until the worker is in a phase."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        async for status in engine.watch():
            if status.phase is phase:
                return status
    raise AssertionError(f"ended without having been {phase.value}: {engine.status}")


def open_descriptors() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def children() -> set[int]:
    return set(children_of(os.getpid()))


def children_of(pid: int) -> list[int]:
    """Ids of the processes that a process started, as long as they are its children."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        # A thread may end while they are looked at.
        with suppress(FileNotFoundError, ProcessLookupError):
            found += map(int, (task / "children").read_text().split())
    return found


def family(pid: int) -> set[int]:
    """A process and all that came of it."""
    found, fresh = {pid}, [pid]
    while fresh:
        fresh = [child for one in fresh for child in children_of(one) if child not in found]
        found.update(fresh)
    return found


def alive(pid: int) -> bool:
    """Whether a process runs; one that waits to be reaped does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def ends_of(pids: Collection[int]) -> asyncio.Future[None]:
    """Done once all these processes, which run now, have ended."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    running = {os.pidfd_open(pid) for pid in pids}

    def end(descriptor: int) -> None:
        loop.remove_reader(descriptor)
        os.close(descriptor)
        running.remove(descriptor)
        if not running and not ended.done():
            ended.set_result(None)

    for descriptor in running:
        loop.add_reader(descriptor, end, descriptor)
    return ended


def shared_memories() -> int:
    gc.collect()
    return Path("/proc/self/maps").read_text().count("memfd:quorate")
