"""Generations of a scripted model: what each has still to read, and what it sampled last."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np

from quorate.engines.contract import LogProbs
from quorate.engines.generation import EngineSampling
from quorate.engines.scheduler.contract import SequenceOutput
from quorate.engines.scripted.sampling import Sampler


@dataclass(slots=True)
class _Generation:
    """One of them.

    Attributes:
        unread: The prompt, later the token that was sampled last; empty once it is finished.
        remaining: Tokens that it may still sample.
    """

    sampler: Sampler
    unread: list[int]
    remaining: int


class Generations:
    """Each samples one token in every decode call.

    Args:
        write: Writes the log-probs of the token after a context.
        ending: Tokens of which any ends a generation.
    """

    def __init__(
        self, write: Callable[[Sequence[int], LogProbs], None], size: int, ending: Collection[int]
    ) -> None:
        self._write = write
        self._ending = ending
        self._row: LogProbs = np.empty(size, np.float32)
        self._running: dict[int, _Generation] = {}
        self._advances: list[SequenceOutput] = []

    def __contains__(self, sequence: int) -> bool:
        return sequence in self._running

    @property
    def unread(self) -> int:
        """Tokens that the next decode call reads; 0 where nothing goes on."""
        return sum(len(generation.unread) for generation in self._running.values())

    def start(self, sequence: int, tokens: Sequence[int], options: EngineSampling) -> None:
        """Goes on behind these tokens from the next decode call on."""
        sampler = Sampler(options)
        self._running[sequence] = _Generation(sampler, list(tokens), options.max_tokens)

    def end(self, sequence: int) -> None:
        """Ends one, if it is there."""
        self._running.pop(sequence, None)

    def step(self, sequences: Sequence[list[int]]) -> None:
        """Has each read, which appends to the tokens of its sequence, and sample."""
        for sequence, generation in self._running.items():
            if generation.unread:
                self._advances.append(self._advance(sequence, generation, sequences[sequence]))

    def take(self) -> list[SequenceOutput]:
        """What was sampled since it was last asked."""
        taken, self._advances = self._advances, []
        return taken

    def _advance(self, sequence: int, generation: _Generation, held: list[int]) -> SequenceOutput:
        held.extend(generation.unread)
        self._write(held, self._row)
        sampled = generation.sampler(self._row)
        generation.remaining -= 1
        finished = sampled.token in self._ending or not generation.remaining
        generation.unread = [] if finished else [sampled.token]
        return SequenceOutput(sequence, [sampled], finished)
