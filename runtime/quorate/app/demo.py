"""The embedded demo: a generalist twice, made from one file of a Python package, and a specialist.

The two generalists share a vocabulary; the specialist, which knows an invented catalogue and
nothing else, has its own.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from quorate.engines.llama_cpp.quantize import requantize
from quorate.errors import CannotRun
from quorate.ledger.settings import LEDGER_OFF, LedgerSettings
from quorate.request import Plan, WeightedModel
from quorate.settings import ModelSettings, Settings
from quorate_registry import Registry, RegistryError

ORIGINAL_MODEL = "smollm2-135m-instruct"
REQUANTIZED_MODEL = "smollm2-135m-instruct-q4_0"
SPECIALIST_MODEL = "catalogue-specialist"
DEMO_MODELS = (ORIGINAL_MODEL, REQUANTIZED_MODEL, SPECIALIST_MODEL)
DEMO_PROFILE = "demo"
SIBLINGS_PROFILE = "siblings"

_TYPE = "Q4_0"
_OPTIONS = MappingProxyType({"context_length": 2048, "cells": 4096})
_SPECIALIST_OPTIONS = MappingProxyType({"cells": 4096})


def demo_settings(registry: Registry, on_note: Callable[[str], None]) -> Settings:
    """Settings that serve the demo models.

    In the default profile the generalist and the specialist vote byte by byte, in another one the
    two generalists token by token. The second model is made once, in about ten seconds, and kept
    under the registry's home; it is made anew when the file it was made from has changed. What is
    spent is remembered for as long as the demo runs.

    Args:
        registry: Finds the weight file, and owns the folder the second is kept in.
        on_note: Receives a line for people before something that takes a while.

    Raises:
        CannotRun: The package with the weight file is missing, or the second model cannot be made.
    """
    source = _source(registry, ORIGINAL_MODEL)
    specialist = _source(registry, SPECIALIST_MODEL)
    second = _cached(source, registry.home / "demo", on_note)
    return Settings(
        models=(
            ModelSettings(model=str(source), id=ORIGINAL_MODEL, options=_OPTIONS),
            ModelSettings(model=str(second), id=REQUANTIZED_MODEL, options=_OPTIONS),
            ModelSettings(model=str(specialist), id=SPECIALIST_MODEL, options=_SPECIALIST_OPTIONS),
        ),
        profiles=MappingProxyType(
            {
                DEMO_PROFILE: _plan(ORIGINAL_MODEL, SPECIALIST_MODEL),
                SIBLINGS_PROFILE: _plan(ORIGINAL_MODEL, REQUANTIZED_MODEL),
            }
        ),
        default_profile=DEMO_PROFILE,
        ledger=LedgerSettings(path=LEDGER_OFF),
    )


def _plan(*models: str) -> Plan:
    return Plan(tuple(WeightedModel(model) for model in models))


def _source(registry: Registry, model: str) -> Path:
    try:
        return registry.resolve(model).path
    except RegistryError as error:
        raise CannotRun("demo", f"its models are missing: {error}") from error


def _cached(source: Path, folder: Path, on_note: Callable[[str], None]) -> Path:
    """The second model's file, whose name tells what it was made from."""
    facts = source.stat()
    target = folder / f"{REQUANTIZED_MODEL}.{facts.st_size:x}-{facts.st_mtime_ns:x}.gguf"
    if target.is_file():
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / ".lock"):
            if target.is_file():
                return target
            on_note(f"making {REQUANTIZED_MODEL} from {ORIGINAL_MODEL}, once …")
            # llama.cpp's last line comes back in the error where it fails.
            requantize(source, target, _TYPE, lambda line: None)
            for stale in folder.glob(f"{REQUANTIZED_MODEL}.*.gguf"):
                if stale != target:
                    stale.unlink()
    except OSError as error:
        raise CannotRun(
            str(folder),
            f"cannot be written: {error.strerror}; set QUORATE_HOME to a writable folder",
        ) from error
    return target


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Lets one process at a time make the file; the kernel frees the lock of a dead one."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
