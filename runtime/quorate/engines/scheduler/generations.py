"""The sessions whose tokens the model draws by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

from quorate.engines.contract import EngineSampling, SampledToken
from quorate.engines.scheduler.contract import Advance, BatchModel, GeneratingModel
from quorate.engines.scheduler.sequences import SequencePool
from quorate.engines.scheduler.session_table import UNBOUND, Entry


class Stretch(NamedTuple):
    """What a session drew in the last decode call.

    Attributes:
        drawn: The tokens, in their order.
        finished: Whether the last of them ended the generation.
        cached_tokens: How many of the session's first tokens were found in a prefix cache.
    """

    session: int
    drawn: Sequence[SampledToken]
    finished: bool
    cached_tokens: int


@dataclass(slots=True)
class _Running:
    """A generation.

    Attributes:
        cells: What its sequence may fill.
        first: Whether the session was fed nothing before.
        cached_tokens: How many of the session's first tokens were found in a prefix cache.
        reading: Whether it has not drawn anything yet.
    """

    session: int
    kv_tokens: int
    first: bool
    cached_tokens: int
    reading: bool = True

    def stretch(self, advance: Advance) -> Stretch:
        """Notes what the model made of it."""
        self.reading = self.reading and not advance.drawn
        if self.first:
            self.cached_tokens = max(self.cached_tokens, advance.cached_tokens)
        return Stretch(self.session, advance.drawn, advance.finished, self.cached_tokens)


class Generations:
    """Runs beside the feeds of other sessions, in the same decode calls.

    A generation takes its session's sequence over and counts all cells that it may come to fill as
    filled: nobody knows how far the model is. Once it ends the sequence is emptied, since what a
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

    @property
    def reading(self) -> bool:
        """Whether one of them has yet to read its prompt."""
        return any(running.reading for running in self._running.values())

    def start(self, entry: Entry, tokens: Sequence[int], options: EngineSampling) -> None:
        """Has the model go on alone behind ``tokens``; the entry is of no more use."""
        held, growth = len(entry.tokens), len(tokens) + options.max_tokens
        if entry.sequence == UNBOUND:
            # A prefix out of our own cache would be lost with the sequence.
            entry.bind(self._pool.claim([], ()))
        sequence, entry.sequence, entry.tokens = entry.sequence, UNBOUND, []
        self._pool.make_room(growth)
        self._pool.grow(growth)
        self._running[sequence] = _Running(
            entry.session, held + growth, first=not held, cached_tokens=entry.cached_tokens
        )
        self._model.generate(sequence, held, tokens, options)

    def collect(self) -> list[Stretch]:
        """What was drawn since it was last asked; those that are finished are over."""
        if not self._running:
            return []
        stretches = []
        for advance in self._model.drawn():
            stretches.append(self._running[advance.sequence].stretch(advance))
            if advance.finished:
                self._free(advance.sequence)
        return stretches

    def end(self, session: int) -> None:
        """Ends the generation of a session, if one is running."""
        for sequence, running in self._running.items():
            if running.session == session:
                self._free(sequence)
                return

    def _free(self, sequence: int) -> None:
        self._pool.discard(sequence, self._running.pop(sequence).kv_tokens)
