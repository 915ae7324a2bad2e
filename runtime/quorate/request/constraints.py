"""What the text of an answer must be."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class ConstraintKind(Enum):
    """How a constraint is written; the value is its field in requests."""

    JSON_SCHEMA = "json_schema"
    REGEX = "regex"
    GRAMMAR = "grammar"


def ends_within_escape(regex: str) -> bool:
    """Whether nothing follows a last backslash, which the library would leave out."""
    return bool((len(regex) - len(regex.rstrip("\\"))) % 2)


@dataclass(frozen=True, slots=True)
class OutputConstraint:
    """What the text of an answer must be, from its first byte to its end.

    Attributes:
        text: A JSON schema (draft 2020-12) as JSON, a regular expression, or a grammar in Lark's
            syntax.
        may_reason: Whether a model that reasons may do so before it.
    """

    kind: ConstraintKind
    text: str
    may_reason: bool = False
