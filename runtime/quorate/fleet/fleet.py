"""The models of this service: which there are, and who holds them while using them."""

from __future__ import annotations

import asyncio
import builtins
import logging
import math
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from quorate.engines.contract import Engine
from quorate.errors import ModelUnusable, NotFound, QuorateError, Unavailable
from quorate.fleet.changes import StatusFeed
from quorate.fleet.cores import CoreClaims, Cores
from quorate.fleet.life_cycle import LifeCycle, ModelSource, StartEngine
from quorate.fleet.placement import Placement
from quorate.fleet.status import ModelState, ModelStatus
from quorate.guides.guides import Guides

_REVIEW_AFTER_ERROR_SECONDS = 10.0

_log = logging.getLogger(__name__)


class Mustered(NamedTuple):
    """The models of one request.

    Attributes:
        engines: Of those that live, ready or not, by model.
        away: Why those that are not ready, or have no engine at all, were lost.
    """

    engines: dict[str, Engine]
    away: dict[str, Unavailable]


class Fleet:
    """Owns the models. All calls belong on one event loop.

    Args:
        start: Starts an engine and returns at once, while it still loads.
        cores: Processor cores on which the loaded models compute.
        find: Finds a source for a name that is not configured; raises NotFound.
        claims: As ``Placement`` takes it.
        guides: What answers must be, over the symbols of these models.
    """

    def __init__(
        self,
        start: StartEngine,
        cores: Cores | Sequence[int],
        find: Callable[[str], ModelSource] | None = None,
        claims: CoreClaims | None = None,
        guides: Guides | None = None,
    ) -> None:
        self.guides = guides or Guides()
        self._start = start
        self._claims = claims
        self._placement = Placement(cores, claims)
        self._find = find
        self._review: asyncio.TimerHandle | None = None
        self._models: dict[str, LifeCycle] = {}
        self._feed = StatusFeed()

    def add(self, source: ModelSource) -> None:
        """Makes a model known, not loaded."""
        self._models[source.id] = LifeCycle(source, self._start, self._placement, self._feed)

    @property
    def statuses(self) -> dict[str, ModelStatus]:
        """Every model's status by id, without its memory; cheap, not to be changed."""
        return self._feed.latest

    def list(self) -> builtins.list[ModelStatus]:
        """Every model's status with the memory it takes now."""
        return [model.status for model in self._models.values()]

    def get(self, model: str) -> ModelStatus:
        """One model's status with the memory it takes now.

        Raises:
            NotFound: No such model.
        """
        return self._known(model).status

    def kv_usage(self, model: str) -> float | None:
        """Share of a model's KV cache that sessions have reserved; None while it is not known."""
        engine = self._known(model).engine
        return None if engine is None else engine.kv_usage

    def restarts(self, model: str) -> int:
        """How often a model's process was started again since it was loaded."""
        engine = self._known(model).engine
        return 0 if engine is None else engine.restarts

    def process_ids(self) -> dict[str, int]:
        """The process of each model that runs in one of its own now."""
        found = {
            name: model.engine.worker_pid
            for name, model in self._models.items()
            if model.engine is not None
        }
        return {name: pid for name, pid in found.items() if pid is not None}

    def wedged(self, model: str) -> bool:
        """Whether a model is loaded and stuck."""
        engine = self._known(model).engine
        return engine is not None and engine.wedged

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
        if model not in self._models and self._find is not None:
            source = self._found(model, self._find)
            model = source.id
            if model not in self._models:
                self.add(source)
        self._known(model).load()
        if self._review is None:
            self._review_placement()
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

    async def unload(
        self, model: str, patience_seconds: float = math.inf, *, force: bool = False
    ) -> ModelStatus:
        """Unloads a model once nobody uses it; goes on when the caller is cancelled.

        Args:
            model: Its id.
            patience_seconds: How long those who use it are waited for.
            force: Whether they lose it then; else it stays.

        Raises:
            NotFound: No such model.
            DeadlinePassed: It is still used, and stays.
        """
        await self._known(model).unload(patience_seconds, force)
        return self.get(model)

    @contextmanager
    def muster(self, models: Sequence[str]) -> Iterator[Mustered]:
        """Holds models for one request, also those that served and were lost since.

        Raises:
            NotFound: An unknown model.
            ModelUnusable: A model that failed before it ever was ready, or is not loaded.
            Unavailable: A model that was not ready yet, or is being unloaded.
        """
        known = {model: self._known(model) for model in models}
        away = {model: why for model, one in known.items() if (why := one.away()) is not None}
        held = {
            model: (one, engine)
            for model, one in known.items()
            if (engine := one.living_engine()) is not None
        }
        uses = [one.hold() for one, _ in held.values()]
        try:
            yield Mustered({model: engine for model, (_, engine) in held.items()}, away)
        finally:
            for use in uses:
                use.end()

    async def close(self) -> None:
        """Ends every model at once, and every guide, also those in use."""
        if self._review is not None:
            self._review.cancel()
        await asyncio.gather(*(model.end() for model in self._models.values()), self.guides.close())
        if self._claims is not None:
            self._claims.release()

    def _review_placement(self) -> None:
        loop = asyncio.get_running_loop()
        again = _REVIEW_AFTER_ERROR_SECONDS
        try:
            again = self._placement.review(loop.time())
        except QuorateError as error:
            # As where the machine has fewer cores than when the server was started.
            _log.warning("models cannot be moved to other cores: %s", error.message)
        self._review = loop.call_later(again, self._review_placement)

    def _found(self, model: str, find: Callable[[str], ModelSource]) -> ModelSource:
        """The source of a name that is not configured; the nearest one may well be."""
        try:
            return find(model)
        except NotFound as error:
            own = NotFound("model", model, self._models)
            raise (own if own.nearest else error) from None

    def _known(self, model: str) -> LifeCycle:
        known = self._models.get(model)
        if known is None:
            raise NotFound("model", model, self._models)
        return known
