"""Who guesses tokens ahead of the choice in a vote, and from what its tokens are drawn. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from quorate.errors import InvalidRequest, refuse_all
from quorate.fleet.status import ModelStatus
from quorate.foreign_text import quoted
from quorate.request import (
    MAX_DRAFT,
    Alignment,
    CombinationRule,
    DecidedDraft,
    Decision,
    DraftMode,
    DraftOptions,
    Weighting,
)

LARGEST_SHARE = 0.6
"""A member that guesses is at most so large, measured by the largest of the others: its steps come
before theirs, and what comes of that is to be cheaper."""

_STEADY = frozenset({Weighting.STATIC, Weighting.PROMPT})
"""Weights that are the same at every token, whatever the members make of it."""


def draft_problems(asked: DraftOptions, members: Sequence[str]) -> Iterator[InvalidRequest]:
    """What is wrong with the options of drafts, whatever the models are."""
    if asked.most is not None and not 1 <= asked.most <= MAX_DRAFT:
        yield InvalidRequest("plan.ensemble.draft.most", f"is {asked.most}; give 1 to {MAX_DRAFT}")
    if asked.model is None:
        return
    if asked.mode is not DraftMode.AUTO:
        problem = f"names a model, and the mode is {asked.mode.value}; leave one of them out"
        yield InvalidRequest("plan.ensemble.draft.model", problem)
    if asked.model not in members:
        problem = f"names {quoted(asked.model)}, which is no member; name one of them"
        yield InvalidRequest("plan.ensemble.draft.model", problem)


def decide_draft(
    asked: DraftOptions, alignment: Alignment, statuses: Sequence[ModelStatus]
) -> DecidedDraft:
    """Decides who of these members guesses, by what does not change from request to request.

    How far, and whether at all, is decided while the answer is made. What is drawn for a seed
    depends on who guesses, and must not on what was measured.

    Raises:
        InvalidRequest: A model that is no member, or a number out of range.
    """
    refuse_all(draft_problems(asked, [status.id for status in statuses]))
    if asked.mode is DraftMode.OFF:
        return DecidedDraft()
    if alignment is Alignment.UNION_TOP_K:
        return DecidedDraft(problem="what the members vote on is not known before they are asked")
    for status in statuses:
        if not status.rewinds:
            problem = f"model {status.id} cannot go back behind a guess that was wrong"
            return DecidedDraft(problem=problem)
        if status.block_rows < 2:
            return DecidedDraft(problem=f"model {status.id} computes one token at a time")
    most = asked.most or MAX_DRAFT
    if asked.mode is DraftMode.PROMPT:
        return DecidedDraft(most=most)
    if len(statuses) < 2:
        # It goes on by itself where its engine can, which is faster; whoever knows better says so.
        return DecidedDraft(problem="one model alone guesses for nobody")
    model, problem = _who(asked.model, statuses)
    return DecidedDraft(model, most, problem)


def draw_from_members(decision: Decision) -> Decision:
    """The decision, with its votes drawing each token from one member wherever that is the same.

    For a request whose tokens are drawn from the mixture as it is, and that is shown nothing which
    only the mixture knows. Of a cascade that is the last stage alone: how sure the others are of
    their answers is told by their mixtures.
    """
    stages = decision.route.stages
    if decision.route.answers is not None:
        return decision
    if not stages:
        return _member_first(decision)
    last = replace(stages[-1], decision=_member_first(stages[-1].decision))
    return replace(decision, route=replace(decision.route, stages=(*stages[:-1], last)))


def _member_first(vote: Decision) -> Decision:
    draft = vote.draft
    # It is a way to save steps as drafts are, and as open as those were left.
    left_open = bool(draft.model or draft.problem)
    mixes = vote.rule is CombinationRule.LINEAR and vote.alignment is Alignment.SAME_VOCABULARY
    steady = vote.weighting in _STEADY and len(vote.members) > 1
    if not (left_open and mixes and steady):
        return vote
    return replace(vote, draft=replace(draft, member_first=True))


def _who(named: str | None, statuses: Sequence[ModelStatus]) -> tuple[str, str]:
    """The member that guesses, or why none does."""
    if named is not None:
        return named, ""
    if not all(status.size_bytes for status in statuses):
        return "", "the size of a member is not known"
    smallest = min(statuses, key=lambda status: status.size_bytes)
    largest = max(status.size_bytes for status in statuses)
    if smallest.size_bytes > LARGEST_SHARE * largest:
        return "", "no member is much smaller than the largest"
    return smallest.id, ""
