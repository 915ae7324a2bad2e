"""Votes of local models: their ensemble, open for as long as a request needs it, and its steps."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, TypeAlias

from quorate.ensemble import plain_generation
from quorate.ensemble.alignments.contract import Limit
from quorate.ensemble.assembly import assemble
from quorate.ensemble.decode import DecodeParams, Step, decode
from quorate.ensemble.drafts.costs import KnownCosts
from quorate.ensemble.drafts.drafting import Drafts
from quorate.ensemble.drafts.lookup import REACH
from quorate.ensemble.drafts.pace import Pace
from quorate.ensemble.ensemble import Ensemble
from quorate.ensemble.guided import GuidedConstraint
from quorate.ensemble.losses import Attendance, Losses
from quorate.ensemble.sharing import ahead_of_laggards
from quorate.fleet.fleet import Fleet
from quorate.guides.guides import Guides
from quorate.request import (
    Decision,
    FinishReason,
    OutputConstraint,
    Prompt,
    Request,
    ResponseOptions,
)
from quorate.sampling.penalties import REPETITION_WINDOW
from quorate.sampling.sampler import Sampler

_Held: TypeAlias = Callable[[Ensemble[Any]], Awaitable[OutputConstraint | None]]

# Part of the members' size that the one has that guesses, where their sizes are not known.
_UNKNOWN_SHARE = 0.4


async def _free(ensemble: Ensemble[Any]) -> OutputConstraint | None:
    """Any text."""
    return None


@asynccontextmanager
async def open_ensemble(
    fleet: Fleet,
    prompt: Prompt,
    decision: Decision,
    max_tokens: int,
    losses: Losses,
    held: _Held = _free,
) -> AsyncIterator[Ensemble[Any]]:
    """Opens a session with each member of a vote, for as long as the context lasts.

    Members that are lost before that are dropped, waited for or fail the vote, as ``losses`` says.
    ``held`` says what their answer must be.

    Raises:
        QuorateError: What ``Fleet.muster``, ``assemble``, ``Guides.open`` and ``Ensemble.open``
            raise.
    """
    models = [member.model for member in decision.members]
    with fleet.muster(models) as (engines, away):
        attendance = await Attendance.of(models, engines, away, losses)
        ensemble = await assemble(decision, attendance, prompt, max_tokens)
        async with _guided(ensemble, fleet.guides, await held(ensemble)):
            try:
                await ensemble.open()
                yield ensemble
            finally:
                ensemble.close()


@asynccontextmanager
async def _guided(
    ensemble: Ensemble[Any], guides: Guides, form: OutputConstraint | None
) -> AsyncIterator[None]:
    """Holds an ensemble to the form of its answer, which it can begin."""
    if form is None:
        yield
        return
    vocabulary = ensemble.alignment.vocabulary
    session = await guides.open(form, vocabulary)
    try:
        alignment = ensemble.alignment
        ensemble.constraint = GuidedConstraint(
            session,
            alignment.constraint,
            len(vocabulary),
            vocabulary.masked,
            vocabulary.end_of_generation,
            alignment.reasoning,
            may_reason=form.may_reason,
        )
        await ensemble.constraint.ready()
        yield
    finally:
        session.close()


def steps(
    ensemble: Ensemble[Any],
    decision: Decision,
    request: Request,
    response: ResponseOptions,
    max_tokens: int,
    costs: KnownCosts,
) -> AsyncGenerator[Step, None]:
    """Decodes an answer of an ensemble that is open and not started; see ``decode``.

    ``costs`` is what is known of drafts, and learns what this one shows.

    One member that is asked for nothing but its text generates by itself, where its engine can; see
    ``ensemble.plain_generation``.
    """
    params = _params(ensemble, decision, request, response, max_tokens)
    predictor = plain_generation.lone_predictor(ensemble, request.sampling, response)
    if predictor is not None:
        sampling = plain_generation.engine_sampling(
            request.sampling, decision.seed, params.limit.max_tokens, response.top_logprobs
        )
        return plain_generation.generate(ensemble, predictor, params, sampling)
    params = replace(params, drafts=_drafts(ensemble, decision, costs, params.sampler))
    ensemble.start()
    return ahead_of_laggards(decode(ensemble, params))


def _drafts(
    ensemble: Ensemble[Any], decision: Decision, costs: KnownCosts, sampler: Sampler
) -> Drafts | None:
    """How tokens are guessed ahead, where that was decided."""
    decided = decision.draft
    if not (decided.most or decided.member_first):
        return None
    sizes = {one.model: one.engine.facts.memory_bytes for one in ensemble.members}
    whole = sum(sizes.values()) if all(sizes.values()) else 0
    shares = {model: size / whole for model, size in sizes.items()} if whole else {}
    # A step of the same members takes another time where they vote byte by byte, and a guess is
    # right less often where it is not coupled with what is drawn.
    known = costs.of((decision.alignment, decided.member_first, decided.model, *sorted(sizes)))
    size_share = shares.get(decided.model, _UNKNOWN_SHARE) if decided.model else 0.0
    by_tokens = ensemble.alignment.has_token_ids
    # Of bytes nobody proposes: a guess is compared with the plain choice.
    draws = sampler.draws and by_tokens
    pace = Pace(known, decided.most, size_share, draws, grows=by_tokens, sizes=shares)
    seed = decision.seed if decided.member_first else None
    return Drafts(decided.model, pace, _last_symbols(ensemble, REACH), seed)


def _last_symbols(ensemble: Ensemble[Any], count: int) -> Sequence[Any]:
    """The last tokens of the prompt as symbols, in the cut of the first member."""
    first = ensemble.members[0]
    tokens = first.prompt.tokens[-count:]
    if not ensemble.alignment.has_token_ids:
        return b"".join(first.engine.vocabulary.pieces[token] for token in tokens)[-count:]
    return ensemble.alignment.symbols("", tokens, first.engine.vocabulary)


def _params(
    ensemble: Ensemble[Any],
    decision: Decision,
    request: Request,
    response: ResponseOptions,
    max_tokens: int,
) -> DecodeParams:
    alignment = ensemble.alignment
    prompt = _last_symbols(ensemble, REPETITION_WINDOW) if alignment.has_token_ids else ()
    fitting = min(member.prompt.max_tokens for member in ensemble.members)
    reason = FinishReason.MAX_TOKENS if max_tokens <= fitting else FinishReason.CONTEXT_FULL
    return DecodeParams(
        rule=decision.rule,
        sampler=Sampler(
            alignment.biased(request.sampling), len(alignment.vocabulary), decision.seed, prompt
        ),
        stopping=request.stopping,
        response=response,
        limit=Limit(min(max_tokens, fitting), reason),
    )
