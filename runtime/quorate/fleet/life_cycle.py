"""One model of the fleet: from its files to its engine, and to its end once nobody uses it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias

from quorate.engines.contract import Engine, ModelFacts
from quorate.engines.spec import EngineSpec
from quorate.engines.worker.statuses import Activity, WorkerPhase, WorkerStatus
from quorate.errors import CannotRun, DeadlinePassed, QuorateError, Unavailable
from quorate.fleet.changes import StatusFeed
from quorate.fleet.placement import Placement
from quorate.fleet.status import ModelState, ModelStatus, why_not_ready
from quorate.fleet.uses import Uses

_log = logging.getLogger(__name__)

_STATES = {
    WorkerPhase.STARTING: ModelState.LOADING,
    WorkerPhase.READY: ModelState.READY,
    WorkerPhase.RESTARTING: ModelState.RESTARTING,
    WorkerPhase.FAILED: ModelState.FAILED,
    WorkerPhase.STOPPED: ModelState.UNLOADED,
}
# Where a model that has served may be found after it was lost.
_LOST = (
    ModelState.RESTARTING,
    ModelState.FAILED,
    ModelState.DOWNLOADING,
    ModelState.LOADING,
)


class ManagedEngine(Engine, Protocol):
    """An engine whose life can be watched and whose cores can be changed."""

    @property
    def wedged(self) -> bool:
        """Whether it has been at one step for suspiciously long."""
        ...

    def watch(self) -> AsyncIterator[WorkerStatus]:
        """Yields the status now and each change, ending after a final one."""
        ...

    def set_cores(self, cores: Sequence[int]) -> None:
        """Moves its work to these processor cores."""
        ...

    def memory_bytes(self) -> int:
        """Resident memory of its process."""
        ...

    @property
    def activity(self) -> Activity:
        """What it has done and is asked for now."""
        ...

    @property
    def worker_pid(self) -> int | None:
        """The process it runs in now, where that is one of its own."""
        ...

    @property
    def kv_usage(self) -> float | None:
        """Share of the KV cache that sessions have reserved, in [0, 1]; None while unknown."""
        ...

    @property
    def restarts(self) -> int:
        """How often its process was started again."""
        ...


StartEngine: TypeAlias = Callable[[EngineSpec, Sequence[int]], ManagedEngine]
"""Starts an engine on these cores and returns at once, while it still loads.

Each stands for a thread; those below 0 for one that runs wherever there is room."""


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model that can be loaded, and how its files are come by.

    Attributes:
        engine: Name of the engine that runs it.
        prepare: Makes the files available, downloading where needed, and says how to load them;
            it reports progress in [0, 1].
        cores: The most cores it may have at once, or None for all there are.
    """

    id: str
    engine: str
    prepare: Callable[[Callable[[float], None]], Awaitable[EngineSpec]]
    cores: int | None = None


