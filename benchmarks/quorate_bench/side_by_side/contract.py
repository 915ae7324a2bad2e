"""What is measured side by side: programs that answer prompts, Quorate among them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from quorate_bench.measuring import Timed


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is asked.

    Attributes:
        text: For programs with a tokenizer of their own.
        tokens: The same in the ids of the model, for those that take ids.
    """

    text: str
    tokens: tuple[int, ...]


class Peer(Protocol):
    """A program that has loaded its models."""

    async def answers(self, prompts: Sequence[Prompt], tokens: int) -> list[Timed]:
        """Answers prompts that are asked at once, greedily, with at most so many tokens each.

        Raises:
            Disturbed: An answer had no second token, or the program refused.
        """


Start = Callable[[], AbstractAsyncContextManager[Peer]]
"""Starts a program; raises ``CannotRun`` where it does not come up."""


@dataclass(frozen=True, slots=True)
class Side:
    """One program with its models, as it takes part in a run.

    Attributes:
        name: What reports call it.
        quantisation: Type that the weights are made into; "" is as the file is.
        against: Name of Quorate's side of the same weights that does as much as it; "" for those of
            Quorate.
        command: How it is started, files by their names alone.
        version: Of the program.
        plan: Arguments of ``Client.generate``; None for a program of others.
        start: Starts a program of others; None where it cannot take part.
        missing: Why not, and what helps.
    """

    name: str
    quantisation: str
    against: str
    command: str
    version: str = ""
    plan: Mapping[str, Any] | None = None
    start: Start | None = None
    missing: str = ""

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models of a plan of ours; none of a program of others."""
        if self.plan is None:
            return ()
        return (self.plan["model"],) if "model" in self.plan else tuple(self.plan["models"])

    def told(self) -> dict[str, str]:
        """As records have it."""
        return {
            "name": self.name,
            "quantisation": self.quantisation,
            "against": self.against,
            "command": self.command,
            "version": self.version,
            "missing": self.missing,
        }
