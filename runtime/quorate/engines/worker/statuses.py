"""Where a worker is in its life, as values that can be watched."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from quorate.engines.shared_rows import WorkDone


class Activity(NamedTuple):
    """What a worker has done so far, and what it is asked for now.

    Attributes:
        done: Its own account of its decode steps; nothing while the model loads.
        sessions: How many are open.
        asked: Whether one of them waits for an answer.
    """

    done: WorkDone = WorkDone()
    sessions: int = 0
    asked: bool = False


class WorkerPhase(Enum):
    """States of a supervised worker."""

    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """One moment of a worker's life.

    Attributes:
        message: Why it failed or restarts; one line, "" where there is nothing to say.
        progress: Loaded fraction in [0, 1], or None where nothing is being loaded.
        retry_after_seconds: When it is worth asking again.
    """

    phase: WorkerPhase
    message: str = ""
    progress: float | None = None
    retry_after_seconds: float = 1.0

    @property
    def final(self) -> bool:
        """Whether it can never become ready again."""
        return self.phase in (WorkerPhase.FAILED, WorkerPhase.STOPPED)


class StatusBoard:
    """Holds the latest status and wakes those who watch."""

    def __init__(self) -> None:
        self.current = WorkerStatus(WorkerPhase.STARTING)
        self._changed = asyncio.Event()

    def post(self, status: WorkerStatus) -> None:
        """Replaces the status."""
        self.current = status
        self._changed.set()
        self._changed = asyncio.Event()

    async def other_than(self, status: WorkerStatus) -> WorkerStatus:
        """Waits until the current status is another one, and returns it."""
        while self.current is status:
            await self._changed.wait()
        return self.current

    async def watch(self) -> AsyncIterator[WorkerStatus]:
        """Yields the current status and then each new one; ends after a final one.

        A reader that is slow misses what was replaced meanwhile, never the latest.
        """
        status = self.current
        yield status
        while not status.final:
            status = await self.other_than(status)
            yield status