class LifeCycle:
    """Loads and unloads one model, and tells its status.

    Attributes:
        engine: What runs it now, ready or not; None while it is not loaded.
    """

    def __init__(
        self, source: ModelSource, start: StartEngine, placement: Placement, feed: StatusFeed
    ) -> None:
        self.engine: ManagedEngine | None = None
        self._source = source
        self._start = start
        self._placement = placement
        self._feed = feed
        self._life: asyncio.Task[None] | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        self._ending: asyncio.Task[None] | None = None
        self._uses = Uses()
        self._told: WorkerStatus | None = None
        placement.add(source.id, source.cores, self._move, self._activity)
        self._tell_unloaded()

    @property
    def status(self) -> ModelStatus:
        """Its status with the memory it takes now."""
        memory_bytes = self.engine.memory_bytes() if self.engine else 0
        return replace(self._feed.latest[self._source.id], memory_bytes=memory_bytes)

    def load(self) -> None:
        """Begins to load it, unless it lives already; its status tells the rest.

        Raises:
            Unavailable: It is being unloaded.
        """
        model = self._source.id
        if self._leaving or self._ending is not None:
            raise Unavailable(f"model {model} is being unloaded; load it again afterwards")
        if self._life is None:
            self._post(state=ModelState.LOADING, message="", progress=None)
            self._life = asyncio.create_task(self._live(), name=f"life of {model}")

    async def unload(self, patience_seconds: float, force: bool) -> None:
        """Ends it once nobody uses it; goes on when the caller is cancelled.

        One that has failed is only told to be unloaded: nothing of it is left, and whoever reads
        why it failed is done with it.

        Args:
            patience_seconds: How long those who use it are waited for.
            force: Whether it ends then all the same; else it stays.

        Raises:
            DeadlinePassed: It is still used, and stays.
        """
        if self._life is None:
            # While its end is on the way that tells so itself.
            if self._ending is None:
                self._tell_unloaded()
            return
        if not self._leaving:
            self._post(state=ModelState.UNLOADING, message="", progress=None)
        leaving = asyncio.create_task(
            self._leave(patience_seconds, force), name=f"end of {self._source.id}"
        )
        self._leaving.add(leaving)
        leaving.add_done_callback(self._left)
        await asyncio.shield(leaving)

    async def end(self) -> None:
        """Ends it at once, also while it is used."""
        if self._ending is None:
            self._ending = asyncio.create_task(self._end(), name=f"end of {self._source.id}")
        await asyncio.shield(self._ending)

    def living_engine(self) -> Engine | None:
        """The engine where it is ready or restarts, so that one may wait for it."""
        state = self._feed.latest[self._source.id].state
        return self.engine if state in (ModelState.READY, ModelState.RESTARTING) else None

    def away(self) -> Unavailable | None:
        """Why nobody should count on it now although it has served; None where it is ready.

        Raises:
            ModelUnusable: It never was ready before it failed, or is not loaded: it was not lost.
            Unavailable: It is not ready yet, or is being unloaded.
        """
        status = self._feed.latest[self._source.id]
        if status.state is ModelState.READY:
            if self.engine is None:
                raise Unavailable(f"model {status.id} is being unloaded")
            return None
        if not status.served or status.state not in _LOST:
            raise why_not_ready(status)
        what = status.state.value
        cause = f"{what}: {status.message}" if status.message else what
        return Unavailable(f"model {status.id} is {cause}", cause=cause)

    def hold(self) -> Uses:
        """Notes one more who uses it, so that it is not unloaded meanwhile.

        Returns:
            Where the end of that use is to be noted: whoever outlasts a life that was ended by
            force keeps no later one from ending.
        """
        self._uses.begin()
        return self._uses

    async def _live(self) -> None:
        """One life, from its files to its last status."""
        try:
            await self._follow_life()
        except QuorateError as error:
            self._fail(error.problem if isinstance(error, CannotRun) else error.message)
        except Exception as error:
            # A life that ended unseen would leave the model in its last state for ever.
            _log.exception("model %s: its life failed", self._source.id)
            self._fail(f"internal error: {error!r}")

    async def _follow_life(self) -> None:
        life = asyncio.current_task()

        def on_download(done: float) -> None:
            # A download that cannot be interrupted still reports after the model was unloaded.
            if self._life is life and not self._leaving:
                self._post(state=ModelState.DOWNLOADING, progress=done)

        spec = await self._source.prepare(on_download)
        self._post(state=ModelState.LOADING, progress=None)
        self.engine = self._start(spec, self._placement.enter(self._source.id))
        async for status in self.engine.watch():
            self._told = status
            if status.phase is WorkerPhase.FAILED:
                self._fail(status.message)
            elif not self._leaving:
                self._follow(status)

    def _follow(self, status: WorkerStatus) -> None:
        state = _STATES[status.phase]
        if state is not ModelState.READY or self.engine is None:
            self._post(state=state, message=status.message, progress=status.progress)
            return
        facts, vocabulary = self.engine.facts, self.engine.vocabulary
        if facts.template.problem:
            _log.warning("model %s takes no chats: %s", self._source.id, facts.template.problem)
        # At once: who sees that it is ready sees all that is known of it.
        self._post(
            state=state,
            message=status.message,
            progress=status.progress,
            description=facts.description,
            context_length=min(facts.context_length, facts.kv_tokens),
            vocabulary_size=len(vocabulary),
            vocabulary_fingerprint=vocabulary.fingerprint,
            vocabulary=vocabulary,
            chat=facts.capabilities.chat,
            template=facts.template,
            has_bytes=vocabulary.has_bytes,
            sessions=facts.sessions,
            full_sessions=_full_sessions(facts),
            warnings=facts.warnings,
            served=True,
            rewinds=facts.capabilities.rewind,
            block_rows=facts.block_rows,
            size_bytes=facts.memory_bytes,
        )

    def _fail(self, message: str) -> None:
        """Notes that a life ended badly; a later load begins a new one."""
        self._life = None
        self.engine = None
        self._placement.leave(self._source.id)
        self._post(state=ModelState.FAILED, message=message, progress=None, cores=(), warnings=())

    async def _leave(self, patience_seconds: float, force: bool) -> None:
        uses = self._uses
        try:
            async with asyncio.timeout(patience_seconds):
                await uses.over()
        except TimeoutError:
            if not force and self._uses is uses and uses.count:
                self._stay()
                raise DeadlinePassed(
                    f"model {self._source.id} stays loaded: after {patience_seconds:g} s it is "
                    f"still used by {uses.count} "
                    f"request{'s' if uses.count > 1 else ''}; wait longer, or end them by force"
                ) from None
        if self._uses is uses or self._ending is not None:
            await self.end()

    def _left(self, leaving: asyncio.Task[None]) -> None:
        self._leaving.discard(leaving)
        if not leaving.cancelled():
            # Its caller may be gone, and what it raised is nobody else's business.
            leaving.exception()

    def _stay(self) -> None:
        """Serves on, unless somebody else still waits for its end."""
        if len(self._leaving) > 1 or self._ending is not None or self._life is None:
            return
        self._leaving.clear()
        if self._told is not None:
            self._follow(self._told)
        else:
            self._post(state=ModelState.LOADING, message="", progress=None)

    async def _end(self) -> None:
        life, self._life = self._life, None
        engine, self.engine = self.engine, None
        # Those who use it now may take long to notice, and are no concern of a later life.
        self._uses, uses = Uses(), self._uses
        uses.end_all()
        try:
            if engine is not None:
                await engine.close()
            if life is not None:
                life.cancel()
                await asyncio.gather(life, return_exceptions=True)
        finally:
            self._ending, self._told = None, None
            self._placement.leave(self._source.id)
            self._tell_unloaded()

    def _move(self, cores: tuple[int, ...]) -> None:
        self._post(cores=tuple(core for core in cores if core >= 0))
        if self.engine is not None:
            self.engine.set_cores(cores)

    def _activity(self) -> Activity:
        return Activity() if self.engine is None else self.engine.activity

    def _tell_unloaded(self) -> None:
        source = self._source
        self._feed.post(ModelStatus(source.id, ModelState.UNLOADED, source.engine))

    def _post(self, **changes: Any) -> None:
        self._feed.post(replace(self._feed.latest[self._source.id], **changes))


def _full_sessions(facts: ModelFacts) -> int:
    if facts.shares_kv:
        return facts.sessions
    return min(facts.sessions, max(1, facts.kv_tokens // facts.context_length))
