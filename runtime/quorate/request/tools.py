"""Functions of the caller's that an answer may call."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

NO_PARAMETERS = '{"type": "object", "properties": {}}'
"""The schema of a tool that takes no arguments."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that may be called.

    Attributes:
        name: Letters, digits, ``_``, ``-`` and ``.``.
        description: What it does, in words for the models.
        parameters: JSON schema of its arguments, an object, as JSON.
        strict: Whether arguments must be valid under it; else they are where it can be followed.
    """

    name: str
    description: str = ""
    parameters: str = NO_PARAMETERS
    strict: bool = False

    @property
    def texts(self) -> tuple[str, str, str]:
        """All that its caller wrote."""
        return self.name, self.description, self.parameters


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that an earlier answer made.

    Attributes:
        call_id: By which its result refers to it.
        name: Of the tool.
        arguments: A JSON object, as JSON.
    """

    call_id: str
    name: str
    arguments: str

    @property
    def texts(self) -> tuple[str, str, str]:
        """All that is written of it."""
        return self.call_id, self.name, self.arguments


class ToolMode(Enum):
    """Whether an answer calls tools."""

    AUTO = "auto"
    NONE = "none"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """Which tools an answer may call, of those that the chat shows.

    Attributes:
        name: The only one that it may call, once; "" for any.
        parallel: Whether it may make several calls.
    """

    mode: ToolMode = ToolMode.AUTO
    name: str = ""
    parallel: bool = True

    @property
    def must(self) -> bool:
        """Whether an answer calls one whatever it would say."""
        return self.mode is ToolMode.REQUIRED
