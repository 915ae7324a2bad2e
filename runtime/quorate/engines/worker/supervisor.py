"""Keeps one worker alive: starts it, notices its loss, starts it again or gives up."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from quorate.engines.contract import ModelFacts
from quorate.engines.registry import prepared_options
from quorate.engines.spec import EngineSpec
from quorate.engines.vocabulary import Vocabulary
from quorate.engines.worker.claims import OutOfTurn, check_rows, checked_vocabulary, told
from quorate.engines.worker.handle import WorkerHandle
from quorate.engines.worker.limits import WorkerLimits
from quorate.engines.worker.restarts import FailureHistory
from quorate.engines.worker.shortages import is_shortage
from quorate.engines.worker.statuses import StatusBoard, WorkerPhase, WorkerStatus
from quorate.engines.worker.transport.contract import Connect
from quorate.errors import ModelUnusable, Unavailable, WorkerLost
from quorate.threads import beside_loop

_T = TypeVar("_T")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class LoadedModel:
    """What is known of the model, also while its worker restarts."""

    facts: ModelFacts
    vocabulary: Vocabulary
    table_digest: bytes


class Supervisor:
    """Owns the worker of one model through all its lives.

    Args:
        limits: When it counts as stuck, and how long a stop may take.
        sleep: Waits for so many seconds before a restart.

    Attributes:
        worker: The worker that runs now, which need not be ready.
        restarts: How often one was started in the place of one that was lost.
    """

    def __init__(
        self,
        spec: EngineSpec,
        cores: Sequence[int],
        connect: Connect,
        limits: WorkerLimits,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self.cores = tuple(cores)
        self._spec = spec
        self._connect = connect
        self._limits = limits
        self._sleep = sleep
        self._board = StatusBoard()
        self._task: asyncio.Task[None] | None = None
        self.worker: WorkerHandle | None = None
        self.model: LoadedModel | None = None
        self.restarts = 0

    def start(self) -> None:
        """Spawns the worker, once, and watches over it from now on."""
        if self._task is None and not self._board.current.final:
            self._task = asyncio.create_task(
                self._guarded_run(), name=f"worker of {self._spec.model}"
            )

    @property
    def status(self) -> WorkerStatus:
        """Where the worker is in its life."""
        return self._board.current

    def watch(self) -> AsyncIterator[WorkerStatus]:
        """Yields the status now and whenever it changes; ends when it is final."""
        return self._board.watch()

    def ready_worker(self) -> WorkerHandle:
        """The worker to open sessions on.

        Raises:
            Unavailable: None is ready.
        """
        status, worker = self._board.current, self.worker
        if status.phase is WorkerPhase.READY and worker is not None:
            if not worker.lost.done():
                return worker
            status = self._restarting(worker.lost.result(), 1.0)
        raise _refusal(self._spec.model, status)

    async def wait_ready(self) -> None:
        """Waits until a worker is ready.

        Raises:
            Unavailable: It was stopped, or has given up.
        """
        status = self._board.current
        while not status.final:
            worker = self.worker
            if status.phase is WorkerPhase.READY and worker and not worker.lost.done():
                return
            status = await self._board.other_than(status)
        raise _refusal(self._spec.model, status)

    def set_cores(self, cores: Sequence[int]) -> None:
        """Moves the worker, and every later one, to these cores."""
        self.cores = tuple(cores)
        if self.worker is not None:
            self.worker.set_cores(self.cores)

    async def stop(self) -> None:
        """Ends the worker; returns when its process is gone. Idempotent."""
        self._board.post(WorkerStatus(WorkerPhase.STOPPED, "unloaded"))
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self.worker is not None:
            await self.worker.stop()
            self.worker = None

    async def _guarded_run(self) -> None:
        try:
            await self._run()
        except Exception as error:
            # A supervisor that died unseen would leave the model in its last state for ever.
            _log.exception("model %s: its supervisor failed", self._spec.model)
            await self._give_up(ModelUnusable(self._spec.model, f"internal error: {error!r}"))

    async def _run(self) -> None:
        history = FailureHistory()
        while True:
            try:
                worker = await self._load()
            except ModelUnusable as error:
                await self._give_up(error)
                return
            except (OSError, MemoryError) as error:
                cause = f"cannot be started: {error or type(error).__name__}"
                short = is_shortage(error)
                history = history.after_shortage() if short else history.after_crash_while_loading()
            except WorkerLost as error:
                cause = error.cause
                history = history.after_crash_while_loading()
            else:
                cause, ready_seconds = await self._until_lost(worker)
                history = history.after_crash(ready_seconds)
            _log.warning("model %s: its worker %s", self._spec.model, told(cause))
            if history.hopeless:
                tries = history.while_loading
                problem = f"its worker died {tries} times while loading; last: {cause}"
                await self._give_up(ModelUnusable(self._spec.model, problem))
                return
            self._board.post(self._restarting(cause, history.delay_seconds))
            self.restarts += 1
            await self._bury()
            await self._sleep(history.delay_seconds)

    async def _load(self) -> WorkerHandle:
        """Starts a worker and waits until it is ready.

        Raises:
            OSError: It cannot be started or shared with; where it runs it is killed.
            MemoryError: What is shared does not fit here; it is killed.
            ModelUnusable: The model can never be loaded here.
            WorkerLost: It died meanwhile.
        """
        options = await beside_loop(prepared_options, self._spec.engine, self._spec.options)
        spec = replace(self._spec, options=options)
        self._on_progress(0.0)
        cores = self.cores
        worker = WorkerHandle(spec, cores, self._connect, self._limits, self._on_progress)
        self.worker = worker
        try:
            facts, table = await worker.load()
            self.model = await self._identified(worker, facts, table)
            await beside_loop(getattr, self.model.vocabulary, "byte_order")
        except (OSError, MemoryError) as error:
            worker.kill(f"cannot be shared with: {error or type(error).__name__}")
            raise
        if self.cores != cores:
            worker.set_cores(self.cores)
        return worker

    async def _until_lost(self, worker: WorkerHandle) -> tuple[str, float]:
        clock = asyncio.get_running_loop().time
        began = clock()
        self._board.post(WorkerStatus(WorkerPhase.READY))
        cause = await asyncio.shield(worker.lost)
        return cause, clock() - began

    async def _identified(
        self, worker: WorkerHandle, facts: ModelFacts, table: bytes
    ) -> LoadedModel:
        digest = hashlib.sha256(table).digest()
        if self.model is not None and self.model.table_digest != digest:
            problem = (
                "the file was replaced by one with another vocabulary; unload it, load it anew"
            )
            raise ModelUnusable(self._spec.model, problem)
        try:
            if self.model is not None:
                check_rows(self.model.vocabulary, worker.vocabulary_size)
                return LoadedModel(facts, self.model.vocabulary, digest)
            size = worker.vocabulary_size
            vocabulary = await beside_loop(checked_vocabulary, table, size)
        except OutOfTurn as error:
            raise worker.refuse(str(error)) from error
        return LoadedModel(facts, vocabulary, digest)

    async def _give_up(self, error: ModelUnusable) -> None:
        if self.worker is not None:
            await self.worker.stop()
        self._board.post(WorkerStatus(WorkerPhase.FAILED, error.problem))

    async def _bury(self) -> None:
        """Waits for the end of a lost process: until then the memory is not free again."""
        if self.worker is None:
            return
        if not await self.worker.ends_within(self._limits.kill_seconds):
            _log.error("model %s: process %s survives SIGKILL", self._spec.model, self.worker.pid)
        self.worker = None

    def _on_progress(self, fraction: float) -> None:
        current = self._board.current
        if current.final:
            # Reports are still on their way while the worker is being stopped.
            return
        self._board.post(
            WorkerStatus(
                WorkerPhase.STARTING if self.model is None else WorkerPhase.RESTARTING,
                current.message,
                fraction,
            )
        )

    @staticmethod
    def _restarting(cause: str, retry_after_seconds: float) -> WorkerStatus:
        return WorkerStatus(WorkerPhase.RESTARTING, cause, None, max(1.0, retry_after_seconds))


def _refusal(model: str, status: WorkerStatus) -> Unavailable:
    """Why there is no worker to work with."""
    retry = status.retry_after_seconds
    match status.phase:
        case WorkerPhase.STOPPED:
            return Unavailable(f"model {model} is unloaded", retry, "unloaded")
        case WorkerPhase.FAILED:
            cause = f"failed: {status.message}"
            return Unavailable(f"model {model} has {cause}", retry, cause)
        case WorkerPhase.STARTING:
            return Unavailable(f"model {model} is loading; try again soon", retry, "loading")
        case _:
            told = f"model {model} restarts ({status.message}); try again soon"
            return Unavailable(told, retry, f"restarting: {status.message}")
