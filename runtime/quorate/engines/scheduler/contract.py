"""What a batched model offers to the scheduler. Synchronous; one owner thread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from quorate.engines.byte_order import PrefixSums
from quorate.engines.contract import LogProbs, MaskedMass, ModelFacts
from quorate.engines.generation import EngineSampling, SampledToken
from quorate.engines.row_blocks import RowBlock
from quorate.engines.vocabulary import Vocabulary
from quorate.request import Prompt

CPU_PREFILL_TOKENS = 64
"""Most prompt tokens in one decode call while others decode, for models that CPUs compute.

Larger calls read a prompt hardly faster. How many of them those who decode can afford is measured
(``PrefillPace``).
"""

GPU_PREFILL_TOKENS = 512
"""The same for models that GPUs compute.

A step reads all weights however many tokens it computes, and with fewer than some hundreds of them
it is the reading that takes the time (bfloat16 on an H100: 990 TFLOP/s over 3.35 TB/s, 300 tokens).
Smaller chunks stall nobody for less and read the weights more often. 512 is what Sarathi-Serve
takes where latencies are strict, and 2048 where they are not (Agrawal et al. 2024).
"""


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
        sums: Where the prefix sums of the output go, float64 of shape (at least byte tokens + 1,);
            None where they are not wanted, and wherever there is no output.
        masked_mass: Where the probability goes that the mask took from the output's tokens, float32
            of shape (1,); None where nobody asks.
        block: Where the log-probs after each of its last tokens go, with all that belongs to them;
            None where they are not wanted. There is no ``output`` beside it.
    """

    sequence: int
    position: int
    tokens: Sequence[int]
    output: LogProbs | None
    targets: Sequence[int] = ()
    scores: npt.NDArray[np.float32] | None = None
    sums: PrefixSums | None = None
    masked_mass: MaskedMass | None = None
    block: RowBlock | None = None

    @property
    def rows(self) -> int:
        """Rows of log-probs that are computed for it."""
        rows = len(self.targets) + (self.output is not None)
        return rows if self.block is None else rows + len(self.block.rows)


@dataclass(frozen=True, slots=True)
class SequenceOutput:
    """What one generation sampled in a decode call.

    Attributes:
        sequence: Whose it is.
        tokens: The tokens, in their order; none while its prompt is still being read.
        finished: Whether the last of them ended it. It stands still from then on.
        cached_tokens: How many of the tokens that ``generate`` gave were found in a cache of the
            model's own; need only be told once.
    """

    sequence: int
    tokens: Sequence[SampledToken]
    finished: bool
    cached_tokens: int = 0


class NoRoom(Exception):
    """The decode call found no room in the KV cache; the model's state is as before the call."""


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
    def interleaved_prefill_tokens(self) -> int:
        """Most prompt tokens that suit one decode call while others decode, at least 1.

        It depends on what computes the model; see ``CPU_PREFILL_TOKENS``.
        """
        ...

    @property
    def uses_cores(self) -> bool:
        """Whether decode calls keep the processor cores busy that it was given.

        Calls of models that do so take turns where these share cores.
        """
        ...

    @property
    def max_outputs(self) -> int:
        """Most rows of log-probs one decode call computes; at least the sessions."""
        ...

    @property
    def chunk_rows(self) -> int:
        """Most rows of a ``Chunk.block``, at least 1; larger blocks come in several calls."""
        ...

    def encode(self, prompt: Prompt) -> list[int]:
        """See ``Engine.encode``."""
        ...

    def encode_continuation(self, text: str) -> list[int]:
        """See ``Engine.encode_continuation``."""
        ...

    def decode(self, chunks: Sequence[Chunk]) -> None:
        """Runs one batch and writes to each chunk's outputs, ``block`` and ``scores``.

        Generations go on in the same call; where some run there may be no chunks at all.

        Raises:
            NoRoom: The KV cache holds no more tokens; nothing was changed.
        """
        ...

    def copy(self, source: int, target: int, length: int) -> int:
        """Makes ``target``, which is empty, share the first ``length`` tokens of ``source``.

        Returns:
            How many it shares: ``length``, or 0 as for ``truncate``; all of a source always.
        """
        ...

    def truncate(self, sequence: int, length: int) -> int:
        """Keeps the first ``length`` tokens of a sequence; 0 clears it, which always works.

        Returns:
            How many it holds now: ``length``, or 0 where what follows those could not be computed
            any more, since layers that look back over a window have let go of some of them.
        """
        ...

    def set_cores(self, count: int) -> None:
        """Uses this many threads from the next decode call on."""
        ...

    def close(self) -> None:
        """Frees the model's memory. Idempotent."""
        ...


class GeneratingModel(BatchModel, Protocol):
    """A model with a sampler of its own; ``facts.capabilities.own_sampler`` says so."""

    def generate(
        self, sequence: int, position: int, tokens: Sequence[int], options: EngineSampling
    ) -> None:
        """Starts a generation; the next decode calls read its tokens and sample what follows.

        The sequence holds ``position`` tokens already, and at least one more is given.

        The tokens may be more than ``batch_tokens``: how a model divides them is its own affair.
        ``truncate(sequence, 0)`` ends the generation, whether it is finished or not; nothing else
        is done to the sequence before.
        """
        ...

    def sampled(self) -> Sequence[SequenceOutput]:
        """Hands out what the generations sampled in the last decode call; each of it once."""
        ...
