"""Sessions whose tokens are drawn here, from their rows, with nobody asked between two of them.

To the scheduler they are sessions like all others: a prompt in chunks, then one short feed after
the other. Only that the next token is drawn in place where the row of the last one is written, by
the sampler that the vote has too: the same options, rows and seed give the same tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

from quorate.engines.generation import EngineSampling, SampledToken
from quorate.engines.scheduler.drawing import Drawing
from quorate.engines.scheduler.entry import Entry
from quorate.engines.scheduler.generations import SessionOutput
from quorate.engines.scheduler.outstanding import Outstanding
from quorate.engines.vocabulary import Vocabulary
from quorate.errors import QuorateError
from quorate.sampling.candidates import largest


class Drawings:
    """``Generations`` for models that only compute rows.

    Those whose row is there are *due*: they are drawn when what they drew is asked for, so that
    feeds of the same decode call are told before.

    Args:
        feeds: Where what they drew waits to be decoded.
    """

    reading = False
    """No prompt is read that is not a feed."""

    def __init__(self, vocabulary: Vocabulary, feeds: Outstanding) -> None:
        self._vocabulary_size = len(vocabulary)
        self._ending = vocabulary.end_of_generation
        self._feeds = feeds
        self._due: list[tuple[Entry, Drawing]] = []

    def __len__(self) -> int:
        """None goes on in a decode call without a feed."""
        return 0

    @property
    def pending(self) -> bool:
        """Whether any is due."""
        return bool(self._due)

    def start(self, entry: Entry, tokens: Sequence[int], options: EngineSampling) -> None:
        """Has a session read ``tokens`` and then go on alone."""
        entry.drawing = Drawing(options, self._vocabulary_size, [*entry.tokens, *tokens])
        self._feed(entry, tokens)

    def takes(self, entry: Entry) -> bool:
        """Whether the row of a session is for nobody but this; then it is due."""
        if entry.drawing is None:
            return False
        self._due.append((entry, entry.drawing))
        return True

    def collect(self) -> list[SessionOutput]:
        """Nothing: the model samples nothing by itself."""
        return []

    def draw(self) -> list[SessionOutput]:
        """Draws for all that are due, and feeds each what it drew."""
        due, self._due = self._due, []
        return [self._advance(entry, drawing) for entry, drawing in due]

    def taken(self, entry: Entry, tokens: int) -> None:
        """The reader of a session took so many tokens; it may draw as many more."""
        drawing = entry.drawing
        if drawing is None:
            return
        drawing.ahead += tokens
        if drawing.unfed is not None:
            token, drawing.unfed = drawing.unfed, None
            self._feed(entry, (token,))

    def end(self, session: int) -> None:
        """Draws no more for a session."""
        self._due = [one for one in self._due if one[0].session != session]

    def _feed(self, entry: Entry, tokens: Sequence[int]) -> None:
        entry.take(tokens)
        self._feeds.add(entry)

    def _advance(self, entry: Entry, drawing: Drawing) -> SessionOutput:
        try:
            token = drawing.sample(entry.output)
        except QuorateError:
            # Bias and penalties leave nothing, or the row holds nothing: an end without a token.
            return SessionOutput(entry.session, (), True, entry.cached_tokens)
        drawing.left -= 1
        drawing.ahead -= 1
        finished = token in self._ending or drawing.left <= 0
        if not finished and drawing.ahead > 0:
            # Before anything is told: the next decode call waits for this alone.
            self._feed(entry, (token,))
        elif not finished:
            drawing.unfed = token
        sampled = _sampled(token, entry, drawing.shown)
        return SessionOutput(entry.session, (sampled,), finished, entry.cached_tokens)


def _sampled(token: int, entry: Entry, shown: int) -> SampledToken:
    row = entry.output
    top = [(other, float(row[other])) for other in largest(row, shown).tolist()] if shown else ()
    masked = 0.0 if entry.masked_mass is None else float(entry.masked_mass[0])
    return SampledToken(token, float(row[token]), top, masked)
