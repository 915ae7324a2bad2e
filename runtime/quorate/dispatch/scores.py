"""Scores a given continuation with one vote."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from quorate.dispatch.attempt import Attempt, Run
from quorate.dispatch.seating import Guest
from quorate.dispatch.votes import Seated, seated
from quorate.ensemble.scoring import score, score_bytes
from quorate.ensemble.seats import Seat
from quorate.ensemble.union_decode import score_union
from quorate.errors import InvalidRequest, PromptTooLong
from quorate.fleet.fleet import Fleet
from quorate.request import Alignment, MemberScore, Prompt, ScoreRequest, TextPrompt, Token


async def score_run(
    fleet: Fleet, request: ScoreRequest, attempt: Attempt
) -> tuple[list[Token], tuple[MemberScore, ...]]:
    """Scores a continuation; returns its tokens, and what each member alone thinks of it.

    Raises:
        InvalidRequest: A member has no tokens for it.
        PromptTooLong: It does not fit a member's context.
        QuorateError: What ``votes.seated`` and the scoring loops raise.
    """
    wanted = len(request.continuation.encode())
    started_at = time.perf_counter()
    async with seated(fleet, request.prompt, attempt.decision, wanted) as members:
        attempt.runs.append(Run(attempt.decision, members.table, started_at))
        continuations = await _continuations(request.continuation, request.prompt, members)
        members.table.start()
        tokens = await _scored(request.continuation, continuations, members)
        scores = [_member_score(one, len(continuations[one.model])) for one in members.table.seats]
        return tokens, tuple(scores)


async def _scored(
    text: str, continuations: Mapping[str, Sequence[int]], seated: Seated
) -> list[Token]:
    """Scores a continuation in the way of the plan's alignment."""
    decision, first = seated.decision, seated.guests[0]
    if decision.alignment is Alignment.BYTE_EXACT:
        return await score_bytes(seated.table, decision.rule, text.encode())
    tokens, vocabulary = continuations[first.model], first.engine.vocabulary
    if decision.alignment is Alignment.UNION_TOP_K:
        pieces = [vocabulary.pieces[token] for token in tokens]
        return await score_union(seated.table, decision.rule, pieces)
    return await score(seated.table, vocabulary, decision.rule, tokens)


async def _continuation(text: str, prompt: Prompt, guest: Guest) -> list[int]:
    """The text to score in a member's tokens.

    At the very beginning of a document it is cut as such, with the space that some tokenizers put
    there.
    """
    if prompt != TextPrompt(""):
        return await guest.engine.encode_continuation(text)
    tokens = await guest.engine.encode(TextPrompt(text))
    start = len(guest.tokens)
    return tokens[start:] if tokens[:start] == guest.tokens else tokens


async def _continuations(text: str, prompt: Prompt, seated: Seated) -> dict[str, list[int]]:
    """The text to score in every member's tokens, by model.

    Raises:
        InvalidRequest: A member has no tokens for it.
        PromptTooLong: It does not fit a member's context.
    """
    continuations = {}
    for guest in seated.guests:
        tokens = await _continuation(text, prompt, guest)
        if not tokens:
            raise InvalidRequest("continuation", "has no tokens; give text that can be scored")
        if len(tokens) > guest.room:
            raise PromptTooLong(
                "continuation",
                f"has {len(tokens)} tokens for model {guest.model}, and its context has room "
                f"for {guest.room}",
            )
        continuations[guest.model] = tokens
    return continuations


def _member_score(seat: Seat[Any], tokens: int) -> MemberScore:
    return MemberScore(
        model=seat.model,
        logprob=seat.logprob,
        tokens=tokens,
        forwards=seat.forwards,
        weight=seat.shares / max(1, seat.steps),
        dropped_mass=seat.dropped_mass,
    )
