"""The sessions whose tokens the model samples by itself, with a sampler of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from quorate.engines.generation import EngineSampling, SampledToken
from quorate.engines.scheduler.contract import BatchModel, GeneratingModel, SequenceOutput
from quorate.engines.scheduler.entry import UNBOUND, Entry
from quorate.engines.scheduler.sequences import SequencePool


@dataclass(frozen=True, slots=True)
class SessionOutput:
    """What was sampled for a session in the last decode call.

    Attributes:
        tokens: The tokens, in their order; none while its prompt is still being read.
        finished: Whether the last of them ended the generation.
        cached_tokens: How many of the session's first tokens were found in a prefix cache.
    """

    session: int
    tokens: Sequence[SampledToken]
    finished: bool
    cached_tokens: int


@dataclass(slots=True)
class _Running:
    """A generation.

    Attributes:
        kv_tokens: How many its sequence may come to hold.
        first: Whether the session was fed nothing before.
        cached_tokens: How many of the session's first tokens were found in a prefix cache.
        reading: Whether nothing was sampled yet.
    """

    session: int
    kv_tokens: int
    first: bool
    cached_tokens: int
    reading: bool = True

    def note(self, output: SequenceOutput) -> SessionOutput:
        """Notes what the model made of it."""
        self.reading = self.reading and not output.tokens
        if self.first:
            self.cached_tokens = max(self.cached_tokens, output.cached_tokens)
        return SessionOutput(self.session, output.tokens, output.finished, self.cached_tokens)


class Generations:
    """Runs beside the feeds of other sessions, in the same decode calls.

    A generation takes its session's sequence over and counts all tokens that it may come to hold as
    held: nobody knows how far the model is. Once it ends the sequence is emptied, since what a
    model keeps of its own tokens is its own affair.
    """

    def __init__(self, model: BatchModel, pool: SequencePool) -> None:
        # Only asked for where the model's facts say that it can.
        self._model = cast(GeneratingModel, model)
        self._pool = pool
        # By KV sequence.
        self._running: dict[int, _Running] = {}

    def __len__(self) -> int:
        return len(self._running)

    pending = False
    """What a decode call made is collected behind it."""

    @property
    def reading(self) -> bool:
        """Whether one of them has yet to read its prompt."""
        return any(running.reading for running in self._running.values())

    def start(self, entry: Entry, tokens: Sequence[int], options: EngineSampling) -> None:
        """Has the model go on alone behind ``tokens``; the entry is of no more use."""
        held, more = len(entry.tokens), len(tokens) + options.max_tokens
        if entry.sequence == UNBOUND:
            # A prefix out of our own cache would be lost with the sequence.
            entry.bind(self._pool.claim([], ()))
        sequence, entry.sequence, entry.tokens = entry.sequence, UNBOUND, []
        self._pool.make_room(more)
        self._pool.grow(more)
        self._running[sequence] = _Running(
            entry.session, held + more, first=not held, cached_tokens=entry.cached_tokens
        )
        self._model.generate(sequence, held, tokens, options)

    def takes(self, entry: Entry) -> bool:
        """Never: what a generation computes is no feed of its session."""
        return False

    def taken(self, entry: Entry, tokens: int) -> None:
        """Nothing to do: a model that samples by itself waits for no reader."""

    def draw(self) -> list[SessionOutput]:
        """Nothing: the model does it, in its decode calls."""
        return []

    def collect(self) -> list[SessionOutput]:
        """What the model sampled since it was last asked; those that are finished are over."""
        if not self._running:
            return []
        outputs = []
        for output in self._model.sampled():
            outputs.append(self._running[output.sequence].note(output))
            if output.finished:
                self._free(output.sequence)
        return outputs

    def end(self, session: int) -> None:
        """Ends the generation of a session, if one is running."""
        for sequence, running in self._running.items():
            if running.session == session:
                self._free(sequence)
                return

    def _free(self, sequence: int) -> None:
        self._pool.discard(sequence, self._running.pop(sequence).kv_tokens)
