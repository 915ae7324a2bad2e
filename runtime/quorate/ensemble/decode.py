"""The decode loop: fuse, choose, tell the members, tell the caller; until something ends it.

There is one loop for every alignment, and one for sampling and scoring alike: what differs is what
a symbol is (``AlignmentStrategy``) and who chooses it (``Choice``).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from quorate.engines.contract import LogProbs
from quorate.ensemble.alignments.contract import Limit
from quorate.ensemble.constraint import Constraint, Unconstrained
from quorate.ensemble.drafts.byte_drafting import ByteDrafting
from quorate.ensemble.drafts.drafting import Drafting, Drafts
from quorate.ensemble.drafts.member_first import MemberFirst
from quorate.ensemble.drafts.token_drafting import TokenDrafting
from quorate.ensemble.ensemble import Ensemble
from quorate.ensemble.fusion import Fuser
from quorate.ensemble.guided import masked_row
from quorate.ensemble.transcript import Transcript
from quorate.ensemble.votes import token_of
from quorate.errors import PromptTooLong
from quorate.request import (
    CombinationRule,
    Delta,
    FinishReason,
    Notice,
    ResponseOptions,
    StoppingOptions,
    Token,
)
from quorate.sampling.sampler import Sampler
from quorate.sampling.shortlist import Choosable, Ranked, Whole

Step: TypeAlias = Delta | Notice | FinishReason

_PLAIN = ResponseOptions()

_Symbol = TypeVar("_Symbol")
_ChosenSymbol = TypeVar("_ChosenSymbol", covariant=True)


@dataclass(frozen=True, slots=True)
class DecodeParams:
    """How an ensemble decodes one answer.

    Attributes:
        limit: The most tokens of the answer, and why it ends there.
        drafts: How tokens or bytes are guessed ahead of the choice; None where nobody guesses. Not
            for a union of candidates.
    """

    rule: CombinationRule
    sampler: Sampler
    stopping: StoppingOptions
    response: ResponseOptions
    limit: Limit
    drafts: Drafts | None = None


class Choice(Protocol[_ChosenSymbol]):
    """Who chooses the next symbol."""

    @property
    def given(self) -> _ChosenSymbol | None:
        """The symbol that will be chosen, where that is known before."""
        ...

    def choose(self, mixture: Ranked, rows: Sequence[LogProbs]) -> int:
        """Chooses the next symbol.

        Args:
            mixture: Of the members, without what a constraint rules out.
            rows: Log-probs of each member, float32.

        Returns:
            Its index.
        """
        ...

    def ends_before(self, index: int) -> FinishReason | None:
        """Why the answer ends before the chosen symbol, which is then no part of it."""
        ...

    def ends_behind(self) -> FinishReason | None:
        """Why the answer ends behind the chosen symbol."""
        ...

    async def tell(self, index: int) -> None:
        """Tells the members the chosen symbol, and what will probably be chosen behind it."""
        ...


def decode(
    ensemble: Ensemble[_Symbol], params: DecodeParams, transcript: Transcript | None = None
) -> AsyncGenerator[Step, None]:
    """Decodes an answer with an open ensemble whose prompts have been fed.

    ``transcript`` is the answer so far, which the members have been fed too; None where it begins.

    Yields:
        Deltas and notices; at last the reason the answer ended.

    Raises:
        WorkerLost: A member died and the ensemble's policy does not go on without it.
        Unavailable: A member died and will not come back.
    """
    alignment = ensemble.alignment
    return _decode(
        ensemble,
        params.rule,
        _sampled(ensemble, params),
        ensemble.constraint or alignment.constraint,
        transcript or alignment.transcript(params.stopping),
        params.response,
    )


async def score(
    ensemble: Ensemble[_Symbol],
    rule: CombinationRule,
    continuation: Sequence[_Symbol],
    response: ResponseOptions = _PLAIN,
) -> list[Token]:
    """Scores a continuation of at least one symbol in the steps that decoding would take.

    A generated answer therefore scores what was streamed for it. The ensemble is open and not
    started; ``response`` is what is shown of each token.

    Returns:
        The continuation's tokens, or words where the members compare bytes, with their log-probs in
        nats.

    Raises:
        PromptTooLong: A member has no room for it.
        WorkerLost: A member died and the ensemble's policy does not go on without it.
        Unavailable: A member died and will not come back.
    """
    scored: list[Token] = []
    notices: list[Notice] = []
    given = _Given(ensemble, continuation)
    given.start()
    steps = _decode(
        ensemble,
        rule,
        given,
        Unconstrained(),
        ensemble.alignment.transcript(StoppingOptions()),
        response,
    )
    async with aclosing(steps):
        async for step in steps:
            if isinstance(step, Delta):
                scored.extend(step.tokens)
            elif isinstance(step, Notice):
                notices.append(step)
            elif step is FinishReason.CONTEXT_FULL:
                raise PromptTooLong(
                    "continuation", "fills the context of a member; give less of it"
                )
    # A score is no stream: what befell the members stays with the ensemble.
    ensemble.notices.extend(notices)
    return scored


async def _decode(
    ensemble: Ensemble[_Symbol],
    rule: CombinationRule,
    choice: Choice[_Symbol],
    constraint: Constraint,
    transcript: Transcript,
    response: ResponseOptions,
) -> AsyncGenerator[Step, None]:
    """The loop.

    The chosen symbol is told to every member before the caller hears of it, so that the members
    compute while the text travels.
    """
    alignment, fuser, clock = ensemble.alignment, Fuser(rule), ensemble.clock
    while True:
        await constraint.ready()
        if constraint.complete:
            for step in transcript.end(FinishReason.END_OF_GENERATION):
                yield step
            return
        distributions = await ensemble.distributions()
        for notice in ensemble.take_notices():
            yield notice
        given = choice.given
        rows = alignment.compare(ensemble.voters, distributions, given)
        voted, maxima = rows, alignment.maxima(ensemble.voters)
        if rule is CombinationRule.MAJORITY and constraint.allowed is not None:
            # Who wants what cannot come votes for what it wants of the rest.
            voted, maxima = [masked_row(row, constraint.allowed) for row in rows], ()
        mixture = fuser.fuse(voted, ensemble.weights, maxima)
        clock.combined()
        chosen = choice.choose(constraint.mask(mixture), rows)
        clock.chosen()
        if (ended := choice.ends_before(chosen)) is not None:
            steps = transcript.end(ended)
        else:
            tied = given is None and bool(fuser.tied)
            token = token_of(chosen, mixture, rows, tied, ensemble, response)
            ensemble.observe(rows, chosen, len(token.piece), free=not constraint.forced)
            constraint.accept(chosen)
            steps = transcript.add(token, choice.ends_behind())
        clock.combined()
        if transcript.ended is None:
            await choice.tell(chosen)
        clock.writes()
        for step in steps:
            yield step
        clock.written()
        if transcript.ended is not None:
            return


def _sampled(ensemble: Ensemble[Any], params: DecodeParams) -> _Sampled[Any]:
    if params.drafts is None:
        return _Sampled(ensemble, params)
    return _Drafted(ensemble, params, _drafting(ensemble, params, params.drafts))


def _drafting(ensemble: Ensemble[int], params: DecodeParams, drafts: Drafts) -> Drafting:
    alignment = ensemble.alignment
    kind: type[Drafting] = TokenDrafting if alignment.has_token_ids else ByteDrafting
    if drafts.member_seed is not None:
        kind = MemberFirst
    ends = alignment.vocabulary.end_of_generation
    return kind(ensemble, params.sampler, drafts, ends, params.limit.max_tokens)


class _Sampled(Generic[_Symbol]):
    """``Choice`` by a sampler."""

    given = None

    def __init__(self, ensemble: Ensemble[_Symbol], params: DecodeParams) -> None:
        self._sampler = params.sampler
        self._ensemble = ensemble
        self._limit = params.limit

    def choose(self, mixture: Ranked, rows: Sequence[LogProbs]) -> int:
        return self._sampler.sample(mixture)

    async def tell(self, index: int) -> None:
        await self._ensemble.tell(self._ensemble.alignment.symbol(index))

    def ends_before(self, index: int) -> FinishReason | None:
        return self._ensemble.alignment.ends_before(index, self._ensemble.members, self._limit)

    def ends_behind(self) -> FinishReason | None:
        return self._ensemble.alignment.ends_behind(self._ensemble.members, self._limit)


class _Drafted(_Sampled[int]):
    """``Choice`` by a sampler, of symbols that are guessed ahead."""

    def __init__(self, ensemble: Ensemble[int], params: DecodeParams, drafting: Drafting) -> None:
        super().__init__(ensemble, params)
        self._drafting = drafting

    def choose(self, mixture: Ranked, rows: Sequence[LogProbs]) -> int:
        maxima = self._ensemble.alignment.maxima(self._ensemble.voters)
        of_each: Sequence[Choosable] = [*map(Whole, rows, maxima)] if maxima else rows
        return self._drafting.choose(mixture, of_each)

    async def tell(self, index: int) -> None:
        await self._drafting.tell(index)


class _Given(Generic[_Symbol]):
    """``Choice`` of a text that is known. Its last symbol is fed to nobody and needs no room."""

    def __init__(self, ensemble: Ensemble[_Symbol], symbols: Sequence[_Symbol]) -> None:
        self._ensemble = ensemble
        self._symbols = symbols
        self._chosen = 0

    @property
    def given(self) -> _Symbol:
        return self._symbols[self._chosen]

    def start(self) -> None:
        """Starts the members on their prompts, and on the first window behind them."""
        self._ensemble.scores = True
        self._ensemble.start(self._window)

    async def tell(self, index: int) -> None:
        await self._ensemble.tell(self._symbols[self._chosen - 1], self._window)

    @property
    def _window(self) -> Sequence[_Symbol]:
        """What follows, up to the end of a window: members that begin together stay together."""
        window = self._ensemble.reach + 1
        end = (self._chosen // window + 1) * window - 1
        return self._symbols[self._chosen : min(end, len(self._symbols) - 1)]

    def choose(self, mixture: Ranked, rows: Sequence[LogProbs]) -> int:
        index = self._ensemble.alignment.index(self.given)
        self._chosen += 1
        return index

    def ends_before(self, index: int) -> FinishReason | None:
        ensemble, last = self._ensemble, self._symbols[self._chosen - 1]
        if self.ends_behind() or ensemble.alignment.fits(ensemble.members, last):
            return None
        return FinishReason.CONTEXT_FULL

    def ends_behind(self) -> FinishReason | None:
        return FinishReason.MAX_TOKENS if self._chosen == len(self._symbols) else None
