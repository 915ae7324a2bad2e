"""What an alignment says: what a symbol is, and when an answer is complete."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from quorate.engines.contract import Engine, LogProbs
from quorate.engines.vocabulary import Vocabulary
from quorate.ensemble.constraint import Constraint
from quorate.ensemble.member import Member, MemberPrompt
from quorate.ensemble.predictor import Predictor
from quorate.ensemble.reasoning import Reasoning
from quorate.ensemble.transcript import Transcript
from quorate.request import FinishReason, Prompt, SamplingOptions, StoppingOptions
from quorate.sampling.peaks import Maxima

_Symbol = TypeVar("_Symbol")


class Limit(NamedTuple):
    """Where an answer ends at the latest.

    Attributes:
        max_tokens: The most tokens of it, in the member that needs most of them.
        reason: The reason that is given there.
    """

    max_tokens: int
    reason: FinishReason


class AlignmentStrategy(Protocol[_Symbol]):
    """What the members of one request compare. Made anew for each request.

    At each step the loop knows a symbol by its index in the rows that are compared.
    """

    @property
    def vocabulary(self) -> Vocabulary:
        """What is sampled: tokens that all members share, or the bytes and the end."""
        ...

    @property
    def pieces(self) -> Sequence[bytes]:
        """Bytes of the symbols at this step, by index; b"" for an end."""
        ...

    @property
    def has_token_ids(self) -> bool:
        """Whether indices stand for token ids, which callers are told."""
        ...

    def token_id(self, index: int) -> int | None:
        """The token id that callers are told for an index, or None where it has none."""
        ...

    def biased(self, options: SamplingOptions) -> SamplingOptions:
        """The options with ``logit_bias`` by index instead of token id.

        Raises:
            InvalidRequest: An id that no member has.
        """
        ...

    @property
    def reasoning(self) -> Reasoning | None:
        """Where an answer reasons, by the marks in it; None where there are none."""
        ...

    @property
    def constraint(self) -> Constraint:
        """What keeps the chosen symbols valid text."""
        ...

    def margin(self, left: int) -> int:
        """KV tokens that a member needs beside the answer; its prompt leaves ``left`` free."""
        ...

    def predictor(
        self, engine: Engine, source: Prompt, prompt: MemberPrompt, max_tokens: int
    ) -> Predictor[_Symbol]:
        """How a member takes part; not open yet. ``prompt`` is ``source`` in its own tokens."""
        ...

    def transcript(self, stopping: StoppingOptions) -> Transcript:
        """The answer before its first symbol."""
        ...

    def compare(
        self,
        members: Sequence[Member[_Symbol]],
        rows: Sequence[LogProbs],
        given: _Symbol | None = None,
    ) -> Sequence[LogProbs]:
        """Maps the members' rows onto one common set of symbols.

        Args:
            members: Those who vote.
            rows: What their predictors gave.
            given: A symbol that must be among those compared, whatever the members give it.

        Returns:
            Log-probs in nats, float32, normalised, of one shape for all members.
        """
        ...

    def maxima(self, members: Sequence[Member[_Symbol]]) -> Sequence[Maxima | None]:
        """The maxima of each row that was compared, see ``sampling.peaks``.

        None of what is not known, and none at all where nothing is.
        """
        ...

    def symbol(self, index: int) -> _Symbol:
        """The symbol at an index, as members are fed it."""
        ...

    def index(self, symbol: _Symbol) -> int:
        """Where a symbol stands at this step."""
        ...

    def symbols(
        self, text: str, tokens: Sequence[int], vocabulary: Vocabulary
    ) -> Sequence[_Symbol]:
        """A text as symbols, where that is open as a member's tokens of it.

        Args:
            text: The text.
            tokens: The same in the tokens of a member.
            vocabulary: That member's.
        """
        ...

    def fits(self, members: Sequence[Member[Any]], symbol: _Symbol) -> bool:
        """Whether every member's context has room for a symbol."""
        ...

    def ends_before(
        self, index: int, members: Sequence[Member[Any]], limit: Limit
    ) -> FinishReason | None:
        """Why the answer ends before the chosen symbol, which is then no part of it."""
        ...

    def ends_behind(self, members: Sequence[Member[Any]], limit: Limit) -> FinishReason | None:
        """Why the answer ends behind the chosen symbol, which the members were not told yet."""
        ...


class OwnIndex:
    """The part of an ``AlignmentStrategy`` whose symbols are the same at every step.

    A symbol is its own index, rows are compared as they are, and ``max_tokens`` is all that limits
    how many fit.
    """

    reasoning: Reasoning | None = None

    def token_id(self, index: int) -> int | None:
        """See ``AlignmentStrategy``."""
        return None

    def biased(self, options: SamplingOptions) -> SamplingOptions:
        """See ``AlignmentStrategy``; the sampler checks the ids."""
        return options

    def compare(
        self, members: Sequence[Member[int]], rows: Sequence[LogProbs], given: int | None = None
    ) -> Sequence[LogProbs]:
        """See ``AlignmentStrategy``."""
        return rows

    def maxima(self, members: Sequence[Member[int]]) -> Sequence[Maxima | None]:
        """See ``AlignmentStrategy``."""
        return ()

    def symbol(self, index: int) -> int:
        """See ``AlignmentStrategy``."""
        return index

    def index(self, symbol: int) -> int:
        """See ``AlignmentStrategy``."""
        return symbol

    def fits(self, members: Sequence[Member[Any]], symbol: int) -> bool:
        """See ``AlignmentStrategy``."""
        return True
