"""Which engines there are. Each is a folder beside this file that registers itself.

A folder is an engine if it has a module ``registration`` with an ``EngineRegistration`` in
``ENGINE``. Nothing else lists engines, so one more folder is all that one more engine takes.
Registrations are read in every process and import nothing heavy: a loader is named as text and
imported in the worker that calls it.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeAlias

import quorate.engines
from quorate.engines.confinement.plan import Needs
from quorate.errors import SettingsError

if TYPE_CHECKING:
    from quorate.engines.prompt_encoding import PromptEncoder
    from quorate.engines.scheduler.contract import BatchModel

OnProgress: TypeAlias = Callable[[float], None]
"""Told the loaded fraction, in [0, 1]."""


class EngineOptions(Protocol):
    """Options of an engine: a frozen dataclass whose fields all have defaults."""

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any], where: str) -> Self:
        """Reads options as they stand in a configuration file.

        Args:
            mapping: Option names and values.
            where: Where they stand, for messages, such as ``models.a.options``.

        Raises:
            SettingsError: An unknown name, a wrong type or a value out of range.
        """
        ...


@dataclass(frozen=True, slots=True)
class EngineRegistration:
    """One engine.

    Attributes:
        name: What configurations call it.
        options: The class of its options.
        loader: ``module:function`` of what loads a model inside the worker: called with a path,
            options, a thread count and an ``OnProgress``, it returns a ``BatchModel``. It raises
            ``ModelUnusable`` where the model can never be loaded here.
        files: What its models are, in the words of the registry of models: ``gguf`` or
            ``checkpoint``; "" for an engine whose models need no files.
        default: Whether it runs models of that kind where nobody chooses an engine.
        environment: Says which variables its worker needs from its first moment, beside those of
            the environment that it is given.
        check_files: Says, by a ``ModelUnusable``, why a path and options can never become a model,
            by headers alone; see ``check``.
        encoder: ``module:function`` of what loads a model's tokenizer alone, for a process that
            does nothing but encode: called with a path and options, it returns a
            ``PromptEncoder``; "" for an engine whose workers encode beside everything else.
        library: Package that its worker imports, which may not be installed; "" needs none.
        needs: Says what its processes must be able to reach, of a path and options that have been
            read; where it is not given, what the path names.
        prepare: Finds out what its workers cannot find out themselves: called with options that
            have been read before a worker is started, on a thread, where it may take seconds; it
            returns options for the worker, to be put in the place of those it was given. It raises
            nothing.
        doubt: Says, of options that have been read, what is known here to make models of this
            engine slow, and what to do about it; "" where nothing is.
        vocabulary: Tells of options that have been read what vocabulary they choose, for engines
            whose models need no files; equal texts can vote token by token.
    """

    name: str
    options: type[EngineOptions]
    loader: str
    files: str = ""
    default: bool = False
    environment: Callable[[Mapping[str, str]], dict[str, str]] = lambda base: {}
    check_files: Callable[[str, Any], None] = lambda path, options: None
    encoder: str = ""
    library: str = ""
    needs: Callable[[str, Any], Needs] = lambda path, options: Needs(reads=(path,) if path else ())
    prepare: Callable[[Any], Mapping[str, Any]] = lambda options: {}
    doubt: Callable[[Any], str] = lambda options: ""
    vocabulary: Callable[[Any], str] = lambda options: ""

    def check(self, path: str, options: Mapping[str, Any]) -> None:
        """Refuses a model that can never be loaded, as far as headers and options tell.

        Nothing is loaded and nothing heavy imported: for configurations, before anything runs.

        Raises:
            ModelUnusable: Says why not, in one line.
            SettingsError: The options are wrong.
        """
        self.check_files(path, self.options.from_mapping(options, "options"))

    def load(
        self, path: str, options: Mapping[str, Any], threads: int, on_progress: OnProgress
    ) -> BatchModel:
        """Loads a model into this process; see ``EngineSpec`` for path and options.

        Raises:
            ModelUnusable: It can never be loaded here.
            SettingsError: The options are wrong.
        """
        read = self.options.from_mapping(options, "options")
        model: BatchModel = _named(self.loader)(path, read, threads, on_progress)
        return model

    def load_encoder(self, path: str, options: Mapping[str, Any]) -> PromptEncoder:
        """Loads a model's tokenizer into this process; see ``load``, which raises the same.

        How long prompts may be must still be told it: see ``PromptEncoder.set_context_length``.
        """
        read = self.options.from_mapping(options, "options")
        encoder: PromptEncoder = _named(self.encoder)(path, read)
        return encoder


def _named(target: str) -> Callable[..., Any]:
    module, _, function = target.partition(":")
    named: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return named


@cache
def engines() -> Mapping[str, EngineRegistration]:
    """Every engine by name, in alphabetical order."""
    found = [
        importlib.import_module(module).ENGINE
        for folder in pkgutil.iter_modules(quorate.engines.__path__, "quorate.engines.")
        if folder.ispkg and importlib.util.find_spec(module := f"{folder.name}.registration")
    ]
    return MappingProxyType(
        {engine.name: engine for engine in sorted(found, key=lambda one: one.name)}
    )


def find_engine(name: str) -> EngineRegistration:
    """The engine of that name.

    Raises:
        SettingsError: There is none.
    """
    engine = engines().get(name)
    if engine is None:
        raise SettingsError(f"no engine named {name!r}; known: {', '.join(engines())}")
    return engine


def default_engine(files: str) -> str:
    """Name of the engine that a kind of files, which must have one, is loaded with by default."""
    return next(one.name for one in engines().values() if one.default and one.files == files)


def process_environment(engine: str, base: Mapping[str, str]) -> dict[str, str]:
    """Variables that an engine's worker needs from its first moment, beside those of ``base``.

    None for an engine that there is not: its worker says so.
    """
    known = engines().get(engine)
    return {} if known is None else known.environment(base)


def process_needs(engine: str, path: str, options: Mapping[str, Any]) -> Needs:
    """What the processes of a model must be able to reach; see ``EngineSpec``.

    No more than its path for an engine that there is not, and for options that are wrong: its
    worker says so.
    """
    known = engines().get(engine)
    if known is not None:
        with suppress(SettingsError):
            return known.needs(path, known.options.from_mapping(options, "options"))
    return Needs(reads=(path,) if path else ())


def prepared_options(engine: str, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The options a worker is started with; may take seconds, see ``EngineRegistration.prepare``.

    As they are for an engine that there is not, and where they are wrong: its worker says so.
    """
    known = engines().get(engine)
    if known is not None:
        with suppress(SettingsError):
            return {**options, **known.prepare(known.options.from_mapping(options, "options"))}
    return options


def known_doubt(engine: str, options: Mapping[str, Any]) -> str:
    """What is known to make models of an engine slow here; see ``EngineRegistration.doubt``."""
    known = engines().get(engine)
    if known is not None:
        with suppress(SettingsError):
            return known.doubt(known.options.from_mapping(options, "options"))
    return ""
