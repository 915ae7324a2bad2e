"""From the options of ``serve`` and ``generate`` to the settings of a service."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from quorate.app import demo
from quorate.app.registry import open_registry
from quorate.errors import SettingsError
from quorate.settings import Settings, load_settings, parse_settings

DEFAULT_CONFIG = Path("quorate.toml")


def serve_settings(
    config: Path | None, with_demo: bool, models: Sequence[str], on_note: Callable[[str], None]
) -> Settings:
    """Settings of what ``serve`` shall serve; models named one by one come on top.

    Args:
        config: A configuration file.
        with_demo: Whether the demo models are meant.
        models: Registry ids and paths.
        on_note: Receives a line for people where something takes a while.

    Raises:
        SettingsError: The file is wrong, a model is named twice, or nothing is named at all.
    """
    if with_demo and config is not None:
        raise SettingsError("--demo and --config exclude each other; give one of them")
    if with_demo:
        return _with_models(demo_settings(on_note), models, on_note)
    if config is not None:
        return _with_models(load_settings(config), models, on_note)
    if models:
        return named_settings(models, on_note)
    if not DEFAULT_CONFIG.is_file():
        raise SettingsError(
            f"there is no {DEFAULT_CONFIG} here; give --config FILE, --model NAME_OR_PATH or --demo"
        )
    return load_settings(DEFAULT_CONFIG)


def named_settings(models: Sequence[str], on_note: Callable[[str], None]) -> Settings:
    """Settings that serve these models, named by registry id or path, with default options.

    The demo's second model, which is in no registry, can be named too.

    Raises:
        SettingsError: Two of them would have the same id.
        CannotRun: The demo's second model is named and cannot be made.
    """
    tables = [{"model": model} for model in models]
    settings = parse_settings({"models": tables}, Path.cwd())
    if demo.REQUANTIZED_MODEL not in models:
        return settings
    made = {model.id: model for model in demo_settings(on_note).models}
    return replace(settings, models=tuple(made.get(m.id, m) for m in settings.models))


def demo_settings(on_note: Callable[[str], None]) -> Settings:
    """Settings of the demo models.

    Raises:
        CannotRun: The package that holds them is missing, or the second cannot be made.
    """
    return demo.demo_settings(open_registry(), on_note)


def _with_models(
    settings: Settings, models: Sequence[str], on_note: Callable[[str], None]
) -> Settings:
    more = named_settings(models, on_note).models
    taken = {model.id for model in settings.models}
    for model in more:
        if model.id in taken:
            raise SettingsError(f"--model: {model.id!r} is configured already")
    return replace(settings, models=(*settings.models, *more))
