"""From the configuration's models, by way of the registry, to sources the fleet can load."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from quorate.engines.spec import EngineSpec
from quorate.errors import CannotRun, ModelUnusable, NotFound
from quorate.fleet.fleet import ModelSource
from quorate.settings import ModelSettings, is_path
from quorate.settings.models import check_options
from quorate_registry import Registry, RegistryError

_FALLBACK_ENGINE = "llama_cpp"
"""Of models that are not known; loading them tells what is wrong."""


class Sources:
    """Finds models' files.

    Args:
        registry: Knows the catalogue and downloads.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def settled(self, models: Sequence[ModelSettings]) -> tuple[ModelSettings, ...]:
        """The models of the configuration, each with the engine that is to run it.

        Where none is named, a checkpoint gets vllm and a single file llama_cpp.

        Raises:
            SettingsError: A model has options of another engine; names the key.
        """
        return tuple(
            self._settled(model, f"models[{index}].options") for index, model in enumerate(models)
        )

    def _settled(self, model: ModelSettings, where: str) -> ModelSettings:
        if model.engine:
            return model
        try:
            engine = self._registry.default_engine(model.model)
        except RegistryError:
            engine = _FALLBACK_ENGINE
        check_options(engine, model.options, where)
        return replace(model, engine=engine)

    def configured(self, model: ModelSettings) -> ModelSource:
        """The source of a model of the configuration.

        Raises:
            SettingsError: Its engine is not settled, and it has options of another one.
        """
        model = self._settled(model, f"model {model.id}: options")

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
            known = {entry.manifest.id: entry for entry in self._registry.list()}
        except RegistryError as error:
            raise CannotRun("registry", str(error)) from error
        entry = known.get(name)
        if entry is None or is_path(name):
            raise NotFound("model", name, known)
        return self.configured(ModelSettings(model=name, id=name, engine=entry.engine))

    async def _file(self, model: ModelSettings, on_progress: Callable[[float], None]) -> str:
        """Path of a model's file or checkpoint, downloaded where it must be.

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
            path = self._registry.resolve(model.model).path
            _refuse_other_kind(model, path)
            return str(path)
        except RegistryError as error:
            raise ModelUnusable(model.id, str(error)) from error
        finally:
            left.set()


def _refuse_other_kind(model: ModelSettings, path: Path) -> None:
    """Checks that the engine somebody chose can load what the model is."""
    if model.engine == "llama_cpp" and path.is_dir():
        problem = f"{path} is a checkpoint folder, and llama_cpp loads single GGUF files"
    elif model.engine == "vllm" and path.is_file():
        problem = f"{path} is a single file, and vllm loads checkpoint folders"
    else:
        return
    raise ModelUnusable(model.id, f"{problem}; leave engine out to get the other one")


class _Abandoned(Exception):
    """Nobody waits for this download any more."""
