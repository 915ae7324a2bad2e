"""Enumerations of the domain and their counterparts on the wire."""

from __future__ import annotations

from enum import Enum
from typing import Any, TypeVar

_Key = TypeVar("_Key", bound=Enum)


def by_name(kind: type[_Key], prefix: str, wire: Any) -> dict[_Key, Any]:
    """Every member of a domain enumeration with the number of the same name on the wire."""
    return {member: wire.Value(f"{prefix}_{member.name}") for member in kind}


def by_number(kind: type[_Key], prefix: str, wire: Any, unset: _Key) -> dict[int, _Key]:
    """Every number on the wire with the member of the same name; ``unset`` for the unspecified."""
    members = {f"{prefix}_{member.name}": member for member in kind}
    return {
        number: unset if name == f"{prefix}_UNSPECIFIED" else members[name]
        for name, number in wire.items()
    }
