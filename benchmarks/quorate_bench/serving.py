"""A server of the bench's own: a process, with nothing of the user's configuration or books."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quorate.errors import CannotRun
from quorate_bench.processes import Child, child, process_tree, tree_cpu_seconds


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
        return tree_cpu_seconds(self.pid)


@dataclass(slots=True)
class _Start:
    address: str = ""
    ready: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Served:
    """A model as a configuration names it.

    Attributes:
        path: Its file; None where its engine needs none.
        engine: That runs it; "" is the one for its file.
        options: Of the engine; those that are 0 are as it takes them.
    """

    path: Path | None
    engine: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    def file_bytes(self) -> int:
        """Size of its file; 0 without one."""
        return 0 if self.path is None else self.path.stat().st_size


def bench_server(
    models: Mapping[str, Served], cores: int, start_seconds: float
) -> AbstractAsyncContextManager[BenchServer]:
    """Runs ``quorate serve`` on the first cores of this process until the context ends.

    Args:
        models: By the name they are served under.
        cores: How many.
        start_seconds: How long the models may take to load.

    Raises:
        CannotRun: It ended, or a model could not be loaded, or it took too long.
    """
    return configured_server(configuration(models), len(models), cores, start_seconds)


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
        command = [sys.executable, "-m", "quorate", "serve", "--config", str(config), "--json"]
        async with child(command, first_cores(cores), {"QUORATE_HOME": folder}) as server:
            start = await _started(server, models, start_seconds)
            server.drain()
            yield BenchServer(start.address, server.process.pid, start.ready)


def first_cores(count: int) -> list[int]:
    """Ids of the first cores that this process may run on."""
    return sorted(os.sched_getaffinity(0))[:count]


def configuration(models: Mapping[str, Served]) -> str:
    """What the server is told; it asks its models nothing by itself."""
    head = '[server]\nlisten = "127.0.0.1:0"\n[routing]\nprobe = false\n[ledger]\npath = "off"\n'
    return head + "".join(_table(name, model) for name, model in models.items())


def _table(name: str, model: Served) -> str:
    lines = ["[[models]]", f"id = {json.dumps(name)}"]
    lines += [f"model = {json.dumps(str(model.path))}"] if model.path is not None else []
    lines += [f"engine = {json.dumps(model.engine)}"] if model.engine else []
    options = {key: value for key, value in model.options.items() if value}
    if options:
        told = ", ".join(f"{key} = {json.dumps(value)}" for key, value in options.items())
        lines.append(f"options = {{ {told} }}")
    return "\n".join(lines) + "\n"


async def _started(server: Child, models: int, seconds: float) -> _Start:
    start = _Start()
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        async with asyncio.timeout(seconds):
            while line := await server.lines.readline():
                _take(json.loads(line), start, loop.time() - began)
                if start.address and len(start.ready) == models:
                    return start
            await server.process.wait()
    except TimeoutError:
        raise CannotRun("bench", f"its models were not ready within {seconds:.0f} s") from None
    told = server.last_complaint()
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
