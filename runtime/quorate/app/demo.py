"""The embedded default: two members from one weight file that a Python package brings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType

from quorate.engines.llama_cpp.header import check_header
from quorate.engines.llama_cpp.quantize import requantize
from quorate.errors import CannotRun, ModelUnusable
from quorate.generation import MemberSpec, Plan
from quorate.settings import ModelSettings, Settings
from quorate_registry import Registry

BASE_MODEL = "smollm2-135m-instruct"
SECOND_MODEL = "smollm2-135m-instruct-q4_0"
PROFILE = "demo"

_SECOND_TYPE = "Q4_0"
# Small enough for any machine: about 45 MB of KV cache for each member.
_OPTIONS = MappingProxyType({"context_length": 2048, "sessions": 4})


def _unnoticed(note: str) -> None:
    """The observer of those who do not look."""


def demo_settings(
    home: Path | None = None, on_note: Callable[[str], None] = _unnoticed
) -> Settings:
    """Settings of a service with two members that vote when a request names no plan.

    The second member is the first one quantised anew, which takes about a second, once: the result
    is kept in the registry's home.

    Args:
        home: Home of the registry; default as the registry says.
        on_note: Told in one line when something takes a while.

    Raises:
        RegistryError: The package with the weight file is missing; says how to install it.
        QuorateError: The second member cannot be made.
    """
    registry = Registry(home)
    second = _second_member(registry, on_note)
    return Settings(
        models=(
            ModelSettings(model=BASE_MODEL, id=BASE_MODEL, options=_OPTIONS),
            ModelSettings(model=str(second), id=SECOND_MODEL, options=_OPTIONS),
        ),
        profiles=MappingProxyType(
            {PROFILE: Plan((MemberSpec(BASE_MODEL), MemberSpec(SECOND_MODEL)))}
        ),
        default_profile=PROFILE,
    )


def _second_member(registry: Registry, on_note: Callable[[str], None]) -> Path:
    source = registry.resolve(BASE_MODEL).path
    target = registry.home.absolute() / "demo" / f"{SECOND_MODEL}.gguf"
    if _is_sound(target):
        return target
    on_note(f"making the second member, {SECOND_MODEL}; this happens once")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotRun(
            str(target.parent),
            f"cannot be made: {error.strerror}; set QUORATE_HOME to a writable folder",
        ) from error
    requantize(source, target, _SECOND_TYPE, _unnoticed)
    return target


def _is_sound(path: Path) -> bool:
    try:
        check_header(str(path), path.name)
    except ModelUnusable:
        return False
    return True
