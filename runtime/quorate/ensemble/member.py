"""One member of an ensemble: one model in one request, from its prompt to its last row."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from quorate.engines.contract import Engine, LogProbs
from quorate.ensemble.predictor import Predictor
from quorate.request import ModelUsage
from quorate.request.work import Work

_Symbol = TypeVar("_Symbol")


@dataclass(frozen=True, slots=True)
class MemberPrompt:
    """The prompt as one member reads it, and what its answer may take.

    Attributes:
        max_tokens: The most tokens of an answer behind it.
        margin: KV tokens that the alignment needs beside the answer.
    """

    tokens: Sequence[int]
    max_tokens: int
    margin: int = 0


@dataclass(slots=True)
class Member(Generic[_Symbol]):
    """One model in one request.

    Attributes:
        predictor: Its sessions, which are told the answer.
        read_tokens: Tokens it read before, for the weights that depend on the prompt.
        started: Whether it was given its prompt.
        logprob: Log-prob of the answer so far under this member alone, in nats.
        weight_sum: Sum of its weights over the steps so far.
        drafted: Symbols that it guessed ahead of the choice.
        accepted: Those of them that were chosen.
        lone: Tokens of the answer for which it voted alone, while the others computed nothing.
    """

    model: str
    engine: Engine
    prompt: MemberPrompt
    predictor: Predictor[_Symbol]
    read_tokens: int = 0
    started: bool = False
    logprob: float = 0.0
    weight_sum: float = 0.0
    steps: int = 0
    drafted: int = 0
    accepted: int = 0
    lone: int = 0

    def observe(self, logprob: float, weight: float) -> None:
        """Adds the chosen symbol's log-prob under this member, and the member's weight."""
        self.logprob += logprob
        self.weight_sum += weight
        self.steps += 1

    @property
    def forwards(self) -> int:
        """Tokens fed beyond the prompt."""
        return self.predictor.forwards

    @property
    def dropped_mass(self) -> float | None:
        """Probability that was pruned, for each step; None where nothing ever is."""
        dropped = self.predictor.dropped_mass
        return None if dropped is None else dropped / max(1, self.steps)

    def start(self, ahead: Sequence[_Symbol] = ()) -> Awaitable[LogProbs]:
        """See ``Predictor.start``."""
        self.started = True
        return self.predictor.start(ahead)

    @property
    def work(self) -> Work:
        """What it computed so far. Tokens that are on their way count."""
        length = len(self.prompt.tokens)
        prompt = length if self.started else 0
        prefill = self.read_tokens + max(0, prompt - self.predictor.cached_tokens)
        decoded = self.forwards
        # A token that was computed together with those before it costs what one of a prompt does.
        together = min(decoded, self.predictor.looked_ahead)
        # Each token attends to the prompt, and to half of those before it on average.
        kv = decoded * (length + decoded // 2)
        return Work(prefill + together, decoded - together, kv)

    def usage(self) -> ModelUsage:
        """What this member did so far; its energy is not known here."""
        return ModelUsage(
            model=self.model,
            prompt_tokens=len(self.prompt.tokens),
            cached_prompt_tokens=self.predictor.cached_tokens,
            generated_tokens=self.forwards,
            busy_ms=self.predictor.busy_seconds * 1000.0,
            dropped_mass=self.dropped_mass,
            drafted_tokens=self.drafted,
            accepted_tokens=self.accepted,
            lone_tokens=self.lone,
        )
