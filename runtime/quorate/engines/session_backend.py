"""Who does the work of sessions, and what it tells them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from quorate.engines.admission import Admission
from quorate.engines.byte_order import PrefixSums
from quorate.engines.contract import LogProbs, MaskedMass, ModelFacts
from quorate.engines.generation import EngineSampling, SampledToken
from quorate.engines.row_blocks import RowBlock
from quorate.errors import QuorateError
from quorate.sampling.peaks import Maxima


class OpenedSession(NamedTuple):
    """What a backend gives for a new session.

    Attributes:
        number: What the backend calls it.
        row: Where its log-probs appear, a read-only view, float32 of shape (vocabulary,).
        sums: Where their prefix sums appear, a read-only view; None where they are not wanted.
        masked_mass: Where the probability appears that the mask took from them, a read-only view,
            float32 of shape (1,).
        block: Where the log-probs of several tokens appear, read-only views, of
            ``facts.block_rows`` rows.
        maxima: Where the maxima of ``row`` appear, a read-only view; None where they
            are not wanted.
    """

    number: int
    row: LogProbs
    sums: PrefixSums | None
    masked_mass: MaskedMass
    block: RowBlock
    maxima: Maxima | None = None


class WaitingSession(Protocol):
    """A session as its backend knows it: where it stands, and what it is told."""

    @property
    def position(self) -> int:
        """Number of tokens held."""
        ...

    def most_cached(self, fed_tokens: int) -> int:
        """Most of its tokens that a cache can have held, where it is fed so many now."""
        ...

    def completed(self, cached_tokens: int) -> None:
        """The feed is done and its rows written; so many tokens of the first feed were cached."""
        ...

    def scored(self, logprobs: Sequence[float]) -> None:
        """The text is read, and its tokens but the first had these log-probs."""
        ...

    def sampled(self, tokens: Sequence[SampledToken], finished: bool, cached_tokens: int) -> None:
        """The engine sampled tokens; nothing more comes where that finished the generation."""
        ...

    def failed(self, error: QuorateError) -> None:
        """The backend is lost, and with it what it had still to tell."""
        ...


class SessionBackend(Protocol):
    """Does the work of sessions until it is lost, which is final.

    Nothing here waits. What comes of ``feed``, ``score`` and ``generate`` is told to the session:
    ``completed``, ``scored``, ``sampled``, or ``failed`` where the backend is lost meanwhile; a
    session that was closed hears nothing more.

    ``open`` raises what ``check_alive`` raises. Sessions ask that before every other call, and
    check what they ask for.
    """

    @property
    def model(self) -> str:
        """Id of the model."""
        ...

    @property
    def facts(self) -> ModelFacts:
        """Facts of the model."""
        ...

    @property
    def admission(self) -> Admission:
        """Who may open a session."""
        ...

    @property
    def waited_seconds(self) -> float:
        """For how long its decode calls have waited so far until other models had computed."""
        ...

    def check_alive(self) -> None:
        """Returns if the backend is not lost.

        Raises:
            QuorateError: It is, usually ``WorkerLost``.
        """
        ...

    def open(self, slot: int, sums: bool) -> OpenedSession:
        """Opens a session on a reserved slot, with prefix sums where they are wanted."""
        ...

    def branch(self, parent: int, slot: int, sums: bool) -> OpenedSession:
        """Opens a session on a reserved slot with the tokens of another."""
        ...

    def feed(
        self, number: int, tokens: Sequence[int], session: WaitingSession, rows: int = 0
    ) -> None:
        """Appends tokens to a session.

        The last ``rows`` of them have a row of its block each; where it is 0 the last one has the
        session's row.
        """
        ...

    def score(self, number: int, tokens: Sequence[int], session: WaitingSession) -> None:
        """Feeds a whole text to an empty session."""
        ...

    def generate(
        self, number: int, tokens: Sequence[int], options: EngineSampling, session: WaitingSession
    ) -> None:
        """Feeds a session and has the engine sample what follows."""
        ...

    def taken(self, number: int, tokens: int) -> None:
        """Lets a generation run on by as many tokens as its reader took; nothing where lost."""
        ...

    def rewind(self, number: int, count: int) -> None:
        """Has a session forget its last tokens."""
        ...

    def close(self, number: int) -> None:
        """Frees a session, also in the middle of a feed. Its slot is free at once."""
        ...
