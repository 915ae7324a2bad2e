"""How well a member predicts a prompt: what weights can start from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quorate.engines.contract import Engine
from quorate.generation import Prompt, TextPrompt

MOST_CHARACTERS = 512
"""Characters of a prompt that are read, the last ones: enough to know a text by."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A text as one member cut it into tokens, the first token left out.

    Attributes:
        logprobs: Of each token, in nats.
        sizes: Bytes of each token.
    """

    logprobs: Sequence[float] = ()
    sizes: Sequence[int] = ()

    def by_byte(self, count: int) -> list[float]:
        """Log-probs of the last ``count`` bytes, every token's spread over its bytes.

        Bytes before the first token that has a log-prob count as the mean of the others.
        """
        spread = [
            logprob / size
            for logprob, size in zip(self.logprobs, self.sizes, strict=True)
            for _ in range(size)
        ]
        mean = sum(spread) / len(spread) if spread else 0.0
        return [*[mean] * (count - len(spread)), *spread][-count:] if count else []


def readable(prompt: Prompt) -> str:
    """The text of a prompt that says what it is about, without any template."""
    if isinstance(prompt, TextPrompt):
        text = prompt.text
    else:
        text = "\n".join(message.content for message in prompt.messages)
    return text[-MOST_CHARACTERS:]


async def read(engine: Engine, text: str) -> Reading:
    """Has a member read a text as a document of its own.

    Raises:
        WorkerLost: The process behind the engine died.
        Unavailable: The engine is closed or restarting.
    """
    tokens = await engine.encode(TextPrompt(text))
    tokens = tokens[: min(engine.facts.context_length, engine.facts.cells)]
    if len(tokens) < 2:
        return Reading()
    session = await engine.open(len(tokens))
    try:
        logprobs = await session.score(tokens)
    finally:
        session.close()
    pieces = engine.vocabulary.pieces
    return Reading(logprobs, [len(pieces[token]) for token in tokens[1:]])
