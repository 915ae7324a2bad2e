"""What a check of the configuration finds wrong."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from quorate.errors import SettingsError


class Level(Enum):
    """How wrong something is."""

    FATAL = "fatal"
    """It can never work; the service does not start with it."""
    ERROR = "error"
    """It will not be as it was configured."""
    WARNING = "warning"
    """It may well not be as somebody expects."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        key: Full name of the key in the configuration, such as ``models[0].model``.
        problem: One line: what is wrong and what to do.
    """

    level: Level
    key: str
    problem: str

    @property
    def line(self) -> str:
        """Key and problem."""
        return f"{self.key}: {self.problem}" if self.key else self.problem


def fatals(error: SettingsError) -> list[Finding]:
    """The findings of an error, and of what else is wrong with the same table."""
    return [fatal(one) for one in (error, *error.also)]


def fatal(error: SettingsError) -> Finding:
    """The finding of an error whose message begins with the key."""
    key, colon, problem = " ".join(error.message.split()).partition(": ")
    return Finding(Level.FATAL, key if colon else "", problem if colon else key)
