"""Scores a given continuation with one vote."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from quorate.dispatch.attempt import Attempt, Run
from quorate.dispatch.voting import open_ensemble
from quorate.ensemble.assembly import readable_by
from quorate.ensemble.decode import score
from quorate.ensemble.losses import Losses
from quorate.ensemble.member import Member
from quorate.errors import InvalidRequest, PromptTooLong
from quorate.fleet.fleet import Fleet
from quorate.request import (
    Decision,
    MemberScore,
    Prompt,
    Score,
    ScoreRequest,
    TextPrompt,
    Token,
    Usage,
)


async def score_run(
    fleet: Fleet, request: ScoreRequest, attempt: Attempt
) -> tuple[list[Token], tuple[MemberScore, ...]]:
    """Scores a continuation; returns its tokens, and what each member alone thinks of it.

    Raises:
        InvalidRequest: A member has no tokens for it.
        PromptTooLong: It does not fit a member's context.
        QuorateError: What ``open_ensemble`` and ``ensemble.decode.score`` raise.
    """
    decision, max_tokens = attempt.decision, len(request.continuation.encode())
    started_at = time.perf_counter()
    losses = Losses(decision.on_failure, aside=attempt.aside)
    async with open_ensemble(fleet, request.prompt, decision, max_tokens, losses) as ensemble:
        attempt.runs.append(Run(decision, ensemble, started_at))
        ensemble.turn = attempt.turn
        continuations = await ensemble.ask(
            lambda member: _continuation(request.continuation, request.prompt, member)
        )
        first = ensemble.members[0]
        symbols = ensemble.alignment.symbols(
            request.continuation, continuations[first.model], first.engine.vocabulary
        )
        ensemble.start()
        tokens = await score(ensemble, decision.rule, symbols)
        scores = [_member_score(one, len(continuations[one.model])) for one in ensemble.members]
        return tokens, tuple(scores)


def whole_score(
    request: ScoreRequest,
    decision: Decision,
    tokens: Sequence[Token],
    members: tuple[MemberScore, ...],
    usage: Usage,
) -> Score:
    """What the caller is told of what ``score_run`` returned."""
    return Score(
        request_id=request.request_id,
        decision=decision,
        logprob=sum(token.logprob for token in tokens),
        bytes=len(request.continuation.encode()),
        tokens=tuple(tokens),
        usage=usage,
        members=members,
    )


async def _continuation(text: str, prompt: Prompt, member: Member[Any]) -> Sequence[int]:
    """The text to score in a member's tokens.

    At the very beginning of a document it is cut as such, with the space that some tokenizers put
    there.

    Raises:
        InvalidRequest: The member has no tokens for it.
        PromptTooLong: It does not fit the member's context.
    """
    read = readable_by(member.engine, prompt)
    if not isinstance(read, TextPrompt) or read.text:
        tokens: Sequence[int] = await member.engine.encode_continuation(text)
    else:
        whole, before = await member.engine.encode(TextPrompt(text)), member.prompt.tokens
        tokens = whole[len(before) :] if whole[: len(before)] == before else whole
    if not tokens:
        raise InvalidRequest("continuation", "has no tokens; give text that can be scored")
    if len(tokens) > member.prompt.max_tokens:
        raise PromptTooLong(
            "continuation",
            f"has {len(tokens)} tokens for model {member.model}, and its context has room "
            f"for {member.prompt.max_tokens}",
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
