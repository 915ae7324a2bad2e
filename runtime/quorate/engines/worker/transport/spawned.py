"""A process on this machine and the socket to it: what workers and encoders have in common."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Collection, Sequence

from quorate.engines.confinement.environment import worker_environment
from quorate.engines.confinement.plan import VARIABLE, Confinement
from quorate.engines.registry import process_environment
from quorate.engines.spec import EngineSpec
from quorate.engines.worker.messages import ToWorker
from quorate.engines.worker.transport.contract import OnLost, OnMessage
from quorate.engines.worker.transport.link import WorkerLink
from quorate.engines.worker.transport.process import WorkerProcess


class SpawnedProcess:
    """A process that serves one model over a socket pair.

    Args:
        command: Its program and first arguments; the descriptors that it inherits, the socket
            first, the id of this process and the model's are added.
        threads: With how many threads it computes.
        inherited: Descriptors that it inherits besides.
        confinement: What it may do; told in its environment.
        secrets: Variables of ours that it never inherits.
        name: What its lines in the log are told by.
        on_message: Told its messages; raises ``OutOfTurn`` for what it may not say.
        on_lost: Told the end of the process, behind its last message, or what it said out of turn,
            for which it is killed.

    Raises:
        OSError: It cannot be started; nothing is left behind.
    """

    def __init__(
        self,
        command: Sequence[str],
        spec: EngineSpec,
        threads: int,
        inherited: Sequence[int],
        confinement: Confinement,
        secrets: Collection[str],
        name: str,
        on_message: OnMessage,
        on_lost: OnLost,
    ) -> None:
        self._on_lost = on_lost
        environment = worker_environment(os.environ, threads, secrets)
        environment |= process_environment(spec.engine, environment)
        environment[VARIABLE] = confinement.to_text()
        ours, theirs = socket.socketpair()
        try:
            descriptors = (theirs.fileno(), *inherited)
            self._process = WorkerProcess(
                [*command, *map(str, descriptors), str(os.getpid()), spec.model],
                environment,
                descriptors,
                name,
            )
            self._link = self._linked(ours, on_message)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self._process.exited.add_done_callback(self._on_exit)

    @property
    def pid(self) -> int | None:
        """Its id, or None once it has ended."""
        return None if self._process.exited.done() else self._process.pid

    def send(self, message: ToWorker | bytes) -> None:
        """Sends a message, or its line, soon and in order; dropped where the process is gone."""
        self._link.send(message)

    def close_link(self) -> None:
        """Neither sends nor receives any more. Idempotent."""
        self._link.close()

    def kill(self) -> None:
        """Kills it, whatever it is stuck in. Idempotent."""
        self._process.kill()

    async def ends_within(self, seconds: float) -> bool:
        """Waits for its end; False when it still runs after that time."""
        return await self._process.exits_within(seconds)

    def _linked(self, connection: socket.socket, on_message: OnMessage) -> WorkerLink:
        try:
            return WorkerLink(connection, on_message, self._on_out_of_turn)
        except BaseException:
            # Nobody will ever speak to it; it is reaped when it has ended.
            self._process.kill()
            raise

    def _on_exit(self, exited: asyncio.Future[str]) -> None:
        self._link.drain()
        self._on_lost(exited.result())

    def _on_out_of_turn(self, cause: str) -> None:
        self._process.kill()
        self._on_lost(cause)
