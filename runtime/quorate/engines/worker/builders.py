"""Which function loads which engine; runs inside the worker, where heavy imports belong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from quorate.engines.scheduler.contract import BatchModel
from quorate.errors import SettingsError

OnProgress: TypeAlias = Callable[[float], None]
"""Told the loaded fraction, in [0, 1]."""

Builder: TypeAlias = Callable[[str, Mapping[str, Any], int, OnProgress], BatchModel]
"""Loads a model from a path, engine options and a thread count.

Raises ``ModelUnusable`` where it can never be loaded here, ``SettingsError`` for wrong options.
"""


def _llama_cpp(
    path: str, options: Mapping[str, Any], threads: int, on_progress: OnProgress
) -> BatchModel:
    from quorate.engines.llama_cpp import LlamaCppOptions, load

    return load(path, LlamaCppOptions.from_mapping(options, "options"), threads, on_progress)


def _scripted(
    path: str, options: Mapping[str, Any], threads: int, on_progress: OnProgress
) -> BatchModel:
    from quorate.engines.scripted.loading import load

    return load(path, options, threads, on_progress)


def _vllm(
    path: str, options: Mapping[str, Any], threads: int, on_progress: OnProgress
) -> BatchModel:
    from quorate.engines.vllm.options import VllmOptions
    from quorate.engines.vllm.start import load

    return load(path, VllmOptions.from_mapping(options, "options"), threads, on_progress)


_BUILDERS: Mapping[str, Builder] = {
    "llama_cpp": _llama_cpp,
    "scripted": _scripted,
    "vllm": _vllm,
}
ENGINE_NAMES = tuple(sorted(_BUILDERS))


def process_environment(engine: str, base: Mapping[str, str]) -> dict[str, str]:
    """Variables that an engine's worker needs from its first moment, beside those of ``base``."""
    if engine != "vllm":
        return {}
    from quorate.engines.vllm.environment import of_the_process

    return of_the_process(base)


def find_builder(engine: str) -> Builder:
    """Returns what loads the models of an engine.

    Raises:
        SettingsError: There is no engine of that name.
    """
    builder = _BUILDERS.get(engine)
    if builder is None:
        raise SettingsError(f"no engine named {engine!r}; known: {', '.join(ENGINE_NAMES)}")
    return builder
