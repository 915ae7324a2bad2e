"""How one member predicts: it is told symbols and gives the distribution of the next one.

A symbol is a token where the members share a vocabulary, and a byte or some bytes where they do
not.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Sequence
from typing import NamedTuple, Protocol, TypeVar

from quorate.engines.contract import Engine, LogProbs
from quorate.ensemble.guesses import GuessingSession, reach_of
from quorate.sampling.peaks import Maxima

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
        """Tokens computed behind the prompt, pruned hypotheses and wrong guesses included."""
        ...

    @property
    def looked_ahead(self) -> int:
        """Those of ``forwards`` that were computed in one call with the tokens before them."""
        ...

    @property
    def wasted(self) -> int:
        """Those of ``forwards`` that were computed ahead of the choice, and then not chosen."""
        ...

    @property
    def reach(self) -> int:
        """Symbols that are worth telling it ahead of the choice; 0 where it cannot use any."""
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

    def start(self, ahead: Sequence[_Symbol] = ()) -> Awaitable[LogProbs]:
        """Starts on the prompt, and on the answer so far where there is one; see ``feed``."""
        ...

    def feed(self, symbol: _Symbol, ahead: Sequence[_Symbol] = ()) -> Awaitable[LogProbs]:
        """Starts on what follows the chosen symbol; the work begins at the call.

        Args:
            symbol: What was chosen.
            ahead: What will probably be chosen behind it, whose rows may be computed in the same
                call. It changes what the answer costs, and nothing of the answer.

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
        kv_tokens: Tokens its session may grow to, those computed ahead included.
    """

    def __init__(self, engine: Engine, prompt: Sequence[int], kv_tokens: int) -> None:
        self.vocabulary = engine.vocabulary
        self._engine = engine
        self._prompt = tuple(prompt)
        self._kv_tokens = kv_tokens
        self._answer: list[int] = []
        # The end of the answer, which the session was not given yet.
        self._owed: list[int] = []
        self._session: GuessingSession | None = None
        self._fed = 0
        self._looked_ahead = 0
        self._wasted = 0
        self._busy_seconds = 0.0
        self._cached: int | None = None

    @property
    def forwards(self) -> int:
        """See ``Predictor``; of the longest of its sessions, after a replay."""
        chosen = max(0, max(self._fed, self._held) - len(self._prompt))
        return chosen + self.wasted + (self._session.guessed if self._session else 0)

    @property
    def looked_ahead(self) -> int:
        """See ``Predictor``."""
        return self._looked_ahead + (self._session.looked_ahead if self._session else 0)

    @property
    def wasted(self) -> int:
        """See ``Predictor``; what may still be chosen is not among it."""
        return self._wasted + (self._session.wasted if self._session else 0)

    @property
    def reach(self) -> int:
        """See ``Predictor``."""
        return reach_of(self._engine.facts)

    @property
    def length(self) -> int:
        """See ``Predictor``."""
        return len(self._answer)

    @property
    def owed(self) -> int:
        """See ``owing.OwesSymbols``."""
        return len(self._owed)

    @property
    def answer(self) -> Sequence[int]:
        """Tokens of the answer so far."""
        return self._answer

    @property
    def busy_seconds(self) -> float:
        """See ``Predictor``."""
        return self._busy_seconds + (self._session.session.busy_seconds if self._session else 0.0)

    @property
    def cached_tokens(self) -> int:
        """See ``Predictor``."""
        if self._cached is not None:
            return self._cached
        return self._session.session.cached_tokens if self._session else 0

    @property
    def dropped_mass(self) -> float | None:
        """See ``Predictor``."""
        return None

    @property
    def masked_mass(self) -> float:
        """See ``Predictor``."""
        return self._session.masked_mass if self._session else 0.0

    @property
    def maxima(self) -> Maxima | None:
        """See ``Session.maxima``; of the row that it gave last."""
        return self._session.maxima if self._session else None

    async def open(self) -> None:
        """See ``Predictor``."""
        session = await self._engine.open(self._kv_tokens)
        self._owed.clear()
        self._session = GuessingSession(session, self.reach, self._kv_tokens)

    def top_piece(self, row: LogProbs) -> TopPiece:
        """See ``Predictor``."""
        best = int(row.argmax())
        return TopPiece(self.vocabulary.pieces[best], float(row[best]))

    def close(self) -> None:
        """See ``Predictor``."""
        session, self._session = self._session, None
        if session is None:
            return
        self._busy_seconds += session.session.busy_seconds
        if self._cached is None:
            self._cached = session.session.cached_tokens
        self._fed = max(self._fed, session.held)
        session.close()
        self._looked_ahead += session.looked_ahead
        self._wasted += session.wasted

    @property
    def _held(self) -> int:
        """Tokens of prompt and answer that its session was fed."""
        return self._session.held if self._session else 0

    def _append(self, tokens: Sequence[int], ahead: Iterable[int] = ()) -> Awaitable[LogProbs]:
        """Appends tokens to the answer, behind which ``ahead`` will probably follow.

        What is owed is fed with them, in one call.
        """
        self._owe(tokens)
        fed, self._owed = self._owed, []
        if len(fed) > len(tokens):
            unknown = len(fed) - self._opened.known(fed)
            self._looked_ahead += max(0, unknown - 1)
        return self._opened.feed(fed, ahead)

    def _start(self, ahead: Iterable[int]) -> Awaitable[LogProbs]:
        """Starts on prompt and answer, behind which ``ahead`` will probably follow."""
        self._owed.clear()
        return self._opened.feed((*self._prompt, *self._answer), ahead)

    def _owe(self, tokens: Sequence[int]) -> None:
        """Appends tokens to the answer, to be fed with those that follow."""
        self._answer.extend(tokens)
        self._owed.extend(tokens)

    @property
    def _opened(self) -> GuessingSession:
        """The session, which is about to be fed."""
        if self._session is None:
            raise RuntimeError("a member was fed before it was opened")
        return self._session
