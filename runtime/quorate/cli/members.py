"""Models as the command line names them: ``NAME``, ``NAME:WEIGHT``, or the same with a path."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from quorate.errors import SettingsError

if TYPE_CHECKING:
    from quorate.settings import ModelSettings


@dataclass(frozen=True, slots=True)
class Member:
    """A model named on the command line.

    Attributes:
        name: Registry id, or path of a GGUF file.
        weight: As given, or None for an equal share.
    """

    name: str
    weight: float | None = None

    @property
    def id(self) -> str:
        """What plans call it, here and at a server that loaded the same file."""
        from quorate.settings import default_id

        return default_id(self.name)


def read_members(values: Sequence[str]) -> tuple[Member, ...]:
    """Reads the values of ``--model``.

    Raises:
        SettingsError: An empty name, a weight that is no usable number, or a model named twice.
    """
    members = tuple(_member(value) for value in values)
    seen: set[str] = set()
    for member in members:
        if member.id in seen:
            raise SettingsError(
                f"--model: {member.id!r} is named twice; give it one weight instead"
            )
        seen.add(member.id)
    return members


def member_weights(members: Sequence[Member]) -> Mapping[str, float | None]:
    """Weight of each member by its id."""
    return {member.id: member.weight for member in members}


def model_settings(members: Sequence[Member]) -> tuple[ModelSettings, ...]:
    """Settings that load these models; those the registry does not know are refused early.

    Raises:
        RegistryError: An unknown id, with the nearest ones, or no such file.
    """
    from quorate.settings import ModelSettings, is_path
    from quorate_registry import Registry

    registry = Registry()
    settings = []
    for member in members:
        if is_path(member.name):
            path = registry.resolve(member.name).path
            settings.append(ModelSettings(model=str(path.absolute()), id=member.id))
            continue
        engine = registry.get(member.name).manifest.engine
        settings.append(ModelSettings(model=member.name, id=member.id, engine=engine))
    return tuple(settings)


def _member(value: str) -> Member:
    name, colon, tail = value.rpartition(":")
    weight = _number(tail) if colon else None
    if weight is None:
        if colon and not _is_file(value):
            raise SettingsError(
                f"--model {value}: {tail!r} is not a weight; write NAME or NAME:NUMBER"
            )
        name = value
    elif not (math.isfinite(weight) and weight >= 0):
        raise SettingsError(f"--model {value}: the weight must be finite and not negative")
    if not name:
        raise SettingsError(f"--model {value!r}: names no model")
    return Member(name, weight)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _is_file(name: str) -> bool:
    return ("/" in name or name.endswith(".gguf")) and Path(name).expanduser().exists()
