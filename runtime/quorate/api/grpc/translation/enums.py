"""Enumerations of the domain and their counterparts on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, TypeVar

from quorate.errors import InvalidRequest

_Key = TypeVar("_Key", bound=Enum)
_Value = TypeVar("_Value")


def by_name(kind: type[_Key], wire: Any, but: _Key | None = None) -> dict[_Key, Any]:
    """Every member of a domain enumeration with the number of the same name on the wire.

    Without ``but``, which has no name there.
    """
    named = [member for member in kind if member is not but]
    return {member: wire.Value(f"{_prefix(wire)}{member.name}") for member in named}


def by_number(kind: type[_Key], wire: Any, unset: _Key) -> dict[int, _Key]:
    """Every number on the wire with the member of the same name; ``unset`` for the unspecified."""
    members = {f"{_prefix(wire)}{member.name}": member for member in kind}
    return {number: members[name] if number else unset for name, number in wire.items()}


def known_value(values: Mapping[int, _Value], number: int, path: str, kind: Any) -> _Value:
    """The value of a number on the wire, which came under this path.

    Raises:
        InvalidRequest: There is no such number.
    """
    if number not in values:
        raise InvalidRequest(
            path, f"has the unknown value {number}; known: {', '.join(kind.keys())}"
        )
    return values[number]


def _prefix(wire: Any) -> str:
    name: str = wire.Name(0)
    return name.removesuffix("UNSPECIFIED")
