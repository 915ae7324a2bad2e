"""In-process engines whose life a fleet can watch, for tests of the rooms above the engines."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from quorate.engines.shared_rows import WorkDone
from quorate.engines.spec import EngineSpec
from quorate.engines.worker.statuses import Activity, StatusBoard, WorkerPhase, WorkerStatus
from quorate.errors import ModelUnusable
from quorate.fleet.fleet import Fleet
from quorate.fleet.life_cycle import ModelSource
from support.in_process import InProcessEngine
from support.scripted_models import scripted_model


class ManagedInProcess(InProcessEngine):
    """An in-process engine with the life of a worker, played by hand."""

    def __init__(self, spec: EngineSpec, cores: Sequence[int], ready: bool = True) -> None:
        super().__init__(spec.model, scripted_model(**spec.options))
        self.board = StatusBoard()
        self.cores = tuple(cores)
        self.wedged = False
        self._done = WorkDone()
        if ready:
            self.become(WorkerPhase.READY)

    def become(self, phase: WorkerPhase, message: str = "") -> None:
        self.board.post(WorkerStatus(phase, message))

    def watch(self) -> AsyncIterator[WorkerStatus]:
        return self.board.watch()

    def set_cores(self, cores: Sequence[int]) -> None:
        self.cores = tuple(cores)

    def memory_bytes(self) -> int:
        return 4096

    @property
    def activity(self) -> Activity:
        return Activity(self._done, sessions=int(self._done.steps > 0))

    def step(self, waited_seconds: float) -> None:
        """Notes a step of ten milliseconds."""
        done, cores = self._done, len(self.cores)
        self._done = WorkDone(
            done.steps + 1,
            done.computed_seconds + 0.01,
            done.core_seconds + 0.01 * cores,
            done.waited_seconds + waited_seconds,
        )

    @property
    def worker_pid(self) -> int | None:
        return None

    @property
    def kv_usage(self) -> float | None:
        return 0.0

    @property
    def restarts(self) -> int:
        return 0

    async def close(self) -> None:
        await super().close()
        self.become(WorkerPhase.STOPPED)


class Cast:
    """Starts in-process engines for a fleet and remembers them by model."""

    def __init__(self, ready: bool = True) -> None:
        self.engines: dict[str, ManagedInProcess] = {}
        self._ready = ready

    def start(self, spec: EngineSpec, cores: Sequence[int]) -> ManagedInProcess:
        engine = ManagedInProcess(spec, cores, self._ready)
        self.engines[spec.model] = engine
        return engine


def scripted_source(model: str, *, cores: int | None = None, **options: Any) -> ModelSource:
    async def prepare(on_progress: Any) -> EngineSpec:
        return EngineSpec(model, "scripted", "", options)

    return ModelSource(model, "scripted", prepare, cores)


def broken_source(model: str, problem: str) -> ModelSource:
    async def prepare(on_progress: Any) -> EngineSpec:
        raise ModelUnusable(model, problem)

    return ModelSource(model, "scripted", prepare)


async def loaded_fleet(cast: Cast, **models: dict[str, Any]) -> Fleet:
    """A fleet of scripted models, all loaded: ``loaded_fleet(cast, a={"seed": 1})``."""
    fleet = Fleet(cast.start, (0, 1))
    for model, options in models.items():
        fleet.add(scripted_source(model, **options))
    for model in models:
        await fleet.load(model)
    return fleet
