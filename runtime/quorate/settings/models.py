"""The models of the configuration."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from quorate.engines.registry import engines, find_engine
from quorate.errors import SettingsError
from quorate.files import default_id, is_path
from quorate.options import Faults, as_table, field_names, option, read_options, refuse_unknown

# A colon sets a weight off on the command line, and a slash makes a path.
_ID = re.compile(r"[\w.+@-]+")


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """One model of the configuration.

    Attributes:
        model: Registry id, or path of a weight file.
        id: What plans call it; "" takes the registry id, or the file's name.
        engine: Engine that runs it; "" goes by what the model is, which is known once its files
            are looked for.
        cores: Most processor cores that it computes on at once; 0 for all there are.
        load: Whether it is loaded at start.
        required: Whether the service as a whole does not count as healthy without it. Not given, it
            is where a profile names a model that is loaded at start.
        step_timeout_seconds: A decode call of this length counts as stuck, and the worker is
            killed. Large models on few cores need more for long prompts, or fewer batch_tokens.
        load_timeout_seconds: The same for loading that neither reads nor tells of progress. One
            that does nothing at all, or was stopped by a signal, is noticed sooner.
        sandbox: Whether its processes are kept from files, networks and other processes.
        tasks: Tags of what the model is made for; none is everything.
        quality: Share of right answers to expect of it, in [0, 1]; 0 is not known.
        options: The engine's options.
    """

    model: str = ""
    id: str = ""
    engine: str = option("", choices=engines())
    cores: int = option(0, lowest=0, highest=4096)
    load: bool = True
    required: bool = False
    step_timeout_seconds: float = option(60.0, lowest=1.0, highest=86_400.0)
    load_timeout_seconds: float = option(600.0, lowest=1.0, highest=86_400.0)
    sandbox: bool = True
    tasks: tuple[str, ...] = option((), texts=True)
    quality: float = option(0.0, lowest=0, highest=1)
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


def model_tables(tables: Any) -> list[Any]:
    """The list of ``[[models]]``, whatever stands in it.

    Raises:
        SettingsError: It is none.
    """
    if not isinstance(tables, list):
        raise SettingsError("models: must be a list of tables, each begun with [[models]]")
    return tables


def read_model(table: Any, index: int, folder: Path, taken: Collection[str]) -> ModelSettings:
    """Reads one of ``[[models]]``; ``taken`` are the ids of those before it.

    Raises:
        SettingsError: Names the key that is wrong.
    """
    where = f"models[{index}]"
    model = _model(as_table(table, where), where, folder)
    if model.id in taken:
        raise SettingsError(f"{where}.id: {model.id!r} is taken; choose another id")
    return model


def unreadable_model(table: Any, folder: Path) -> ModelSettings:
    """What keeps the place of a model that is configured wrongly: its id and what it is, if known.

    So what is wrong with its files can be told with the rest.
    """
    given = table if isinstance(table, dict) else {}
    texts = {
        name: text
        for name in ("id", "model", "engine")
        if isinstance(text := given.get(name), str) and text
    }
    engine, model = texts.get("engine", ""), texts.get("model", "")
    names = [texts[name] for name in ("id", "model") if name in texts]
    with suppress(SettingsError):
        model = located(model, folder, "model") if is_path(model) else model
    return ModelSettings(
        model=model if "engine" not in given or engine in engines() else "",
        id=default_id(names[0]) if names else "",
        engine=engine if engine in engines() else "",
    )


def with_required(
    models: Sequence[ModelSettings], tables: Sequence[Any], named: Collection[str]
) -> tuple[ModelSettings, ...]:
    """The models, of which those are required that their tables or else a profile say.

    Args:
        models: As they were read.
        tables: What they were read from.
        named: Models that a profile names.
    """
    return tuple(
        model
        if isinstance(table, dict) and "required" in table
        else replace(model, required=model.load and model.id in named)
        for model, table in zip(models, tables, strict=True)
    )


def _model(table: Mapping[str, Any], where: str, folder: Path) -> ModelSettings:
    plain = {name: value for name, value in table.items() if name != "options"}
    if plain.get("engine") == "":
        # The default can be written down, though it is no engine to choose.
        del plain["engine"]
    faults = Faults()
    faults.check(lambda: refuse_unknown(table, field_names(ModelSettings), where), None)
    model = faults.check(lambda: read_options(ModelSettings, plain, where), None)
    none: Mapping[str, Any] = {}
    options = faults.check(lambda: as_table(table.get("options", {}), f"{where}.options"), none)
    engine = table.get("engine", "")
    if engine in engines():
        faults.check(lambda: check_options(engine, options, f"{where}.options"), None)
    elif not engine:
        faults.check(lambda: _check_for_any_engine(options, f"{where}.options"), None)
    if model is None:
        faults.refuse()
        raise AssertionError("what cannot be read has a fault")
    faults.check(lambda: _check_names(model, where), None)
    faults.refuse()
    named_by_path = is_path(model.model)
    return replace(
        model,
        model=located(model.model, folder, f"{where}.model") if named_by_path else model.model,
        id=_name_of(model),
        options=MappingProxyType(dict(options)),
    )


def _check_names(model: ModelSettings, where: str) -> None:
    """Checks that a model is named, and by what plans can name."""
    has_files = not model.engine or find_engine(model.engine).files
    if not has_files and not model.id:
        raise SettingsError(f"{where}.id: is missing; a {model.engine} model has no other name")
    if has_files and not model.model:
        raise SettingsError(f"{where}.model: is missing; name a registry id or a path")
    name = _name_of(model)
    if not name:
        raise SettingsError(f"{where}.id: is missing; {model.model} has no name to take")
    if not _ID.fullmatch(name):
        raise SettingsError(
            f"{where}.id: {name!r} has a character that plans cannot name; "
            "use letters, digits and . _ + @ -"
        )


def _name_of(model: ModelSettings) -> str:
    return model.id or default_id(model.model)


def check_options(engine: str, options: Mapping[str, Any], where: str) -> None:
    """Checks the options of a model against those of its engine.

    Raises:
        SettingsError: Names the key that is wrong.
    """
    if options:
        find_engine(engine).options.from_mapping(options, where)


def _check_for_any_engine(options: Mapping[str, Any], where: str) -> None:
    """Checks options that are right for one engine at least of those a model may get by default.

    Which one it is shows at the start of the service, where they are checked again: it goes by what
    the model's files are, and settings read no disk but their own file.
    """
    names = {one.name: field_names(one.options) for one in engines().values() if one.default}
    refuse_unknown(options, {key: None for known in names.values() for key in known}, where)
    errors = []
    # An engine that knows all the names has more to say about a wrong value than one that does not.
    for engine in sorted(names, key=lambda name: not set(options) <= set(names[name])):
        try:
            return check_options(engine, options, where)
        except SettingsError as error:
            errors.append(error)
    raise errors[0]


def located(path: str, folder: Path, where: str) -> str:
    """A path of the configuration, counted from the folder of its file; "" stays "".

    Raises:
        SettingsError: It begins with the home of a user who does not exist.
    """
    if not path:
        return ""
    try:
        return str((folder / Path(path).expanduser()).absolute())
    except RuntimeError as error:
        raise SettingsError(f"{where}: {path}: there is no such user") from error
