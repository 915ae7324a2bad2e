"""A worker in a process on this machine."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from quorate.engines import sealed_memory
from quorate.engines.registry import process_environment
from quorate.engines.shared_rows import RowsReader
from quorate.engines.spec import EngineSpec
from quorate.engines.worker.messages import ToWorker
from quorate.engines.worker.transport.contract import OnLost, OnMessage
from quorate.engines.worker.transport.link import WorkerLink
from quorate.engines.worker.transport.process import WorkerProcess, worker_environment


class LocalTransport:
    """``Transport`` to a spawned process: a socket pair, and two sealed shared memories.

    The coordinator makes the memories and the worker sizes them, instead of a descriptor sent over
    the socket: nothing is passed after the start, so there is no moment in which it can leak.

    Args:
        command: The worker's program and first arguments; those of ``worker.main`` are added.
        threads: With how many threads it computes.
        on_lost: Told the end of the process, or what could not be read of its messages.

    Raises:
        OSError: It cannot be started; nothing is left behind.
    """

    def __init__(
        self,
        command: Sequence[str],
        spec: EngineSpec,
        threads: int,
        on_message: OnMessage,
        on_lost: OnLost,
    ) -> None:
        self._on_lost = on_lost
        self._memories: dict[str, int] = {}
        ours, theirs = socket.socketpair()
        try:
            for name in ("rows", "vocabulary"):
                self._memories[name] = sealed_memory.create(f"quorate-{name}")
            inherited = (theirs.fileno(), *self._memories.values())
            environment = worker_environment(os.environ, threads)
            environment |= process_environment(spec.engine, environment)
            self._process = WorkerProcess(
                [*command, *map(str, inherited), str(os.getpid())],
                environment,
                inherited,
                spec.model,
            )
            self._link = self._linked(ours, on_message)
        except BaseException:
            ours.close()
            self._close_memories()
            raise
        finally:
            theirs.close()
        self._process.exited.add_done_callback(self._on_exit)

    @property
    def pid(self) -> int | None:
        """See ``Transport``."""
        return None if self._process.exited.done() else self._process.pid

    def send(self, message: ToWorker) -> None:
        """See ``Transport``."""
        self._link.send(message)

    def rows(self, sessions: int, vocabulary_size: int) -> RowsReader:
        """See ``Transport``."""
        with self._memory("rows") as descriptor:
            return RowsReader(descriptor, sessions, vocabulary_size)

    def vocabulary(self) -> bytes:
        """See ``Transport``."""
        with self._memory("vocabulary") as descriptor:
            return sealed_memory.read(descriptor)

    def close(self) -> None:
        """See ``Transport``."""
        self._link.close()
        self._close_memories()

    def kill(self) -> None:
        """See ``Transport``."""
        self._process.kill()

    async def ends_within(self, seconds: float) -> bool:
        """See ``Transport``."""
        return await self._process.exits_within(seconds)

    def _linked(self, connection: socket.socket, on_message: OnMessage) -> WorkerLink:
        try:
            return WorkerLink(connection, on_message, self._on_unreadable)
        except BaseException:
            # Nobody will ever speak to it; it is reaped when it has ended.
            self._process.kill()
            raise

    def _on_exit(self, exited: asyncio.Future[str]) -> None:
        self._link.drain()
        self._on_lost(exited.result())

    def _on_unreadable(self, problem: str) -> None:
        self._process.kill()
        self._on_lost(problem)

    @contextmanager
    def _memory(self, name: str) -> Iterator[int]:
        """A memory whose descriptor is needed for the last time."""
        descriptor = self._memories.pop(name)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _close_memories(self) -> None:
        while self._memories:
            os.close(self._memories.popitem()[1])
