"""Members of a vote as they are named on the command line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from quorate.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Member:
    """A model with its weight, or None for an equal share.

    Attributes:
        name: Registry id or path, as it was given.
    """

    name: str
    weight: float | None = None


def parse_member(text: str, option: str = "--model") -> Member:
    """Reads ``NAME`` or ``NAME:WEIGHT``; what follows the last colon is a weight if it is a number.

    Args:
        text: What was given.
        option: The option it was given with, for messages.

    Raises:
        SettingsError: No name, or a weight that is negative or not finite.
    """
    name, colon, suffix = text.rpartition(":")
    weight = _number(suffix) if colon else None
    if weight is None:
        name = text
    elif not math.isfinite(weight) or weight < 0:
        raise SettingsError(
            f"{option} {text}: the weight must be finite and not negative, not {suffix}"
        )
    if not name:
        raise SettingsError(f"{option} {text!r}: names no model")
    return Member(name, weight)


def parse_members(texts: Sequence[str], option: str = "--model") -> tuple[Member, ...]:
    """Reads all members of a vote.

    Args:
        texts: What was given.
        option: The option it was given with, for messages.

    Raises:
        SettingsError: One is wrong, two are the same, or all weights are 0.
    """
    members = tuple(parse_member(text, option) for text in texts)
    names = [member.name for member in members]
    for name in names:
        if names.count(name) > 1:
            raise SettingsError(f"{option} {name}: is named twice; give it one weight instead")
    if members and all(member.weight == 0 for member in members):
        raise SettingsError(f"{option}: all weights are 0; raise at least one")
    return members


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
