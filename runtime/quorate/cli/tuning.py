"""What ``quorate tune`` has to know of a configuration: models, plans, what would be wrong."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quorate_bench.machine import available_bytes
from quorate_bench.sweep import BenchPlan
from quorate_bench.tuning.configuration import Configuration, plan_of_profile
from quorate_bench.tuning.facts import Subject, TunedModel, Workload
from quorate_bench.tuning.space import Space, space_of
from quorate_bench.tuning.variants import QUANTISATION, Variant

from quorate.app.checking import Place, check_quickly
from quorate.app.findings import Level
from quorate.app.sources import Sources
from quorate.costs.machine import this_machine
from quorate.engines.registry import EngineRegistration, find_engine
from quorate.errors import NotFound, QuorateError, SettingsError
from quorate.files import read_file
from quorate.fleet.cores import machine_cores
from quorate.settings import ModelSettings, Settings, load_toml, parse_settings
from quorate_registry import GgufFacts, Registry, RegistryError


@dataclass(frozen=True, slots=True)
class Prepared:
    """A configuration that can be tuned.

    Attributes:
        space: What is worth trying.
        configuration: As it stands in the file.
        paths: Of the models that are tuned, by id; those without files are not among them.
    """

    space: Space
    configuration: Configuration
    paths: dict[str, Path]


def prepared(
    config: Path,
    profiles: Sequence[str],
    workload: Workload,
    registry: Registry,
    quantised: Callable[[Path, str], Path],
    only: Sequence[str] = (),
    *,
    other_answers: bool,
) -> Prepared:
    """Reads a configuration and says what of it is worth trying.

    Args:
        config: The file.
        profiles: Names of those whose answers count; none are all, and without any in the file
            each model by itself.
        workload: The work that counts.
        registry: Of models.
        quantised: Makes the file of another type of a model, or finds it.
        only: Names of the only settings to try; none are all.
        other_answers: Whether settings that change answers are tried too.

    Raises:
        SettingsError: The configuration cannot be read or served, or there is no such profile or
            setting.
    """
    settings, tables = _read(config, registry)
    plans = _plans(settings, tables, profiles)
    named = {model for plan in plans for model in plan.models}
    models, paths, engines = [], {}, {}
    for index, model in enumerate(settings.models):
        if model.id not in named:
            continue
        settled = Sources(registry).settle(model, f"models[{index}].options")
        path = _path(settled, registry, config, index)
        if path is not None:
            paths[model.id] = path
        engines[model.id] = settled.engine
        models.append(_tuned(settled, path, registry))
    cores = machine_cores()
    subject = Subject(
        tuple(models), plans, workload, cores.threads,
        settings.fleet.pin_cores if cores.pin else None,
        float(available_bytes()), other_answers, _one_at_a_time(models),
    )  # fmt: skip
    ids = tuple(model.id for model in settings.models)
    configuration = Configuration(_text(config), tables, ids, paths, engines, quantised)

    def problem(variant: Variant) -> str:
        """What the settings have against it; a type to be made is looked at when it is made."""
        try:
            parse_settings(configuration.changed(_without_files(variant)), config.parent)
        except QuorateError as error:
            return error.message
        return ""

    return Prepared(space_of(subject, problem, only), configuration, paths)


def _read(config: Path, registry: Registry) -> tuple[Settings, dict[str, Any]]:
    settings, findings = check_quickly(config, Place(registry))
    for finding in findings:
        if finding.level is Level.FATAL:
            raise SettingsError(f"{config}: {finding.line}")
    if not settings.models:
        raise SettingsError(f"{config}: models: there are none to tune")
    return settings, load_toml(config)


def _one_at_a_time(models: Sequence[TunedModel]) -> bool:
    """Whether two servers of these models would be in each other's way, idle or not.

    Memory of GPUs is not counted here, and engines that take a share of the memory take all of it.
    """
    return bool(this_machine().gpus) or any("memory_fraction" in one.options for one in models)


def _text(config: Path) -> str:
    return read_file(config, "name a configuration file").decode("utf-8-sig")


def _plans(
    settings: Settings, tables: dict[str, Any], profiles: Sequence[str]
) -> tuple[BenchPlan, ...]:
    known = tables.get("profiles", {})
    for name in profiles:
        if name not in known:
            raise SettingsError(f"--profile: {NotFound('profile', name, list(known)).message}")
    wanted = list(dict.fromkeys(profiles)) or list(known)
    if wanted:
        return tuple(plan_of_profile(name, known[name]) for name in wanted)
    return tuple(BenchPlan(one.id, {"model": one.id}, (one.id,)) for one in settings.models)


def _path(model: ModelSettings, registry: Registry, config: Path, index: int) -> Path | None:
    if not find_engine(model.engine).files:
        return None
    try:
        return registry.resolve(model.model).path
    except RegistryError as error:
        told = " ".join(str(error).split())
        raise SettingsError(f"{config}: models[{index}].model: {told}") from error


def _tuned(model: ModelSettings, path: Path | None, registry: Registry) -> TunedModel:
    engine = find_engine(model.engine)
    options = engine.options.from_mapping(model.options, "options")
    values = dataclasses.asdict(options)  # type: ignore[call-overload]
    facts = registry.inspect(str(path)) if path is not None else None
    context = 0
    fixed, cell, size, bits = 0.0, 0.0, 0, 0.0
    if facts is not None:
        least, more = facts.memory_estimate(0), facts.memory_estimate(1)
        if least is not None and more is not None:
            fixed, cell = float(least), float(more - least)
        size = facts.tensor_bytes
    if isinstance(facts, GgufFacts):
        # As the engine takes it; of checkpoints engines have their own ways.
        context = values.get("context_length", 0) or min(facts.scaled_context_length or 8192, 8192)
        bits = 8 * facts.tensor_bytes / facts.parameters if facts.parameters else 0.0
        if len(facts.files) > 1:
            bits = 0.0
    limits = _limits(engine)
    return TunedModel(
        model.id, model.cores, values, limits[0], limits[1], context, fixed, cell, size, bits
    )


def _limits(engine: EngineRegistration) -> tuple[dict[str, tuple[str, ...]], dict[str, float]]:
    """Choices of texts and greatest numbers, as an engine's options declare them."""
    choices, highest = {}, {}
    for field in dataclasses.fields(engine.options):  # type: ignore[arg-type]
        if texts := field.metadata.get("choices", ()):
            choices[field.name] = tuple(texts)
        if "highest" in field.metadata:
            highest[field.name] = float(field.metadata["highest"])
    return choices, highest


def _without_files(variant: Variant) -> Variant:
    return Variant(tuple(one for one in variant.changes if one[0][-1] != QUANTISATION))
