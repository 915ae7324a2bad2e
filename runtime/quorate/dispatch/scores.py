"""Scores a given continuation with one vote."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from quorate.dispatch.attempt import Attempt, Run
from quorate.dispatch.recorder import AttemptRecorder
from quorate.dispatch.voting import open_ensemble
from quorate.engines.contract import Engine
from quorate.ensemble.assembly import known_tokens, readable_by
from quorate.ensemble.decode import score
from quorate.ensemble.losses import Losses
from quorate.ensemble.member import Member, MemberPrompt
from quorate.errors import InvalidRequest, PromptTooLong
from quorate.fleet.fleet import Fleet
from quorate.request import (
    Decision,
    MemberScore,
    ResponseOptions,
    Score,
    ScoreRequest,
    TextPrompt,
    Token,
)


async def scored(
    fleet: Fleet, request: ScoreRequest, attempt: Attempt, recorder: AttemptRecorder
) -> Score:
    """Scores a continuation and settles what that took; raises what ``score_run`` does."""
    tokens, members = await score_run(fleet, request, attempt)
    attempt.generated_tokens = len(tokens)
    usage = await recorder.settle(attempt)
    return Score(
        request_id=request.request_id,
        decision=attempt.decision,
        logprob=sum(token.logprob for token in tokens),
        bytes=request.continuation_bytes,
        tokens=tuple(tokens),
        usage=usage,
        members=members,
    )


async def score_run(
    fleet: Fleet, request: ScoreRequest, attempt: Attempt, vote: Decision | None = None
) -> tuple[list[Token], tuple[MemberScore, ...]]:
    """Scores a continuation; returns its tokens, and what each member alone thinks of it.

    ``vote`` is who scores it, by default what was decided for the attempt.

    Raises:
        InvalidRequest: A member has no tokens for it.
        PromptTooLong: It does not fit a member's context.
        QuorateError: What ``open_ensemble`` and ``ensemble.decode.score`` raise.
    """
    decision, max_tokens = vote or attempt.decision, request.continuation_bytes
    started_at = time.perf_counter()
    losses = Losses(decision.on_failure, aside=attempt.aside)
    async with open_ensemble(fleet, request.prompt, decision, max_tokens, losses) as ensemble:
        attempt.runs.append(Run(decision, ensemble, started_at))
        ensemble.turn = attempt.turn
        continuations = await ensemble.ask(
            lambda one: check_continuation(request, one.model, one.engine, one.prompt)
        )
        first = ensemble.members[0]
        symbols = ensemble.alignment.symbols(
            request.continuation, continuations[first.model], first.engine.vocabulary
        )
        shown = ResponseOptions(request.top_logprobs)
        tokens = await score(ensemble, decision.rule, symbols, shown)
        scores = [_member_score(one, len(continuations[one.model])) for one in ensemble.members]
        return tokens, tuple(scores)


async def check_continuation(
    request: ScoreRequest, model: str, engine: Engine, before: MemberPrompt
) -> Sequence[int]:
    """The text to score in a member's tokens, behind the tokens of its prompt.

    At the very beginning of a document it is cut as such, with the space that some tokenizers put
    there.

    Raises:
        InvalidRequest: The member has no tokens for it.
        PromptTooLong: It does not fit the member's context.
    """
    text = request.continuation
    read = readable_by(engine, request.prompt, engine.facts.template.calls)
    if request.continuation_tokens:
        tokens: Sequence[int] = known_tokens("continuation", request.continuation_tokens, engine)
    elif not isinstance(read, TextPrompt) or read.text:
        tokens = await engine.encode_continuation(text)
    else:
        whole, first = await engine.encode(TextPrompt(text)), before.tokens
        tokens = whole[len(first) :] if whole[: len(first)] == first else whole
    if not tokens:
        raise InvalidRequest("continuation", "has no tokens; give text that can be scored")
    if len(tokens) > before.max_tokens:
        raise PromptTooLong(
            "continuation",
            f"has {len(tokens)} tokens for model {model}, and its context has room "
            f"for {before.max_tokens}",
        )
    return tokens


def _member_score(member: Member[Any], tokens: int) -> MemberScore:
    return MemberScore(
        model=member.model,
        logprob=member.logprob,
        tokens=tokens,
        forwards=member.forwards,
        weight=member.weight_sum / max(1, member.steps),
        dropped_mass=member.dropped_mass,
    )
