"""Everything a new worker needs: its process, a channel to it, and empty shared memories."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from quorate.engines.registry import process_environment
from quorate.engines.worker import sealed_memory
from quorate.engines.worker.process import WorkerProcess, worker_environment


@dataclass(slots=True)
class Launch:
    """A worker that has just been spawned, and the coordinator's share in it.

    Attributes:
        connection: The coordinator's end of the control channel.
        rows: Memory for the log-probs, a descriptor.
        vocabulary: Memory for the vocabulary table, a descriptor.
    """

    process: WorkerProcess
    connection: socket.socket
    rows: int
    vocabulary: int


def launch(command: Sequence[str], threads: int, name: str, engine: str) -> Launch:
    """Spawns a worker.

    Args:
        command: The worker's program and first arguments; those of ``worker.main`` are added.
        threads: With how many threads it computes.
        name: For the log.
        engine: What it will load.

    Raises:
        OSError: It cannot be started; nothing is left behind.
    """
    ours, theirs = socket.socketpair()
    memories: list[int] = []
    try:
        memories.append(sealed_memory.create("quorate-rows"))
        memories.append(sealed_memory.create("quorate-vocabulary"))
        inherited = (theirs.fileno(), *memories)
        arguments = [*command, *map(str, inherited), str(os.getpid())]
        environment = worker_environment(os.environ, threads)
        environment |= process_environment(engine, environment)
        process = WorkerProcess(arguments, environment, inherited, name)
    except BaseException:
        ours.close()
        for descriptor in memories:
            os.close(descriptor)
        raise
    finally:
        theirs.close()
    return Launch(process, ours, *memories)
