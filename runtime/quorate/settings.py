"""The configuration file: TOML to frozen settings, checked once, unknown keys refused."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from quorate.dispatch.settings import DispatchSettings
from quorate.engines.host.builders import ENGINE_NAMES
from quorate.engines.llama_cpp.options import LlamaCppOptions
from quorate.engines.scripted.options import ScriptedOptions
from quorate.errors import InvalidRequest, NotFound, SettingsError
from quorate.generation import (
    Alignment,
    BeamOptions,
    CombinationRule,
    FailurePolicy,
    MemberSpec,
    Plan,
    Weighting,
)
from quorate.options import as_float, option, read_options, refuse_unknown
from quorate.routing.choose import (
    DEFAULT_EPSILON,
    DEFAULT_FORGETTING,
    DEFAULT_WIDTH,
    MOST_EPSILON,
    MOST_WIDTH,
)
from quorate.routing.weights import share_weights
from quorate.server.settings import ServerSettings

_OPTIONS: Mapping[str, type[LlamaCppOptions] | type[ScriptedOptions]] = MappingProxyType(
    {"llama_cpp": LlamaCppOptions, "scripted": ScriptedOptions}
)
# A colon sets a weight off on the command line, and a slash makes a path.
_ID = re.compile(r"[\w.+@-]+")
_Choice = TypeVar("_Choice", bound=Enum)


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """One model of the configuration.

    Attributes:
        model: Registry id, or path of a weight file.
        id: What plans call it; "" takes the registry id, or the file's name.
        engine: Engine that runs it.
        cores: Processor cores it wants; 0 takes an even share.
        load: Whether it is loaded at start.
        step_timeout_seconds: A decode call of this length counts as stuck, and the worker is
            killed. Large models on few cores need more for long prompts, or fewer batch_tokens.
        load_timeout_seconds: The same for loading without progress.
        options: The engine's options.
    """

    model: str = ""
    id: str = ""
    engine: str = option("llama_cpp", choices=ENGINE_NAMES)
    cores: int = option(0, lowest=0, highest=4096)
    load: bool = True
    step_timeout_seconds: float = option(60.0, lowest=1.0, highest=86_400.0)
    load_timeout_seconds: float = option(600.0, lowest=1.0, highest=86_400.0)
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be configured, one class for each room.

    Attributes:
        default_profile: Profile of requests that name no plan, or "".
    """

    server: ServerSettings = field(default_factory=ServerSettings)
    dispatch: DispatchSettings = field(default_factory=DispatchSettings)
    models: tuple[ModelSettings, ...] = ()
    profiles: Mapping[str, Plan] = field(default_factory=lambda: MappingProxyType({}))
    default_profile: str = ""


@dataclass(frozen=True, slots=True)
class _PlanNumbers:
    """The numbers of a profile; those that are not given stay open."""

    forgetting: float = option(DEFAULT_FORGETTING, lowest=1e-9, highest=1)
    beam_epsilon: float = option(DEFAULT_EPSILON, lowest=0, highest=MOST_EPSILON)
    beam_width: int = option(DEFAULT_WIDTH, lowest=1, highest=MOST_WIDTH)


def load_settings(path: Path) -> Settings:
    """Reads a configuration file; relative paths in it count from its folder.

    Raises:
        SettingsError: The file cannot be read, is not TOML, or says something that is wrong; the
            message names the file and the key.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsError(f"{path}: cannot be read: {reason}") from error
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{path}: is not TOML: {error}") from error
    try:
        return parse_settings(data, path.parent)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error.message}") from error


def parse_settings(data: Mapping[str, Any], folder: Path) -> Settings:
    """Reads settings from what a TOML file holds.

    Args:
        data: The parsed file.
        folder: What relative paths count from.

    Raises:
        SettingsError: Names the key that is wrong.
    """
    refuse_unknown(data, ("server", "models", "profiles"), "")
    server = _table(data.get("server", {}), "server")
    own = {name: value for name, value in server.items() if name in _names(ServerSettings)}
    admission = {name: value for name, value in server.items() if name in _names(DispatchSettings)}
    known = (*_names(ServerSettings), *_names(DispatchSettings), "default_profile")
    refuse_unknown(server, known, "server")
    models = _models(data.get("models", []), folder)
    profiles = {
        name: _profile(_table(table, f"profiles.{name}"), f"profiles.{name}", models)
        for name, table in _table(data.get("profiles", {}), "profiles").items()
    }
    default_profile = server.get("default_profile", "")
    if not isinstance(default_profile, str):
        raise SettingsError(f"server.default_profile: must be a text, not {default_profile!r}")
    if default_profile and default_profile not in profiles:
        raise SettingsError(
            f"server.default_profile: {NotFound('profile', default_profile, profiles).message}"
        )
    return Settings(
        server=_server(own, folder),
        dispatch=read_options(DispatchSettings, admission, "server"),
        models=models,
        profiles=MappingProxyType(profiles),
        default_profile=default_profile,
    )


def _server(table: Mapping[str, Any], folder: Path) -> ServerSettings:
    server = ServerSettings.from_mapping(table, "server")
    return replace(
        server,
        tls_certificate=_located(server.tls_certificate, folder, "server.tls_certificate"),
        tls_key=_located(server.tls_key, folder, "server.tls_key"),
    )


def _models(tables: Any, folder: Path) -> tuple[ModelSettings, ...]:
    if not isinstance(tables, list):
        raise SettingsError("models: must be a list of tables, each begun with [[models]]")
    models = tuple(
        _model(_table(t, f"models[{i}]"), f"models[{i}]", folder) for i, t in enumerate(tables)
    )
    seen: set[str] = set()
    for index, model in enumerate(models):
        if model.id in seen:
            raise SettingsError(f"models[{index}].id: {model.id!r} is taken; choose another id")
        seen.add(model.id)
    return models


def _model(table: Mapping[str, Any], where: str, folder: Path) -> ModelSettings:
    plain = {name: value for name, value in table.items() if name != "options"}
    refuse_unknown(table, _names(ModelSettings), where)
    model = read_options(ModelSettings, plain, where)
    options = _table(table.get("options", {}), f"{where}.options")
    _OPTIONS[model.engine].from_mapping(options, f"{where}.options")
    if model.engine == "scripted" and not model.id:
        raise SettingsError(f"{where}.id: is missing; a scripted model has no other name")
    if model.engine != "scripted" and not model.model:
        raise SettingsError(f"{where}.model: is missing; name a registry id or a path")
    name = model.id or default_id(model.model)
    if not name:
        raise SettingsError(f"{where}.id: is missing; {model.model} has no name to take")
    if not _ID.fullmatch(name):
        raise SettingsError(
            f"{where}.id: {name!r} has a character that plans cannot name; "
            "use letters, digits and . _ + @ -"
        )
    named_by_path = is_path(model.model)
    return replace(
        model,
        model=_located(model.model, folder, f"{where}.model") if named_by_path else model.model,
        id=name,
        options=MappingProxyType(dict(options)),
    )


def default_id(name_or_path: str) -> str:
    """What a model is called that was given no id: its registry id, or its file's name."""
    if not is_path(name_or_path):
        return name_or_path
    path = Path(name_or_path)
    return (path.stem if path.suffix == ".gguf" else path.name).lower()


