"""How one member predicts: it is told symbols and gives the distribution of the next one.

A symbol is a token where the members share a vocabulary, and a byte or some bytes where they do
not.
"""

from __future__ import annotations

from collections.abc import Awaitable, Generator, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from quorate.engines.contract import Engine, LogProbs, Session

_Symbol = TypeVar("_Symbol", contravariant=True)


class TopPiece(NamedTuple):
    """The token that a member finds most probable.

    Attributes:
        piece: Its bytes, b"" for the end.
        logprob: What the member gives it, in nats.
    """

    piece: bytes
    logprob: float


class Predictor(Protocol[_Symbol]):
    """One member's sessions. Owned by its member; one call at a time."""

    @property
    def forwards(self) -> int:
        """Tokens it was given behind the prompt, those of pruned hypotheses included."""
        ...

    @property
    def length(self) -> int:
        """Tokens of the answer so far."""
        ...

    @property
    def busy_seconds(self) -> float:
        """Time spent between feeds and their answers so far."""
        ...

    @property
    def cached_tokens(self) -> int:
        """Tokens of the prompt that were found in the prefix cache."""
        ...

    @property
    def dropped_mass(self) -> float | None:
        """Probability that was pruned so far; None where nothing ever is."""
        ...

    @property
    def masked_mass(self) -> float:
        """Probability that it gave to tokens that no answer may hold, in its last row, [0, 1]."""
        ...

    async def open(self) -> None:
        """Opens its session; see ``Engine.open`` for what it waits for and raises."""
        ...

    def start(self) -> Awaitable[LogProbs]:
        """Starts on the prompt, and on the answer so far where there is one."""
        ...

    def feed(self, symbol: _Symbol) -> Awaitable[LogProbs]:
        """Starts on what follows the chosen symbol; the work begins at the call.

        Returns:
            Log-probs of what comes next, float32, valid until the next call.
        """
        ...

    def top_piece(self, row: LogProbs) -> TopPiece:
        """What it finds most probable, by the row that it gave last."""
        ...

    def close(self) -> None:
        """Frees its session; what it measured, and the answer so far, stay."""
        ...


class SessionPredictor:
    """Base of predictors with one session: all of a ``Predictor`` but what its symbols are.

    Args:
        prompt: In the member's own tokens.
        kv_tokens: Tokens its session may grow to.
    """

    def __init__(self, engine: Engine, prompt: Sequence[int], kv_tokens: int) -> None:
        self.vocabulary = engine.vocabulary
        self._engine = engine
        self._prompt = tuple(prompt)
        self._kv_tokens = kv_tokens
        self._answer: list[int] = []
        self._session: Session | None = None
        self._held = 0
        self._fed = 0
        self._busy_seconds = 0.0
        self._cached: int | None = None

    @property
    def forwards(self) -> int:
        """See ``Predictor``; of the longest of its sessions, after a replay."""
        # A session that is left alone goes beyond what it was fed.
        held = self._session.position if self._session else 0
        return max(0, max(self._fed, held) - len(self._prompt))

    @property
    def length(self) -> int:
        """See ``Predictor``."""
        return len(self._answer)

    @property
    def answer(self) -> Sequence[int]:
        """Tokens of the answer so far."""
        return self._answer

    @property
    def busy_seconds(self) -> float:
        """See ``Predictor``."""
        return self._busy_seconds + (self._session.busy_seconds if self._session else 0.0)

    @property
    def cached_tokens(self) -> int:
        """See ``Predictor``."""
        if self._cached is not None:
            return self._cached
        return self._session.cached_tokens if self._session else 0

    @property
    def dropped_mass(self) -> float | None:
        """See ``Predictor``."""
        return None

    @property
    def masked_mass(self) -> float:
        """See ``Predictor``."""
        return self._session.masked_mass if self._session else 0.0

    async def open(self) -> None:
        """See ``Predictor``."""
        self._session = await self._engine.open(self._kv_tokens)
        self._held = 0

    def start(self) -> Awaitable[LogProbs]:
        """See ``Predictor``."""
        return self._feed((*self._prompt, *self._answer))

    def top_piece(self, row: LogProbs) -> TopPiece:
        """See ``Predictor``."""
        best = int(row.argmax())
        return TopPiece(self.vocabulary.pieces[best], float(row[best]))

    def close(self) -> None:
        """See ``Predictor``."""
        if self._session is None:
            return
        self._busy_seconds += self._session.busy_seconds
        if self._cached is None:
            self._cached = self._session.cached_tokens
        self._fed = max(self._fed, self._session.position)
        self._session.close()
        self._session = None

    def _append(self, tokens: Sequence[int]) -> Awaitable[LogProbs]:
        """Appends tokens to the answer."""
        self._answer.extend(tokens)
        return self._feed(tokens)

    def _feed(self, tokens: Sequence[int]) -> Awaitable[LogProbs]:
        return self._session_for(tokens).feed(tokens)

    def _session_for(self, tokens: Sequence[int]) -> Session:
        """The session, which is about to be fed."""
        if self._session is None:
            raise RuntimeError("a member was fed before it was opened")
        self._held += len(tokens)
        self._fed = max(self._fed, self._held)
        return self._session


class Ready:
    """An awaitable that gives a row which is known already."""

    def __init__(self, row: LogProbs) -> None:
        self._row = row

    def __await__(self) -> Generator[Any, None, LogProbs]:
        """Gives the result without waiting."""
        yield from ()
        return self._row
