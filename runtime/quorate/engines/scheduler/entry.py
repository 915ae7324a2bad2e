"""What the scheduler knows of one open session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from quorate.engines.byte_order import PrefixSums
from quorate.engines.contract import LogProbs, MaskedMass
from quorate.engines.row_blocks import RowBlock
from quorate.engines.scheduler.contract import Chunk
from quorate.engines.scheduler.drawing import Drawing
from quorate.engines.scheduler.sequences import Held
from quorate.sampling.peaks import Maxima, write_maxima

UNBOUND = -1
"""Sequence of a session that has not been scheduled yet."""


@dataclass(frozen=True, slots=True)
class Completion:
    """A feed whose log-probs are written.

    Attributes:
        session: Whose feed it was.
        cached_tokens: How many tokens of the session's first feed were in the prefix cache.
        scores: Log-probs of all tokens of a scored feed but the first; None for other feeds.
    """

    session: int
    cached_tokens: int
    scores: list[float] | None = None


@dataclass(slots=True)
class ForkGroup:
    """Sessions forked from one another in the KV cache, where they share what they have in common.

    Attributes:
        open_sessions: How many of them are open.
    """

    open_sessions: int = 1


@dataclass(slots=True, eq=False)
class Entry:
    """One open session.

    Attributes:
        output: Where its log-probs go, float32 of shape (vocabulary,).
        sums: Where the prefix sums of its log-probs go, or None where nobody wants them.
        masked_mass: Where the probability goes that the mask took, or None where nobody asks.
        block: Where the log-probs of several tokens go, or None where none are ever asked for.
        maxima: Where the maxima of its log-probs go, or None where nobody wants them.
        sequence: Its KV sequence, or ``UNBOUND``.
        feed: The outstanding feed; empty where there is none.
        done: How many tokens of the feed the sequence holds already.
        rows: How many of the feed's last tokens have a row of the block each; 0 where the last one
            has the output.
        cached_tokens: How many of the first feed's tokens were found in the prefix cache.
        last_decode: Number of the decode call in which it last advanced by a short feed.
        group: Those it shares KV entries with, itself included.
        inherited: Tokens of its parent, or of its own, that must be decoded again, because the
            model cannot share them or has let go of some.
        scores: Log-probs of the feed's tokens so far; None where the feed is not scored.
        keep: Whether its tokens are worth keeping for later prompts.
        generated: Whether it goes on alone, or did: it can only be closed.
        drawing: What its tokens are drawn with, where that is done here.
    """

    session: int
    output: LogProbs
    sums: PrefixSums | None = None
    masked_mass: MaskedMass | None = None
    block: RowBlock | None = None
    maxima: Maxima | None = None
    sequence: int = UNBOUND
    tokens: list[int] = field(default_factory=list)
    feed: list[int] = field(default_factory=list)
    done: int = 0
    rows: int = 0
    cached_tokens: int = 0
    last_decode: int | None = None
    group: ForkGroup = field(default_factory=ForkGroup)
    inherited: list[int] = field(default_factory=list)
    scores: list[float] | None = None
    keep: bool = True
    generated: bool = False
    drawing: Drawing | None = None

    @property
    def held(self) -> Held:
        """Its sequence with the tokens in it."""
        return Held(self.sequence, self.tokens)

    @property
    def cacheable(self) -> list[int]:
        """What of the feed may come from a cache, and one token more: those with rows may not."""
        if self.scores is not None:
            return []
        return self.feed[: len(self.feed) - self.rows + 1] if self.rows else self.feed

    @property
    def wants_several_rows(self) -> bool:
        """Whether one decode call could compute several rows for it."""
        return self.rows > 0 or self.scores is not None

    def take(self, tokens: Sequence[int], rows: int = 0) -> None:
        """Notes a feed; see ``Scheduler.feed``.

        Raises:
            ValueError: No tokens, or more rows than tokens or than the block has.
        """
        if not tokens:
            raise ValueError(f"session {self.session}: an empty feed")
        if rows:
            most = 0 if self.block is None else len(self.block.rows)
            if not 0 < rows <= min(most, len(tokens)):
                raise ValueError(f"session {self.session}: {rows} rows for {len(tokens)} tokens")
        self.feed, self.inherited, self.rows = [*self.inherited, *tokens], [], rows

    def bind(self, held: Held) -> None:
        """Starts on a sequence that may hold the beginning of the first feed."""
        self.sequence, self.tokens = held
        self.done = self.cached_tokens = len(held.tokens)

    def most_tokens(self, rows: int) -> int:
        """How many more tokens of the feed need no more than so many rows."""
        if self.scores is not None:
            return rows
        return max(0, len(self.feed) - self.rows - self.done) + rows

    def next_chunk(self, most: int) -> Chunk:
        """The next tokens of the feed, at most ``most``; only the last chunk has an output."""
        feed, done = self.feed, self.done
        if self.rows:
            return self._block_chunk(most)
        if self.scores is not None:
            return self._scored_chunk(most)
        remaining = len(feed) - done
        if remaining > most:
            return Chunk(self.sequence, len(self.tokens), feed[done : done + most], None)
        part = feed[done:] if done else feed
        return Chunk(
            self.sequence,
            len(self.tokens),
            part,
            self.output,
            sums=self.sums,
            masked_mass=self.masked_mass,
        )

    def advance(self, chunk: Chunk) -> bool:
        """Counts a decoded chunk; True where the feed is now complete."""
        self._write_maxima(chunk)
        self.tokens.extend(chunk.tokens)
        self.done += len(chunk.tokens)
        if chunk.scores is not None and self.scores is not None:
            self.scores.extend(chunk.scores.tolist())
        if self.done < len(self.feed):
            return False
        self.feed, self.done = [], 0
        return True

    def complete(self) -> Completion:
        """What there is to tell of the feed that is now complete."""
        scores, self.scores = self.scores, None
        return Completion(self.session, self.cached_tokens, scores)

    def _write_maxima(self, chunk: Chunk) -> None:
        """Looks for the large log-probs while they are in this processor's cache."""
        if chunk.output is not None and self.maxima is not None and self.drawing is None:
            write_maxima(chunk.output, self.maxima)
        elif chunk.block is not None and chunk.block.maxima is not None:
            for row, maxima in zip(chunk.block.rows, chunk.block.maxima, strict=True):
                write_maxima(row, maxima)

    def _block_chunk(self, most: int) -> Chunk:
        start, end = self.done, min(len(self.feed), self.done + most)
        first = len(self.feed) - self.rows
        block = None
        if end > first and self.block is not None:
            block = self.block.part(max(start, first) - first, end - first)
        return Chunk(self.sequence, len(self.tokens), self.feed[start:end], None, block=block)

    def _scored_chunk(self, most: int) -> Chunk:
        start, end = self.done, self.done + most
        part, targets = self.feed[start:end], self.feed[start + 1 : end + 1]
        scores = np.empty(len(targets), np.float32)
        return Chunk(self.sequence, len(self.tokens), part, None, targets, scores)