def is_path(name: str) -> bool:
    """Whether a model is named by a path rather than by a registry id."""
    return "/" in name or name.endswith(".gguf")


def _located(path: str, folder: Path, where: str) -> str:
    if not path:
        return ""
    try:
        return str((folder / Path(path).expanduser()).absolute())
    except RuntimeError as error:
        raise SettingsError(f"{where}: {path}: there is no such user") from error


def _profile(table: Mapping[str, Any], where: str, models: Sequence[ModelSettings]) -> Plan:
    choices = ("members", "rule", "alignment", "weighting", "on_failure")
    refuse_unknown(table, (*choices, *_names(_PlanNumbers)), where)
    numbers = {name: value for name, value in table.items() if name in _names(_PlanNumbers)}
    details = read_options(_PlanNumbers, numbers, where)
    entries = table.get("members")
    if not isinstance(entries, list) or not entries:
        raise SettingsError(f"{where}.members: must be a list with at least one member")
    known = [model.id for model in models]
    members = tuple(
        _member(entry, f"{where}.members[{index}]", known) for index, entry in enumerate(entries)
    )
    if len({member.model for member in members}) < len(members):
        raise SettingsError(f"{where}.members: a model is named twice; give it one weight instead")
    try:
        share_weights([member.weight for member in members])
    except InvalidRequest as error:
        place = error.field.removeprefix("plan.ensemble")
        raise SettingsError(f"{where}{place}: {error.problem}") from error
    return Plan(
        members=members,
        rule=_choice(table, "rule", CombinationRule.LINEAR, where),
        alignment=_choice(table, "alignment", Alignment.AUTO, where),
        weighting=_choice(table, "weighting", Weighting.AUTO, where),
        on_failure=_choice(table, "on_failure", FailurePolicy.AUTO, where),
        forgetting=details.forgetting if "forgetting" in table else None,
        beam=BeamOptions(
            epsilon=details.beam_epsilon if "beam_epsilon" in table else None,
            width=details.beam_width if "beam_width" in table else None,
        ),
    )


def _member(entry: Any, where: str, known: Sequence[str]) -> MemberSpec:
    table: Mapping[str, Any] = {"model": entry} if isinstance(entry, str) else _table(entry, where)
    refuse_unknown(table, ("model", "weight"), where)
    model, weight = table.get("model"), table.get("weight")
    if not isinstance(model, str):
        raise SettingsError(f"{where}.model: must be the id of a model, not {model!r}")
    if model not in known:
        raise SettingsError(f"{where}.model: {NotFound('model', model, known).message}")
    if weight is not None and type(weight) not in (int, float):
        raise SettingsError(f"{where}.weight: must be a number, not {weight!r}")
    return MemberSpec(model, None if weight is None else as_float(weight))


def _choice(table: Mapping[str, Any], name: str, default: _Choice, where: str) -> _Choice:
    value = table.get(name, default.value)
    choices = {choice.value: choice for choice in type(default)}
    if not isinstance(value, str) or value not in choices:
        raise SettingsError(f"{where}.{name}: must be one of {', '.join(choices)}, not {value!r}")
    return choices[value]


def _table(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise SettingsError(f"{where}: must be a table, not {value!r}")
    return value


def _names(cls: type) -> tuple[str, ...]:
    return tuple(f.name for f in fields(cls))
