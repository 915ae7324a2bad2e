"""A worker in a process on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from quorate.engines import sealed_memory
from quorate.engines.confinement.plan import Isolation, of_a_worker
from quorate.engines.registry import process_needs
from quorate.engines.shared_rows import RowsReader
from quorate.engines.spec import EngineSpec
from quorate.engines.worker.claims import MOST_TABLE_BYTES
from quorate.engines.worker.messages import ToWorker
from quorate.engines.worker.transport.contract import OnLost, OnMessage
from quorate.engines.worker.transport.spawned import SpawnedProcess
from quorate.engines.worker.turns import Turns


class LocalTransport:
    """``Transport`` to a spawned process: a socket pair, and two sealed shared memories.

    The coordinator makes the memories and the worker sizes them, instead of a descriptor sent over
    the socket: nothing is passed after the start, so there is no moment in which it can leak.

    Args:
        command: The worker's program and first arguments; those of ``worker.main`` are added.
        turns: How the worker takes turns with others.
        isolation: What the configuration says of its process.
        threads: With how many threads it computes.
        on_lost: Told the end of the process, or what it said out of turn.

    Raises:
        OSError: It cannot be started; nothing is left behind.
    """

    def __init__(
        self,
        command: Sequence[str],
        turns: Turns,
        isolation: Isolation,
        spec: EngineSpec,
        threads: int,
        on_message: OnMessage,
        on_lost: OnLost,
    ) -> None:
        self._memories: dict[str, int] = {}
        needs = process_needs(spec.engine, spec.path, spec.options)
        try:
            for name in ("rows", "vocabulary"):
                self._memories[name] = sealed_memory.create(f"quorate-{name}")
            self._process = SpawnedProcess(
                command,
                spec,
                threads,
                [*self._memories.values(), turns.descriptor],
                of_a_worker(spec.model, isolation, needs),
                isolation.secrets,
                spec.model,
                on_message,
                on_lost,
            )
        except BaseException:
            self._close_memories()
            raise

    @property
    def pid(self) -> int | None:
        """See ``Transport``."""
        return self._process.pid

    def send(self, message: ToWorker) -> None:
        """See ``Transport``."""
        self._process.send(message)

    def rows(self, sessions: int, vocabulary_size: int, block_rows: int) -> RowsReader:
        """See ``Transport``."""
        with self._memory("rows") as descriptor:
            return RowsReader(descriptor, sessions, vocabulary_size, block_rows)

    def vocabulary(self) -> bytes:
        """See ``Transport``."""
        with self._memory("vocabulary") as descriptor:
            return sealed_memory.read(descriptor, MOST_TABLE_BYTES)

    def close(self) -> None:
        """See ``Transport``."""
        self._process.close_link()
        self._close_memories()

    def kill(self) -> None:
        """See ``Transport``."""
        self._process.kill()

    async def ends_within(self, seconds: float) -> bool:
        """See ``Transport``."""
        return await self._process.ends_within(seconds)

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
