"""A server of the bench's own: a process, with nothing of the user's configuration or books."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from quorate.errors import CannotRun

_STOP_SECONDS = 20.0
_LINE_BYTES = 1 << 20
_KEPT_LINES = 20
_PR_SET_PDEATHSIG = 1
# Loaded before a process is split off: its child must not load anything.
_LIBC = ctypes.CDLL(None)


@dataclass(frozen=True, slots=True)
class BenchServer:
    """A server that has loaded its models.

    Attributes:
        load_seconds: From the start of the process until every model was ready, by model.
    """

    address: str
    pid: int
    load_seconds: Mapping[str, float]

    def memory_bytes(self) -> int:
        """What it and its workers take, shared pages counted by share (PSS)."""
        return sum(map(_memory_of, process_tree(self.pid)))

    def cpu_seconds(self) -> float:
        """CPU time that it and its workers have taken."""
        return sum(_cpu_seconds(pid) for pid in process_tree(self.pid))


@dataclass(slots=True)
class _Start:
    address: str = ""
    ready: dict[str, float] = field(default_factory=dict)


def bench_server(
    models: Mapping[str, Path],
    cores: int,
    context_lengths: Mapping[str, int],
    start_seconds: float,
) -> AbstractAsyncContextManager[BenchServer]:
    """Runs ``quorate serve`` on the first cores of this process until the context ends.

    Args:
        models: Files by the name they are served under.
        cores: How many.
        context_lengths: Tokens that a session of each can hold; 0 is as its engine takes it.
        start_seconds: How long the models may take to load.

    Raises:
        CannotRun: It ended, or a model could not be loaded, or it took too long.
    """
    text = configuration(models, context_lengths)
    return configured_server(text, len(models), cores, start_seconds)


@asynccontextmanager
async def configured_server(
    text: str, models: int, cores: int, start_seconds: float
) -> AsyncIterator[BenchServer]:
    """The same with a configuration of one's own.

    Args:
        text: The configuration; paths in it are absolute.
        models: How many models it loads at start.
        cores: How many.
        start_seconds: How long the models may take to load.

    Raises:
        CannotRun: As for ``bench_server``.
    """
    with tempfile.TemporaryDirectory(prefix="quorate-bench-") as folder:
        config = Path(folder) / "quorate.toml"
        config.write_text(text, encoding="utf-8")
        allowed = sorted(os.sched_getaffinity(0))[:cores]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "quorate", "serve", "--config", str(config), "--json",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "QUORATE_HOME": folder},
            limit=_LINE_BYTES,
            start_new_session=True,
            preexec_fn=partial(_begin_child, _LIBC, allowed),
        )  # fmt: skip
        assert process.stderr is not None
        complaints: list[str] = []
        reading = asyncio.create_task(_keep_last(process.stderr, complaints))
        draining: asyncio.Task[None] | None = None
        try:
            start = await _started(process, models, start_seconds, complaints)
            assert process.stdout is not None
            draining = asyncio.create_task(_keep_last(process.stdout, []))
            yield BenchServer(start.address, process.pid, start.ready)
        finally:
            await _stop(process)
            for task in (reading, draining):
                if task is not None:
                    await task


def configuration(models: Mapping[str, Path], context_lengths: Mapping[str, int]) -> str:
    """What the server is told; it asks its models nothing by itself."""
    head = '[server]\nlisten = "127.0.0.1:0"\n[routing]\nprobe = false\n[ledger]\npath = "off"\n'
    return head + "".join(
        f"[[models]]\nid = {json.dumps(name)}\nmodel = {json.dumps(str(path))}\n"
        + _options(context_lengths[name])
        for name, path in models.items()
    )


def _begin_child(libc: ctypes.CDLL, cores: Sequence[int]) -> None:
    """In the server's process before it is one: its cores, and an end with whoever began it."""
    os.sched_setaffinity(0, cores)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _options(context_length: int) -> str:
    return f"options = {{ context_length = {context_length} }}\n" if context_length else ""


def process_tree(pid: int) -> list[int]:
    """A process and all that it began, which may have ended by now."""
    found = [pid]
    for one in found:
        with suppress(OSError):
            for task in Path(f"/proc/{one}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
    return found


async def _started(
    process: asyncio.subprocess.Process, models: int, seconds: float, complaints: list[str]
) -> _Start:
    start = _Start()
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert process.stdout is not None
    try:
        async with asyncio.timeout(seconds):
            while line := await process.stdout.readline():
                _take(json.loads(line), start, loop.time() - began)
                if start.address and len(start.ready) == models:
                    return start
            await process.wait()
    except TimeoutError:
        raise CannotRun("bench", f"its models were not ready within {seconds:.0f} s") from None
    told = complaints[-1] if complaints else "it said nothing"
    raise CannotRun("bench", f"its server ended while it loaded the models: {told}")


def _take(event: Mapping[str, Any], start: _Start, seconds: float) -> None:
    if event.get("event") == "listening":
        start.address = str(event["address"])
    if event.get("event") != "model":
        return
    name = str(event.get("id"))
    if event.get("state") == "ready":
        start.ready.setdefault(name, seconds)
    elif event.get("state") == "failed":
        raise CannotRun(name, f"cannot be served: {event.get('message')}")


async def _keep_last(stream: asyncio.StreamReader, lines: list[str]) -> None:
    """Reads to the end, so that nobody waits for a full pipe."""
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


def proportional_bytes(pid: int) -> int:
    """Memory of a process, shared pages counted by share (PSS), in bytes.

    Raises:
        OSError: There is none.
        RuntimeError: The kernel does not tell.
    """
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) << 10
    raise RuntimeError(f"no Pss of process {pid}")


def _memory_of(pid: int) -> int:
    """The same, and 0 of a process that has ended."""
    with suppress(OSError, RuntimeError):
        return proportional_bytes(pid)
    return 0


def _cpu_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    # utime, stime and those of children that have ended: fields 14 to 17 of proc(5).
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
