"""A configuration with some values changed. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Key = tuple[str, ...]
"""Where a value stands: ``("models", ID, "options", NAME)``, ``("profiles", NAME, "drafts")``."""

QUANTISATION = "quantisation"
"""Last part of a key that no configuration has: the type that a model's file is made into."""


@dataclass(frozen=True, slots=True)
class Variant:
    """What differs from the configuration as it is; nothing at all is that itself.

    Attributes:
        changes: Keys with their new values, in the order of the keys.
    """

    changes: tuple[tuple[Key, Any], ...] = ()

    def get(self, key: Key, otherwise: Any) -> Any:
        """The new value of a key."""
        return dict(self.changes).get(key, otherwise)

    def told(self) -> list[list[Any]]:
        """As JSON has it."""
        return [[list(key), value] for key, value in self.changes]


def variant_of(told: Iterable[Any]) -> Variant:
    """The variant of a record.

    Raises:
        TypeError, ValueError: It is none.
    """
    changes = {}
    for key, value in told:
        if not isinstance(key, list) or not all(isinstance(part, str) for part in key):
            raise ValueError(f"no key: {key!r}")
        changes[tuple(key)] = value
    return Variant(tuple(sorted(changes.items())))


def changed(variant: Variant, changes: Mapping[Key, Any], originals: Mapping[Key, Any]) -> Variant:
    """A variant with further changes, without those that lead back to the configuration as it is.

    Args:
        variant: From which.
        changes: New values by key.
        originals: What every key that can be changed has in the configuration.
    """
    merged = {**dict(variant.changes), **changes}
    kept = {key: value for key, value in merged.items() if value != originals[key]}
    return Variant(tuple(sorted(kept.items())))


def key_text(key: Key) -> str:
    """A key as people read it."""
    return ".".join(key)
