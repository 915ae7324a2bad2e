"""From the configuration's models, by way of the registry, to sources the fleet can load."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from quorate.engines.fleet import ModelSource
from quorate.engines.spec import EngineSpec
from quorate.errors import CannotRun, ModelUnusable, NotFound
from quorate.settings import ModelSettings, is_path
from quorate_registry import Registry, RegistryError


class Sources:
    """Finds models' files.

    Args:
        registry: Knows the catalogue and downloads.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def configured(self, model: ModelSettings) -> ModelSource:
        """The source of a model of the configuration."""

        async def prepare(on_progress: Callable[[float], None]) -> EngineSpec:
            path = await self._file(model, on_progress) if model.model else ""
            return EngineSpec(model.id, model.engine, path, dict(model.options))

        return ModelSource(model.id, model.engine, prepare, model.cores or None)

    def find(self, name: str) -> ModelSource:
        """The source of a model that is only in the registry.

        Paths are not looked up: a caller of the service must not choose files of this machine.

        Raises:
            NotFound: The registry has no such model.
            CannotRun: One of the registry's manifests is broken.
        """
        try:
            known = {entry.manifest.id: entry.manifest for entry in self._registry.list()}
        except RegistryError as error:
            raise CannotRun("registry", str(error)) from error
        manifest = known.get(name)
        if manifest is None or is_path(name):
            raise NotFound("model", name, known)
        return self.configured(ModelSettings(model=name, id=manifest.id, engine=manifest.engine))

    async def _file(self, model: ModelSettings, on_progress: Callable[[float], None]) -> str:
        """Path of a model's file, downloaded where it must be.

        Cancelling ends a download at its next report, not only the wait for it: the process could
        not exit before its thread does.
        """
        loop = asyncio.get_running_loop()
        left = threading.Event()

        def report(done_bytes: int, total_bytes: int) -> None:
            if left.is_set():
                raise _Abandoned
            if total_bytes:
                loop.call_soon_threadsafe(on_progress, done_bytes / total_bytes)

        try:
            if not is_path(model.model):
                await asyncio.to_thread(self._registry.pull, model.model, report)
            return str(self._registry.resolve(model.model).path)
        except RegistryError as error:
            raise ModelUnusable(model.id, str(error)) from error
        finally:
            left.set()


class _Abandoned(Exception):
    """Nobody waits for this download any more."""
