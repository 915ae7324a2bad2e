"""Processes that a bench starts: on cores of their own choosing, and gone when it is gone."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_STOP_SECONDS = 20.0
_LINE_BYTES = 1 << 22
_KEPT_LINES = 20
# Becomes the program, on some cores and with an end when whoever began it ends (PR_SET_PDEATHSIG,
# SIGTERM). Done in the new process before it were one, it would be forked, which gRPC's threads do
# not like.
_LAUNCH = """
import ctypes, os, sys
os.sched_setaffinity(0, map(int, sys.argv[1].split(",")))
ctypes.CDLL(None).prctl(1, 15)
os.execvp(sys.argv[2], sys.argv[2:])
"""


@dataclass(slots=True)
class Child:
    """A process that runs.

    Attributes:
        process: With pipes for standard input and output.
        complaints: The last lines of its standard error, as they come.
    """

    process: asyncio.subprocess.Process
    complaints: list[str]
    _draining: asyncio.Task[None] | None = None

    @property
    def lines(self) -> asyncio.StreamReader:
        """Its standard output."""
        assert self.process.stdout is not None
        return self.process.stdout

    def drain(self) -> asyncio.Task[None]:
        """From now on reads what nobody else reads, so that it never waits for a full pipe."""
        if self._draining is None:
            self._draining = asyncio.create_task(_keep_last(self.lines, []))
        return self._draining

    def last_complaint(self) -> str:
        """What it said last on standard error, for people."""
        return next((line for line in reversed(self.complaints) if line), "it said nothing")


@asynccontextmanager
async def child(
    command: Sequence[str], cores: Sequence[int], environment: Mapping[str, str] | None = None
) -> AsyncIterator[Child]:
    """Runs a program until the context ends.

    Args:
        command: The program and its arguments.
        cores: Ids of those that it may run on.
        environment: Variables beside those of this process.

    A program that cannot be started ends at once, and its complaint says why.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _LAUNCH, ",".join(map(str, cores)), *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **(environment or {})},
        limit=_LINE_BYTES,
        start_new_session=True,
    )  # fmt: skip
    assert process.stderr is not None
    complaints: list[str] = []
    reading = asyncio.create_task(_keep_last(process.stderr, complaints))
    started = Child(process, complaints)
    try:
        yield started
    finally:
        await _stop(process)
        await started.drain()
        await reading


def process_tree(pid: int) -> list[int]:
    """A process and all that it began, which may have ended by now."""
    found = [pid]
    for one in found:
        with suppress(OSError):
            for task in Path(f"/proc/{one}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
    return found


def tree_cpu_seconds(pid: int) -> float:
    """CPU time that a process and all that it began have taken."""
    return sum(map(_cpu_seconds, process_tree(pid)))


async def _keep_last(stream: asyncio.StreamReader, lines: list[str]) -> None:
    while True:
        try:
            line = await stream.readline()
        except ValueError:
            continue
        if not line:
            return
        lines.append(line.decode("utf-8", errors="replace").strip())
        del lines[:-_KEPT_LINES]


async def _stop(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _cpu_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    # utime, stime and those of children that have ended: fields 14 to 17 of proc(5).
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
