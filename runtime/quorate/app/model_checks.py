"""Checks of configured models against their files, their engines and this machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

from quorate.app.findings import Finding, Level, fatals
from quorate.app.sources import Sources, refuse_other_kind
from quorate.engines.registry import EngineRegistration, find_engine
from quorate.errors import ModelUnusable, SettingsError
from quorate.files import is_path
from quorate.fleet.status import ModelState, ModelStatus
from quorate.settings import ModelSettings
from quorate_registry import (
    CheckpointFacts,
    GgufFacts,
    ModelNotPresent,
    Registry,
    RegistryError,
)
from quorate_registry import ModelState as FileState
from quorate_registry.hub import is_offline
from quorate_registry.sizes import human_size

_USUAL_CONTEXT = 8192
"""Context that engines give a model whose own is longer, where the options say nothing."""


@dataclass(frozen=True, slots=True)
class CheckedModel:
    """A model of the configuration as far as it is known before it is loaded.

    Attributes:
        findings: What is wrong with it.
        status: As if it were ready; None where too little is known.
        memory_bytes: What it will take; None where nobody can tell.
        absent: Why there is nothing to load, or nothing to load it with: those of ``findings`` that
            keep the service from starting only where no other model is left to serve.
    """

    findings: tuple[Finding, ...] = ()
    status: ModelStatus | None = None
    memory_bytes: int | None = None
    absent: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class _Found:
    """The files of a model, if they are here, and what their headers say."""

    facts: GgufFacts | CheckpointFacts | None = None
    path: str = ""
    finding: Finding | None = None


def check_model(model: ModelSettings, index: int, registry: Registry, cores: int) -> CheckedModel:
    """Checks one model.

    A model that is loaded on demand may find its files later, so that what is wrong with it does
    not keep the service from starting; nor does anything that is wrong with the files of a model
    that nobody requires: it fails alone.

    Args:
        model: As configured; one that could not be read is passed over.
        index: Its place in the configuration.
        registry: Knows models and their files.
        cores: Processor cores of this machine.
    """
    where = f"models[{index}]"
    if not (model.model or model.engine):
        return CheckedModel()
    level = Level.FATAL if model.load and model.required else Level.ERROR
    try:
        model = Sources(registry).settle(model, f"{where}.options")
        engine = find_engine(model.engine)
        options = engine.options.from_mapping(model.options, f"{where}.options")
    except SettingsError as error:
        return CheckedModel(tuple(fatals(error)))
    found = _find(model, engine, where, level, registry) if engine.files else _Found()
    unfit = list(_check_context(options, found.facts, where, level))
    unfit = unfit or list(_check_engine(model, engine, found, where, level))
    lacking = [found.finding] if found.finding else []
    absent = (
        *_check_library(engine, where, level),
        *(one for one in lacking if one.level is not Level.WARNING),
    )
    fetched = [one for one in lacking if one.level is Level.WARNING]
    findings = [*_check_cores(model, where, cores), *absent, *unfit, *fetched]
    status = None if found.finding else _status(model, engine, options, found.facts)
    return CheckedModel(tuple(findings), status, _memory(options, found.facts), absent)


def refuse_nothing_to_serve(
    models: Sequence[ModelSettings], checked: Sequence[CheckedModel]
) -> list[CheckedModel]:
    """Makes it fatal that models are absent, where all are that would be loaded at start."""
    at_start = [one for model, one in zip(models, checked, strict=True) if model.load]
    if not at_start or not all(one.absent for one in at_start):
        return list(checked)
    return [
        replace(one, findings=tuple(_fatal_among(one.findings, one.absent))) if model.load else one
        for model, one in zip(models, checked, strict=True)
    ]


def _fatal_among(findings: Sequence[Finding], absent: Sequence[Finding]) -> Iterator[Finding]:
    for finding in findings:
        yield replace(finding, level=Level.FATAL) if finding in absent else finding


def check_memory(
    models: Sequence[ModelSettings], checked: Sequence[CheckedModel], memory_bytes: int
) -> Iterator[Finding]:
    """Warns where the models that are loaded at start take more memory than the machine has."""
    wanted = [
        (model.id, one.memory_bytes)
        for model, one in zip(models, checked, strict=True)
        if model.load and one.memory_bytes is not None
    ]
    total = sum(needed for _, needed in wanted)
    if total <= memory_bytes:
        return
    each = ", ".join(f"{name} {needed / 1e9:.1f}" for name, needed in wanted)
    yield Finding(
        Level.WARNING,
        "models",
        f"they take some {total / 1e9:.1f} GB ({each}), and this machine has "
        f"{memory_bytes / 1e9:.1f} GB; leave one out, or lower cells or context_length",
    )


def _find(
    model: ModelSettings, engine: EngineRegistration, where: str, level: Level, registry: Registry
) -> _Found:
    key = f"{where}.model"
    try:
        resolved = registry.resolve(model.model)
        refuse_other_kind(model, resolved)
        return _Found(registry.inspect(model.model), str(resolved.path))
    except ModelNotPresent as error:
        if _comes_from_the_hub(model, registry):
            return _Found(finding=_to_be_fetched(model, key, level, registry))
        return _Found(finding=Finding(level, key, _line(error)))
    except RegistryError as error:
        return _Found(finding=Finding(level, key, _line(error)))
    except ModelUnusable as error:
        return _Found(finding=Finding(level, f"{where}.engine", error.problem))
    except OSError as error:
        problem = f"{model.model} cannot be read: {error.strerror}"
        return _Found(finding=Finding(level, key, problem))


def _comes_from_the_hub(model: ModelSettings, registry: Registry) -> bool:
    return not is_path(model.model) and registry.get(model.model).state is FileState.AVAILABLE


def _to_be_fetched(
    model: ModelSettings, key: str, level: Level, registry: Registry
) -> Finding | None:
    """What is not here yet is downloaded before it is loaded, if anything may be."""
    absent = f"{model.model} is not on this machine"
    if is_offline():
        problem = f"{absent}, and HF_HUB_OFFLINE forbids to download it"
        return Finding(level, key, f"{problem}; run quorate models pull {model.model} without it")
    size = getattr(registry.get(model.model).manifest.source, "approximate_bytes", None)
    amount = f"some {human_size(size)}" if size else "nobody knows how much"
    when = "at the start" if model.load else "when somebody loads it"
    problem = f"{absent}, and is downloaded {when} ({amount})"
    return Finding(
        Level.WARNING, key, f"{problem}; to have it before: quorate models pull {model.model}"
    )


def _check_cores(model: ModelSettings, where: str, cores: int) -> Iterator[Finding]:
    if model.cores > cores:
        yield Finding(
            Level.ERROR,
            f"{where}.cores",
            f"is {model.cores}, and this machine has {cores}; give at most that, or 0",
        )


def _check_library(engine: EngineRegistration, where: str, level: Level) -> Iterator[Finding]:
    if engine.library and find_spec(engine.library) is None:
        problem = f"{engine.name} needs the package {engine.library}, which is not installed"
        yield Finding(level, f"{where}.engine", problem)


def _check_engine(
    model: ModelSettings, engine: EngineRegistration, found: _Found, where: str, level: Level
) -> Iterator[Finding]:
    """What the engine itself has against the files, by their headers."""
    if not found.path:
        return
    try:
        engine.check(found.path, model.options)
    except ModelUnusable as error:
        yield Finding(level, f"{where}.model", f"{model.model} cannot run: {error.problem}")


def _check_context(
    options: Any, facts: GgufFacts | CheckpointFacts | None, where: str, level: Level
) -> Iterator[Finding]:
    """How far scaling reaches, by the options or in a checkpoint, the engine tells at the load."""
    if not isinstance(facts, GgufFacts):
        return
    wanted = getattr(options, "context_length", 0)
    scaled = any(getattr(options, f"rope_freq_{name}", 0.0) for name in ("base", "scale"))
    reached = facts.scaled_context_length
    if wanted > reached > 0 and not scaled:
        yield Finding(
            level,
            f"{where}.options.context_length",
            f"is {wanted}, and the model was trained for {reached} tokens; give at most that, or 0",
        )


def _reached(facts: GgufFacts | CheckpointFacts | None) -> int:
    if facts is None:
        return 0
    return facts.scaled_context_length if isinstance(facts, GgufFacts) else facts.context_length


def _status(
    model: ModelSettings,
    engine: EngineRegistration,
    options: Any,
    facts: GgufFacts | CheckpointFacts | None,
) -> ModelStatus | None:
    """The model as it would be, as far as that decides which votes it can take part in."""
    if isinstance(facts, GgufFacts):
        vocabulary = facts.first_tokens and f"{facts.tokenizer} {facts.first_tokens}"
    else:
        vocabulary = engine.vocabulary(options)
    if not vocabulary:
        return None
    return ModelStatus(
        model.id,
        ModelState.READY,
        model.engine,
        context_length=_context(options, facts),
        vocabulary_fingerprint=vocabulary,
        has_bytes=True,
        sessions=getattr(options, "sessions", 0),
    )


def _memory(options: Any, facts: GgufFacts | CheckpointFacts | None) -> int | None:
    if facts is None:
        return None
    return facts.memory_estimate(getattr(options, "cells", 0) or _context(options, facts))


def _context(options: Any, facts: GgufFacts | CheckpointFacts | None) -> int:
    wanted: int = getattr(options, "context_length", 0)
    return wanted or min(_reached(facts) or _USUAL_CONTEXT, _USUAL_CONTEXT)


def _line(error: RegistryError) -> str:
    return " ".join(str(error).split())
