"""Who guesses tokens ahead of the choice is decided by what does not change between requests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from quorate.errors import InvalidRequest
from quorate.fleet.status import ModelStatus
from quorate.request import (
    Alignment,
    CascadePlan,
    CombinationRule,
    DecidedDraft,
    DraftMode,
    DraftOptions,
    Plan,
    Stage,
    WeightedModel,
    Weighting,
)
from quorate.routing.choose import choose_plan
from quorate.routing.request import RoutingRequest
from quorate.routing.resolve import resolve
from support.routing_cases import service, status

GB = 1_000_000_000


def sized(model: str, size: float, **known: Any) -> ModelStatus:
    facts = {"rewinds": True, "block_rows": 32, "size_bytes": int(size * GB), **known}
    return status(model, **facts)


MODELS = (
    sized("large", 1.5),
    sized("small", 0.5),
    sized("twin", 1.4),
    sized("tiny", 0.1),
    sized("unsized", 0),
    sized("recurrent", 0.2, rewinds=False),
    sized("single", 0.2, block_rows=1),
    sized("foreign", 0.2, vocabulary_fingerprint="other"),
)


def decided(*members: str, asked: DraftOptions | None = None, **plan: Any) -> DecidedDraft:
    asked = asked or DraftOptions()
    return resolve(
        Plan(tuple(map(WeightedModel, members)), draft=asked, **plan), service(*MODELS), 0
    ).draft


def test_the_smallest_member_guesses_where_it_is_much_smaller() -> None:
    assert decided("large", "small") == DecidedDraft("small", 8)
    assert decided("small", "large", "tiny", "twin") == DecidedDraft("tiny", 8)


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        (("large", "twin"), "no member is much smaller than the largest"),
        (("large", "unsized"), "the size of a member is not known"),
    ],
)
def test_where_no_member_guesses_what_was_said_before_may(
    members: tuple[str, ...], problem: str
) -> None:
    assert decided(*members) == DecidedDraft("", 8, problem)


@pytest.mark.parametrize(
    ("members", "plan", "problem"),
    [
        (
            ("large", "recurrent"),
            {},
            "model recurrent cannot go back behind a guess that was wrong",
        ),
        (("large",), {}, "one model alone guesses for nobody"),
        (("large", "single"), {}, "model single computes one token at a time"),
        (
            ("large", "small"),
            {"alignment": Alignment.UNION_TOP_K},
            "what the members vote on is not known before they are asked",
        ),
    ],
)
def test_nobody_guesses_where_that_would_not_be_exact_or_bring_nothing(
    members: tuple[str, ...], plan: dict[str, Any], problem: str
) -> None:
    assert decided(*members, **plan) == DecidedDraft("", 0, problem)


def test_members_that_vote_byte_by_byte_draft_too() -> None:
    assert decided("large", "foreign") == DecidedDraft("foreign", 8)
    assert decided("twin", "foreign", asked=DraftOptions(DraftMode.PROMPT)) == DecidedDraft("", 8)


def test_what_is_asked_is_done() -> None:
    pair = ("large", "small")
    assert decided(*pair, asked=DraftOptions(DraftMode.OFF)) == DecidedDraft()
    assert decided(*pair, asked=DraftOptions(DraftMode.PROMPT, most=3)) == DecidedDraft("", 3)
    assert decided(*pair, asked=DraftOptions(model="large", most=1)) == DecidedDraft("large", 1)
    assert decided("large", "unsized", asked=DraftOptions(model="large")).model == "large"
    assert decided("large", asked=DraftOptions(DraftMode.PROMPT)) == DecidedDraft("", 8)


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        (DraftOptions(model="twin"), "model"),
        (DraftOptions(DraftMode.OFF, model="small"), "model"),
        (DraftOptions(most=0), "most"),
        (DraftOptions(most=9), "most"),
    ],
)
def test_what_can_never_be_done_is_refused_by_its_field(asked: DraftOptions, field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        decided("large", "small", asked=asked)
    assert refused.value.field == f"plan.ensemble.draft.{field}"


ONE_BY_ONE: list[tuple[tuple[str, ...], dict[str, Any]]] = [
    (("large", "small"), {}),
    (("large", "twin"), {"weighting": Weighting.PROMPT}),
    # Nothing is guessed, so that nothing has to be forgotten.
    (("large", "recurrent"), {}),
    (("large", "small"), {"asked": DraftOptions(model="small")}),
]
TOGETHER: list[tuple[tuple[str, ...], dict[str, Any]]] = [
    (("large",), {}),
    (("large", "small"), {"rule": CombinationRule.GEOMETRIC}),
    (("large", "small"), {"weighting": Weighting.BAYESIAN}),
    (("large", "small"), {"weighting": Weighting.CONFIDENCE}),
    (("large", "small"), {"alignment": Alignment.BYTE_EXACT}),
    (("large", "small"), {"asked": DraftOptions(DraftMode.OFF)}),
    (("large", "small"), {"asked": DraftOptions(DraftMode.PROMPT)}),
]


@pytest.mark.parametrize(
    ("members", "plan", "first"),
    [*((*case, True) for case in ONE_BY_ONE), *((*case, False) for case in TOGETHER)],
)
def test_a_member_is_drawn_first_where_that_is_the_mixture_and_drafts_are_left_open(
    members: tuple[str, ...], plan: dict[str, Any], first: bool
) -> None:
    drafts = {"draft": plan.pop("asked")} if "asked" in plan else {}
    asked = Plan(tuple(map(WeightedModel, members)), **plan, **drafts)
    snapshot = service(*MODELS)
    usual = choose_plan(RoutingRequest(asked=asked), snapshot)
    assert not usual.draft.member_first
    chosen = choose_plan(RoutingRequest(asked=asked, from_mixture=True), snapshot)
    assert chosen.draft == replace(usual.draft, member_first=first)


def test_only_the_last_stage_of_a_cascade_draws_members_first() -> None:
    stages = [Stage(Plan(tuple(map(WeightedModel, pair)))) for pair in (("large", "small"),) * 2]
    asked = CascadePlan(tuple(stages))
    decision = choose_plan(RoutingRequest(asked=asked, from_mixture=True), service(*MODELS))
    assert [vote.draft.member_first for vote in decision.votes] == [False, True]
    assert not decision.draft.member_first
