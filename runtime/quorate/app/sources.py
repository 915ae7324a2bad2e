"""From the configuration's models, by way of the registry, to sources the fleet can load."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from quorate.app.registry import engine_of
from quorate.engines.registry import default_engine, find_engine
from quorate.engines.spec import EngineSpec
from quorate.errors import CannotRun, ModelUnusable, NotFound
from quorate.files import is_path
from quorate.fleet.life_cycle import ModelSource
from quorate.settings import ModelSettings
from quorate.settings.models import check_options
from quorate_registry import FileKind, Registry, RegistryError, ResolvedModel

_ONE = {FileKind.GGUF: "a single file", FileKind.CHECKPOINT: "a checkpoint folder"}
_MANY = {FileKind.GGUF: "single GGUF files", FileKind.CHECKPOINT: "checkpoint folders"}


class Sources:
    """Finds models' files, by way of the registry's catalogue and downloads."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def settled(self, models: Sequence[ModelSettings]) -> tuple[ModelSettings, ...]:
        """The models of the configuration, each with the engine that is to run it.

        Where none is named, it is the one that runs files of the model's kind by default.

        Raises:
            SettingsError: A model has options of another engine; names the key.
        """
        return tuple(
            self.settle(model, f"models[{index}].options") for index, model in enumerate(models)
        )

    def settle(self, model: ModelSettings, where: str) -> ModelSettings:
        """One model with its engine; ``where`` its options stand, for messages.

        Raises:
            SettingsError: It has options of another engine.
        """
        if model.engine:
            return model
        try:
            engine = self._default_engine(model.model)
        except RegistryError:
            # Of a model that is not known; loading it tells what is wrong.
            engine = default_engine(FileKind.GGUF)
        check_options(engine, model.options, where)
        return replace(model, engine=engine)

    def _default_engine(self, name: str) -> str:
        if is_path(name):
            return default_engine(self._registry.kind(name))
        return engine_of(self._registry.get(name))

    def configured(self, model: ModelSettings) -> ModelSource:
        """The source of a model of the configuration.

        Raises:
            SettingsError: Its engine is not settled, and it has options of another one.
        """
        model = self.settle(model, f"model {model.id}: options")

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
        return self.configured(ModelSettings(model=name, id=name, engine=engine_of(entry)))

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
            resolved = self._registry.resolve(model.model)
            refuse_other_kind(model, resolved)
            return str(resolved.path)
        except RegistryError as error:
            raise ModelUnusable(model.id, str(error)) from error
        except RuntimeError as error:
            # Of all that is done on threads this alone is too long for the event loop.
            raise ModelUnusable(model.id, f"cannot be downloaded now: {error}") from error
        finally:
            left.set()


def refuse_other_kind(model: ModelSettings, resolved: ResolvedModel) -> None:
    """Checks that the engine somebody chose can load what the model is.

    Raises:
        ModelUnusable: It cannot.
    """
    files = find_engine(model.engine).files
    if files and files != resolved.kind:
        problem = f"{resolved.path} is {_ONE[resolved.kind]}, and {model.engine} loads "
        problem += f"{_MANY[FileKind(files)]}; leave engine out to get the other one"
        raise ModelUnusable(model.id, problem)


class _Abandoned(Exception):
    """Nobody waits for this download any more."""
