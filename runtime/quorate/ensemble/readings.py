"""How well a member predicts a prompt: what weights can start from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quorate.engines.contract import Engine
from quorate.request import Prompt, TextPrompt

MAX_CHARACTERS = 512
"""Characters of a prompt that are read, the last ones: enough to know a text by."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A text as one member cut it into tokens.

    Attributes:
        logprobs: Of each token, in nats.
        sizes: Bytes of each token.
    """

    logprobs: Sequence[float] = ()
    sizes: Sequence[int] = ()

    def by_byte(self, count: int) -> list[float]:
        """Log-probs of the last ``count`` bytes, every token's spread over its bytes."""
        spread = [
            logprob / size
            for logprob, size in zip(self.logprobs, self.sizes, strict=True)
            for _ in range(size)
        ]
        return spread[-count:] if count else []


def on_the_same_bytes(readings: Sequence[Reading]) -> list[list[float]]:
    """Log-probs of the last bytes that every member has read, so that all are judged alike."""
    count = min((sum(reading.sizes) for reading in readings), default=0)
    return [reading.by_byte(count) for reading in readings]


def readable(prompt: Prompt) -> str:
    """The last ``MAX_CHARACTERS`` characters of what was asked, without any template."""
    return prompt.ending(MAX_CHARACTERS)


async def read(engine: Engine, text: str) -> Reading:
    """Has a member read a text as a document of its own.

    Raises:
        WorkerLost: The process behind the engine died.
        Unavailable: The engine is closed or restarting.
    """
    start, tokens = await engine.encode(TextPrompt("")), await engine.encode(TextPrompt(text))
    if tokens[: len(start)] != start:
        # A model that wants no BOS still needs something before the first token it is to judge.
        tokens = [*start, *tokens]
    tokens = tokens[: min(engine.facts.context_length, engine.facts.kv_tokens)]
    if len(tokens) < 2:
        return Reading()
    session = await engine.open(len(tokens))
    try:
        logprobs = await session.score(tokens)
    finally:
        session.close()
    pieces = engine.vocabulary.pieces
    return Reading(logprobs, [len(pieces[token]) for token in tokens[1:]])
