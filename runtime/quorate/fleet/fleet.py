"""The models of this service: loading, unloading, and who uses them."""

from __future__ import annotations

import asyncio
import builtins
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from quorate.engines.contract import Engine, ModelFacts
from quorate.engines.spec import EngineSpec
from quorate.engines.worker.statuses import WorkerPhase, WorkerStatus
from quorate.errors import CannotRun, ModelUnusable, NotFound, QuorateError, Unavailable
from quorate.fleet.changes import StatusFeed
from quorate.fleet.placement import divide_cores
from quorate.fleet.status import ModelState, ModelStatus

_log = logging.getLogger(__name__)

_STATES = {
    WorkerPhase.STARTING: ModelState.LOADING,
    WorkerPhase.READY: ModelState.READY,
    WorkerPhase.RESTARTING: ModelState.RESTARTING,
    WorkerPhase.FAILED: ModelState.FAILED,
    WorkerPhase.STOPPED: ModelState.UNLOADED,
}


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
    def worker_pid(self) -> int | None:
        """The process it runs in now, where that is one of its own."""
        ...


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model that can be loaded, and how its files are come by.

    Attributes:
        engine: Name of the engine that runs it.
        prepare: Makes the files available, downloading where needed, and says how to load them;
            it reports progress in [0, 1].
        cores: Cores it wants, or None for an even share.
    """

    id: str
    engine: str
    prepare: Callable[[Callable[[float], None]], Awaitable[EngineSpec]]
    cores: int | None = None


@dataclass(slots=True)
class _Entry:
    source: ModelSource
    engine: ManagedEngine | None = None
    life: asyncio.Task[None] | None = None
    leaving: asyncio.Task[None] | None = None
    users: int = 0
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    seated: bool = False
    cores: tuple[int, ...] = ()


def _full_sessions(facts: ModelFacts) -> int:
    if facts.shares_kv:
        return facts.sessions
    return min(facts.sessions, max(1, facts.kv_tokens // facts.context_length))


class Fleet:
    """Owns the models. All calls belong on one event loop.

    Args:
        start: Starts an engine and returns at once, while it still loads.
        available_cores: Processor cores to divide among the loaded models.
        find: Finds a source for a name that is not configured; raises NotFound.
    """

    def __init__(
        self,
        start: Callable[[EngineSpec, Sequence[int]], ManagedEngine],
        available_cores: Sequence[int],
        find: Callable[[str], ModelSource] | None = None,
    ) -> None:
        self._start = start
        self._available = tuple(available_cores)
        self._find = find
        self._entries: dict[str, _Entry] = {}
        self._feed = StatusFeed()

    def add(self, source: ModelSource) -> None:
        """Makes a model known, not loaded."""
        self._entries[source.id] = _Entry(source)
        self._feed.post(ModelStatus(source.id, ModelState.UNLOADED, source.engine))

    @property
    def statuses(self) -> dict[str, ModelStatus]:
        """Every model's status by id, without its memory; cheap, not to be changed."""
        return self._feed.latest

    def list(self) -> builtins.list[ModelStatus]:
        """Every model's status with the memory it takes now."""
        return [self.get(model) for model in self._entries]

    def get(self, model: str) -> ModelStatus:
        """One model's status with the memory it takes now.

        Raises:
            NotFound: No such model.
        """
        entry = self._entry(model)
        status = self._feed.latest[model]
        return replace(status, memory_bytes=entry.engine.memory_bytes() if entry.engine else 0)

    def process_ids(self) -> dict[str, int]:
        """The process of each model that runs in one of its own now."""
        found = {
            model: entry.engine.worker_pid
            for model, entry in self._entries.items()
            if entry.engine is not None
        }
        return {model: pid for model, pid in found.items() if pid is not None}

    def wedged(self, model: str) -> bool:
        """Whether a model is loaded and stuck."""
        entry = self._entry(model)
        return entry.engine is not None and entry.engine.wedged

    def watch(self) -> AsyncGenerator[ModelStatus, None]:
        """Yields every model's status now, then each change, without memory."""
        return self._feed.watch()

    async def load(self, model: str) -> ModelStatus:
        """Loads a model and returns once it is ready; goes on when the caller is cancelled.

        Raises:
            NotFound: No such model, nor a source for it.
            ModelUnusable: It cannot be loaded.
            Unavailable: It is being unloaded.
        """
        if model not in self._entries and self._find is not None:
            source = self._find(model)
            model = source.id
            if model not in self._entries:
                self.add(source)
        entry = self._entry(model)
        if entry.leaving is not None:
            raise Unavailable(f"model {model} is being unloaded; load it again afterwards")
        if entry.life is None:
            self._post(entry, state=ModelState.LOADING, message="", progress=None)
            entry.life = asyncio.create_task(self._live(entry), name=f"life of {model}")
        async for status in self._feed.watch():
            if status.id != model:
                continue
            if status.state is ModelState.READY:
                return self.get(model)
            if status.state is ModelState.FAILED:
                raise ModelUnusable(model, status.message)
            if status.state is ModelState.UNLOADED:
                raise Unavailable(f"model {model} was unloaded while it was loading")
        raise Unavailable(f"model {model} is gone")

    async def unload(self, model: str) -> ModelStatus:
        """Unloads a model once nobody uses it; goes on when the caller is cancelled.

        Raises:
            NotFound: No such model.
        """
        entry = self._entry(model)
        if entry.life is not None:
            if entry.leaving is None:
                self._post(entry, state=ModelState.UNLOADING, message="", progress=None)
                entry.leaving = asyncio.create_task(self._leave(entry), name=f"end of {model}")
            await asyncio.shield(entry.leaving)
        return self.get(model)

    @contextmanager
    def use(self, models: Sequence[str]) -> Iterator[builtins.list[Engine]]:
        """Holds models for one request, so that they are not unloaded meanwhile.

        Raises:
            NotFound: An unknown model.
            Unavailable: A model that is not ready.
        """
        entries = [self._entry(model) for model in models]
        engines: builtins.list[Engine] = []
        for entry in entries:
            status = self._feed.latest[entry.source.id]
            if entry.engine is None or status.state is not ModelState.READY:
                raise Unavailable(f"model {entry.source.id} is {status.state.value}")
            engines.append(entry.engine)
        for entry in entries:
            entry.users += 1
        try:
            yield engines
        finally:
            for entry in entries:
                entry.users -= 1
                if not entry.users:
                    entry.idle.set()

    async def close(self) -> None:
        """Ends every model at once, also those in use."""
        for entry in self._entries.values():
            entry.idle.set()
        await asyncio.gather(*(self._end(entry) for entry in self._entries.values()))

    async def _live(self, entry: _Entry) -> None:
        """One life of a model, from its files to its last status."""
        try:
            await self._follow_life(entry)
        except QuorateError as error:
            self._fail(entry, error.problem if isinstance(error, CannotRun) else error.message)
        except Exception as error:
            # A life that ended unseen would leave the model in its last state for ever.
            _log.exception("model %s: its life failed", entry.source.id)
            self._fail(entry, f"internal error: {error!r}")

    async def _follow_life(self, entry: _Entry) -> None:
        life = asyncio.current_task()

        def on_download(done: float) -> None:
            # A download that cannot be interrupted still reports after the model was unloaded.
            if entry.life is life and entry.leaving is None:
                self._post(entry, state=ModelState.DOWNLOADING, progress=done)

        spec = await entry.source.prepare(on_download)
        self._post(entry, state=ModelState.LOADING, progress=None)
        entry.seated = True
        self._divide_cores()
        entry.engine = self._start(spec, entry.cores)
        async for status in entry.engine.watch():
            if status.phase is WorkerPhase.FAILED:
                self._fail(entry, status.message)
            elif entry.leaving is None:
                self._follow(entry, status)

    def _follow(self, entry: _Entry, status: WorkerStatus) -> None:
        state = _STATES[status.phase]
        self._post(entry, state=state, message=status.message, progress=status.progress)
        if state is not ModelState.READY or entry.engine is None:
            return
        facts, vocabulary = entry.engine.facts, entry.engine.vocabulary
        self._post(
            entry,
            description=facts.description,
            context_length=min(facts.context_length, facts.kv_tokens),
            vocabulary_size=len(vocabulary),
            vocabulary_fingerprint=vocabulary.fingerprint,
            chat=facts.capabilities.chat,
            has_bytes=vocabulary.has_bytes,
            sessions=facts.sessions,
            full_sessions=_full_sessions(facts),
        )

    def _fail(self, entry: _Entry, message: str) -> None:
        """Notes that a life ended badly; a later load begins a new one."""
        entry.life = None
        entry.engine = None
        self._unseat(entry)
        self._post(entry, state=ModelState.FAILED, message=message, progress=None, cores=())

    async def _leave(self, entry: _Entry) -> None:
        while entry.users:
            entry.idle.clear()
            await entry.idle.wait()
        await self._end(entry)

    async def _end(self, entry: _Entry) -> None:
        life, entry.life = entry.life, None
        engine, entry.engine = entry.engine, None
        if engine is not None:
            await engine.close()
        if life is not None:
            life.cancel()
            await asyncio.gather(life, return_exceptions=True)
        entry.leaving = None
        self._unseat(entry)
        self._feed.post(ModelStatus(entry.source.id, ModelState.UNLOADED, entry.source.engine))

    def _unseat(self, entry: _Entry) -> None:
        entry.seated = False
        entry.cores = ()
        self._divide_cores()

    def _divide_cores(self) -> None:
        """Gives every loaded model its cores anew."""
        wanted = {m: e.source.cores for m, e in self._entries.items() if e.seated}
        for model, cores in divide_cores(self._available, wanted).items():
            entry = self._entries[model]
            if entry.cores == cores:
                continue
            entry.cores = cores
            self._post(entry, cores=cores)
            if entry.engine is not None:
                entry.engine.set_cores(cores)

    def _post(self, entry: _Entry, **changes: Any) -> None:
        self._feed.post(replace(self._feed.latest[entry.source.id], **changes))

    def _entry(self, model: str) -> _Entry:
        entry = self._entries.get(model)
        if entry is None:
            raise NotFound("model", model, self._entries)
        return entry
