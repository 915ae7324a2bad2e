"""Votes of local models: their ensemble, open for as long as a request needs it, and its steps."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from quorate.ensemble import plain_generation
from quorate.ensemble.alignments.contract import Limit
from quorate.ensemble.assembly import assemble
from quorate.ensemble.decode import DecodeParams, Step, decode
from quorate.ensemble.ensemble import Ensemble
from quorate.ensemble.losses import Attendance, Losses
from quorate.fleet.fleet import Fleet
from quorate.request import Decision, FinishReason, Prompt, Request, ResponseOptions
from quorate.sampling.penalties import REPETITION_WINDOW
from quorate.sampling.sampler import Sampler


@asynccontextmanager
async def open_ensemble(
    fleet: Fleet, prompt: Prompt, decision: Decision, max_tokens: int, losses: Losses
) -> AsyncIterator[Ensemble[Any]]:
    """Opens a session with each member of a vote, for as long as the context lasts.

    Members that are lost before that are dropped, waited for or fail the vote, as ``losses`` says.

    Raises:
        QuorateError: What ``Fleet.muster``, ``assemble`` and ``Ensemble.open`` raise.
    """
    models = [member.model for member in decision.members]
    with fleet.muster(models) as (engines, away):
        attendance = await Attendance.of(models, engines, away, losses)
        ensemble = await assemble(decision, attendance, prompt, max_tokens)
        try:
            await ensemble.open()
            yield ensemble
        finally:
            ensemble.close()


def steps(
    ensemble: Ensemble[Any],
    decision: Decision,
    request: Request,
    response: ResponseOptions,
    max_tokens: int,
) -> AsyncGenerator[Step, None]:
    """Decodes an answer of an ensemble that is open and not started; see ``decode``.

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
    ensemble.start()
    return decode(ensemble, params)


def _params(
    ensemble: Ensemble[Any],
    decision: Decision,
    request: Request,
    response: ResponseOptions,
    max_tokens: int,
) -> DecodeParams:
    alignment = ensemble.alignment
    first = ensemble.members[0]
    recent = first.prompt.tokens[-REPETITION_WINDOW:] if alignment.has_token_ids else ()
    prompt = alignment.symbols("", recent, first.engine.vocabulary) if recent else ()
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
