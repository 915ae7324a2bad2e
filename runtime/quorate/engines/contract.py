"""What the vote may ask of an engine.

An engine answers with log-probs and knows nothing of plans, weights or sampling.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from quorate.engines.vocabulary import Vocabulary
from quorate.generation import Prompt

LogProbs: TypeAlias = npt.NDArray[np.float32]
"""Normalised log-probs of the next token, natural log, shape (vocabulary,).

Control tokens that do not end generation have no bytes and so no place in a vote: they are -inf,
and the rest is normalised without them.
"""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can do; where a flag is false the caller replays the prefix instead."""

    chat: bool
    fork: bool
    rewind: bool


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What is known of a model once it is loaded.

    Attributes:
        description: One line for people, such as ``llama 135M Q4_1``.
        context_length: Most tokens one session can hold.
        sessions: Most sessions that can be open at once.
        cells: KV cells shared by all sessions; their reservations never exceed it.
        memory_bytes: Resident size estimate of weights and KV cache; 0 where unknown.
    """

    description: str
    context_length: int
    sessions: int
    cells: int
    capabilities: Capabilities
    memory_bytes: int = 0


class Session(Protocol):
    """One sequence of tokens inside an engine. Not for concurrent use: one call at a time.

    After any call raised ``WorkerLost`` only ``close`` is allowed.
    """

    @property
    def position(self) -> int:
        """Number of tokens held."""
        ...

    @property
    def cached_tokens(self) -> int:
        """How many of the first feed's tokens were found in the prefix cache."""
        ...

    @property
    def busy_seconds(self) -> float:
        """Time spent between feeds and their answers so far."""
        ...

    def feed(self, tokens: Sequence[int]) -> Awaitable[LogProbs]:
        """Appends tokens; the result is the log-probs of the one that would follow.

        The work starts at the call, not at the await (a plain method that returns a future), so
        that several members work at once and the caller can do other things meanwhile.

        Args:
            tokens: One or more token ids; the first feed of a session is its prompt.

        Returns:
            A read-only view, float32 of shape (vocabulary,), normalised, valid until the next call
            on this session or its closing; copy it to keep it.

        Raises:
            InvalidRequest: An id outside the vocabulary, or more tokens than were reserved.
            WorkerLost: The process behind the engine died.
        """
        ...

    async def fork(self) -> Session:
        """Opens a second session that holds the same tokens and shares their KV entries.

        Raises:
            Overloaded: No free session or cells: forks never wait, since their parent holds what
                others wait for.
            UnsupportedPlan: ``capabilities.fork`` is false.
        """
        ...

    async def rewind(self, count: int) -> None:
        """Forgets the last ``count`` tokens; the next feed continues from there.

        Raises:
            InvalidRequest: ``count`` is negative or exceeds ``position``.
            UnsupportedPlan: ``capabilities.rewind`` is false.
        """
        ...

    def close(self) -> None:
        """Frees the session at once, also in the middle of a feed. Idempotent, never raises."""
        ...


class Engine(Protocol):
    """One loaded model."""

    @property
    def facts(self) -> ModelFacts:
        """Facts of the loaded model."""
        ...

    @property
    def vocabulary(self) -> Vocabulary:
        """The model's tokens."""
        ...

    async def encode(self, prompt: Prompt) -> list[int]:
        """Turns a prompt into this model's tokens, with BOS where the model wants one.

        Special tokens written in user text stay text.

        Raises:
            UnsupportedPlan: A chat, and the model has no template.
            InvalidRequest: The template refuses these messages.
        """
        ...

    async def encode_continuation(self, text: str) -> list[int]:
        """Turns text into tokens as it would continue a prompt: no BOS, no dummy prefix."""
        ...

    async def open(self, tokens: int) -> Session:
        """Opens a session that may grow to ``tokens`` tokens.

        Waits in order of arrival until a session and enough KV cells are free. Closing the task
        that waits gives up its place.

        Raises:
            PromptTooLong: More than the context length, so that it could never be admitted.
            WorkerLost: The process behind the engine died while waiting.
            Unavailable: The engine is closed or restarting.
        """
        ...

    async def wait_ready(self) -> None:
        """Returns once ``open`` can work again after a ``WorkerLost``.

        Raises:
            Unavailable: The engine is closed or has given up.
        """
        ...

    async def close(self) -> None:
        """Closes every session and frees the memory. Idempotent."""
        ...
