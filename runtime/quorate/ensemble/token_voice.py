"""Members that speak in whole tokens of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Generator, Sequence
from typing import Any

from quorate.engines.contract import Engine, EngineSampling, LogProbs, SampledToken, Session
from quorate.ensemble.voices import Favourite, Ready


class SessionVoice:
    """One session that follows the answer: all of a ``Voice`` but what it hears.

    Args:
        engine: The member.
        prompt: The prompt in the member's own tokens.
        reserve: Tokens its session may grow to.
    """

    def __init__(self, engine: Engine, prompt: Sequence[int], reserve: int) -> None:
        self.vocabulary = engine.vocabulary
        self._engine = engine
        self._prompt = tuple(prompt)
        self._reserve = reserve
        self._answer: list[int] = []
        self._session: Session | None = None
        self._held = 0
        self._fed = 0
        self._busy_seconds = 0.0
        self._cached: int | None = None

    @property
    def forwards(self) -> int:
        """See ``Voice``; of the longest of its sessions, after a replay."""
        # A session that is left alone goes beyond what it was fed.
        held = self._session.position if self._session else 0
        return max(0, max(self._fed, held) - len(self._prompt))

    @property
    def length(self) -> int:
        """See ``Voice``."""
        return len(self._answer)

    @property
    def busy_seconds(self) -> float:
        """See ``Voice``."""
        return self._busy_seconds + (self._session.busy_seconds if self._session else 0.0)

    @property
    def cached_tokens(self) -> int:
        """See ``Voice``."""
        if self._cached is not None:
            return self._cached
        return self._session.cached_tokens if self._session else 0

    @property
    def dropped_mass(self) -> float | None:
        """See ``Voice``."""
        return None

    async def open(self) -> None:
        """See ``Voice``."""
        self._session = await self._engine.open(self._reserve)
        self._held = 0

    def start(self) -> Awaitable[LogProbs]:
        """See ``Voice``."""
        return self._feed((*self._prompt, *self._answer))

    def favourite(self, row: LogProbs) -> Favourite:
        """See ``Voice``."""
        best = int(row.argmax())
        return Favourite(self.vocabulary.pieces[best], float(row[best]))

    def close(self) -> None:
        """See ``Voice``."""
        if self._session is None:
            return
        self._busy_seconds += self._session.busy_seconds
        if self._cached is None:
            self._cached = self._session.cached_tokens
        self._fed = max(self._fed, self._session.position)
        self._session.close()
        self._session = None

    def _go_on(self, tokens: Sequence[int]) -> Awaitable[LogProbs]:
        """Appends tokens to the answer."""
        self._answer.extend(tokens)
        return self._feed(tokens)

    def _feed(self, tokens: Sequence[int]) -> Awaitable[LogProbs]:
        return self._fed_session(tokens).feed(tokens)

    def _fed_session(self, tokens: Sequence[int]) -> Session:
        """The session, which is about to be fed."""
        if self._session is None:
            raise RuntimeError("a voice was fed before it was opened")
        self._held += len(tokens)
        self._fed = max(self._fed, self._held)
        return self._session


class TokenVoice(SessionVoice):
    """``Voice`` whose symbols are tokens of a vocabulary that all members share."""

    def feed(self, symbol: int) -> Awaitable[LogProbs]:
        """See ``Voice``; ``symbol`` is a token id."""
        return self._go_on((symbol,))

    def generate(self, options: EngineSampling) -> AsyncIterator[Sequence[SampledToken]]:
        """Starts on the prompt and lets the engine go on alone; see ``Session.generate``."""
        return self._fed_session(self._prompt).generate(self._prompt, options)

    def keep(self, token: int) -> None:
        """Takes a token that the engine drew by itself into the answer."""
        self._answer.append(token)


class PieceVoice(SessionVoice):
    """``Voice`` whose symbols are bytes, which it takes as tokens of its own.

    A piece that is no token of it is cut into the fewest that make it up. One that it cannot spell
    leaves no trace.
    """

    def __init__(self, engine: Engine, prompt: Sequence[int], reserve: int) -> None:
        super().__init__(engine, prompt, reserve)
        self._row: LogProbs | None = None

    def start(self) -> Awaitable[LogProbs]:
        """See ``Voice``."""
        return _Noted(self, super().start())

    def feed(self, symbol: bytes) -> Awaitable[LogProbs]:
        """See ``Voice``; ``symbol`` is a piece."""
        tokens = self.vocabulary.byte_order.segment(symbol)
        if not tokens and self._row is not None:
            return Ready(self._row)
        return _Noted(self, self._go_on(tokens or ()))

    def favourite(self, row: LogProbs) -> Favourite:
        """See ``Voice``; of its own row, whatever part of it the vote was on."""
        return super().favourite(row if self._row is None else self._row)

    def fits(self, piece: bytes) -> bool:
        """Whether there is room for a piece."""
        return self._held + len(self.vocabulary.byte_order.segment(piece) or ()) <= self._reserve

    def note(self, row: LogProbs) -> None:
        """Remembers a row, which a piece that leaves no trace leaves in force."""
        self._row = row


class _Noted:
    """A row that its voice remembers once it is there."""

    def __init__(self, voice: PieceVoice, pending: Awaitable[LogProbs]) -> None:
        self._voice = voice
        self._pending = pending

    def __await__(self) -> Generator[Any, None, LogProbs]:
        row = yield from self._pending.__await__()
        self._voice.note(row)
        return row
