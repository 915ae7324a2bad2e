"""What a batched model offers to the scheduler. Synchronous; one owner thread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from quorate.engines.contract import LogProbs, ModelFacts
from quorate.engines.vocabulary import Vocabulary
from quorate.generation import Prompt


@dataclass(frozen=True, slots=True)
class Chunk:
    """A run of tokens of one sequence inside one decode call.

    Attributes:
        sequence: KV sequence id, in ``range(facts.sessions)``.
        position: Position of the first token.
        tokens: At least one token id.
        output: Where the log-probs after the last token go, float32 of shape (vocabulary,);
            None where they are not wanted (all but the last chunk of a prompt).
        targets: For the first tokens of a chunk that is scored, the ids that follow each.
        scores: Where the targets' log-probs go, float32 of shape (targets,); None where the chunk
            is not scored.
    """

    sequence: int
    position: int
    tokens: Sequence[int]
    output: LogProbs | None
    targets: Sequence[int] = ()
    scores: npt.NDArray[np.float32] | None = None


class NoRoom(Exception):
    """The decode call found no KV cells; the model's state is as before the call."""


class BatchModel(Protocol):
    """One model that decodes many sequences in one call."""

    @property
    def facts(self) -> ModelFacts:
        """Facts of the loaded model."""
        ...

    @property
    def vocabulary(self) -> Vocabulary:
        """The model's tokens."""
        ...

    @property
    def batch_tokens(self) -> int:
        """Most tokens one decode call takes."""
        ...

    @property
    def most_outputs(self) -> int:
        """Most rows of log-probs one decode call computes; at least the sessions."""
        ...

    def encode(self, prompt: Prompt) -> list[int]:
        """See ``Engine.encode``."""
        ...

    def encode_continuation(self, text: str) -> list[int]:
        """See ``Engine.encode_continuation``."""
        ...

    def decode(self, chunks: Sequence[Chunk]) -> None:
        """Runs one batch and writes log-probs to each chunk's ``output`` and ``scores``.

        Raises:
            NoRoom: No KV cells for these tokens; nothing was changed.
        """
        ...

    def copy(self, source: int, target: int, length: int) -> None:
        """Makes ``target``, which is empty, share the first ``length`` tokens of ``source``."""
        ...

    def truncate(self, sequence: int, length: int) -> None:
        """Keeps the first ``length`` tokens of a sequence; 0 clears it, which always works."""
        ...

    def set_cores(self, count: int) -> None:
        """Uses this many threads from the next decode call on."""
        ...

    def close(self) -> None:
        """Frees the model's memory. Idempotent."""
        ...
