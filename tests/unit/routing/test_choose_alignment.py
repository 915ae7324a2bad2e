"""How members with different vocabularies are brought together: alignment, weighting, beam."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from quorate.errors import InvalidRequest, UnsupportedPlan
from quorate.fleet.status import ModelStatus
from quorate.request import Alignment, BeamOptions, Decision, Plan, WeightedModel, Weighting
from quorate.request.plans import DEFAULT_WIDTH
from quorate.routing.candidates import open_plans
from quorate.routing.resolve import (
    DEFAULT_EPSILON,
    DEFAULT_FORGETTING,
    MAX_EPSILON,
    MAX_WIDTH,
    resolve,
)
from support.routing_cases import service, status
from support.vocabularies import family


def speaking(vocabulary: str, model: str, **known: Any) -> ModelStatus:
    return status(model, vocabulary_fingerprint=vocabulary, **known)


MODELS = (
    speaking("letters", "a"),
    speaking("letters", "twin"),
    speaking("words", "b"),
    speaking("words", "narrow", sessions=3),
    speaking("words", "single", sessions=1),
    speaking("ids", "opaque", has_bytes=False),
    speaking("ids", "opaque twin", has_bytes=False),
)


def decided(*members: str, **asked: Any) -> Decision:
    plan = Plan(tuple(map(WeightedModel, members)), **asked)
    return resolve(plan, service(*MODELS), 0)


@pytest.mark.parametrize(
    ("members", "asked", "chosen"),
    [
        (("a", "twin"), Alignment.AUTO, Alignment.SAME_VOCABULARY),
        (("a",), Alignment.AUTO, Alignment.SAME_VOCABULARY),
        (("a", "b"), Alignment.AUTO, Alignment.BYTE_EXACT),
        (("a", "twin", "b"), Alignment.AUTO, Alignment.BYTE_EXACT),
        (("a", "twin"), Alignment.BYTE_EXACT, Alignment.BYTE_EXACT),
        (("a",), Alignment.BYTE_EXACT, Alignment.BYTE_EXACT),
        (("opaque", "opaque twin"), Alignment.AUTO, Alignment.SAME_VOCABULARY),
    ],
)
def test_the_vote_is_by_tokens_where_all_share_them_and_by_bytes_elsewhere(
    members: tuple[str, ...], asked: Alignment, chosen: Alignment
) -> None:
    assert decided(*members, alignment=asked).alignment is chosen


@pytest.mark.parametrize("members", [("a", "opaque"), ("opaque", "a"), ("b", "a", "opaque")])
def test_a_model_whose_tokens_have_no_known_bytes_is_named(members: tuple[str, ...]) -> None:
    with pytest.raises(UnsupportedPlan) as refusal:
        decided(*members)
    assert refusal.value.message.startswith("opaque: its tokenizer does not say")


BASE, CHAT = family(), family(marks=("<|im_start|>", "<|im_end|>", "<tool>"))
ODD = replace(BASE, pre_tokenizer="other")
NEAR = tuple(
    status(name, vocabulary_fingerprint=known.fingerprint, vocabulary=known)
    for name, known in (("base", BASE), ("chat", CHAT), ("odd", ODD))
)


@pytest.mark.parametrize("asked", [Alignment.AUTO, Alignment.SAME_VOCABULARY])
def test_near_equal_vocabularies_vote_by_tokens(asked: Alignment) -> None:
    plan = Plan((WeightedModel("base"), WeightedModel("chat")), alignment=asked)
    assert resolve(plan, service(*NEAR), 0).alignment is Alignment.SAME_VOCABULARY


def test_one_member_that_is_not_near_to_all_others_makes_it_bytes_and_says_why() -> None:
    members = tuple(map(WeightedModel, ("base", "chat", "odd")))
    assert resolve(Plan(members), service(*NEAR), 0).alignment is Alignment.BYTE_EXACT
    with pytest.raises(UnsupportedPlan, match=r"^base, odd: .*pre-tokenizers differ: other and"):
        resolve(Plan(members, alignment=Alignment.SAME_VOCABULARY), service(*NEAR), 0)


def test_a_server_without_profiles_lets_near_equal_models_vote_together() -> None:
    names = [plan.name for plan in open_plans(service(*NEAR))]
    assert "ensemble:base+chat" in names
    assert not any("odd" in name for name in names if name.startswith("ensemble"))


def test_a_member_without_a_weight_does_not_count_for_the_alignment() -> None:
    plan = Plan((WeightedModel("a", 1.0), WeightedModel("opaque", 0.0)))
    decision = resolve(plan, service(*MODELS), 0)
    assert decision.alignment is Alignment.SAME_VOCABULARY


@pytest.mark.parametrize(
    ("members", "asked", "chosen"),
    [
        (("a", "twin"), Weighting.AUTO, Weighting.STATIC),
        (("a", "b"), Weighting.AUTO, Weighting.BAYESIAN),
        (("a", "b"), Weighting.STATIC, Weighting.STATIC),
        (("a", "twin"), Weighting.BAYESIAN, Weighting.BAYESIAN),
        (("a", "b"), Weighting.PROMPT, Weighting.PROMPT),
        (("a", "b"), Weighting.CONFIDENCE, Weighting.CONFIDENCE),
        (("a",), Weighting.BAYESIAN, Weighting.STATIC),
    ],
)
def test_weights_that_are_left_open_are_static_for_peers_and_bayesian_for_strangers(
    members: tuple[str, ...], asked: Weighting, chosen: Weighting
) -> None:
    assert decided(*members, weighting=asked).weighting is chosen


def test_peers_that_vote_by_bytes_are_weighed_by_what_they_know() -> None:
    decision = decided("a", "twin", alignment=Alignment.BYTE_EXACT)
    assert decision.weighting is Weighting.BAYESIAN


def test_forgetting_is_decided_for_bayesian_weights_alone() -> None:
    assert decided("a", "b").forgetting == DEFAULT_FORGETTING
    assert decided("a", "b", forgetting=1.0).forgetting == 1.0
    assert decided("a", "b", forgetting=0.5, weighting=Weighting.STATIC).forgetting is None
    assert decided("a", "twin").forgetting is None


@pytest.mark.parametrize("members", [("a", "b"), ("a", "twin"), ("a",)])
@pytest.mark.parametrize("forgetting", [0.0, -0.5, 1.0001, float("nan"), float("inf")])
def test_forgetting_out_of_range_is_refused_whether_it_would_be_used_or_not(
    members: tuple[str, ...], forgetting: float
) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        decided(*members, forgetting=forgetting)
    assert refusal.value.field == "plan.ensemble.forgetting"


def test_the_beam_has_defaults_where_the_vote_is_by_bytes() -> None:
    assert decided("a", "b").beam == BeamOptions(DEFAULT_EPSILON, DEFAULT_WIDTH)
    assert decided("a", "b", beam=BeamOptions(0.0, 1)).beam == BeamOptions(0.0, 1)
    assert decided("a", "b", beam=BeamOptions(width=20)).beam == BeamOptions(DEFAULT_EPSILON, 20)


def test_there_is_no_beam_where_the_vote_is_by_tokens() -> None:
    assert decided("a", "twin", beam=BeamOptions(0.1, 4)).beam == BeamOptions()


def test_a_width_that_is_left_open_is_what_the_smallest_model_has() -> None:
    assert decided("a", "narrow").beam.width == 3
    assert decided("single", "a").beam.width == 1


def test_a_width_beyond_the_sessions_of_a_model_names_it() -> None:
    assert decided("a", "narrow", beam=BeamOptions(width=3)).beam.width == 3
    with pytest.raises(UnsupportedPlan) as refusal:
        decided("a", "narrow", beam=BeamOptions(width=4))
    assert refusal.value.message.startswith("narrow: a beam of width 4 takes as many sessions")


@pytest.mark.parametrize("members", [("a", "b"), ("a", "twin")])
@pytest.mark.parametrize(
    ("beam", "field"),
    [
        (BeamOptions(epsilon=-1e-9), "epsilon"),
        (BeamOptions(epsilon=MAX_EPSILON + 0.01), "epsilon"),
        (BeamOptions(epsilon=float("nan")), "epsilon"),
        (BeamOptions(width=0), "width"),
        (BeamOptions(width=MAX_WIDTH + 1), "width"),
    ],
)
def test_a_beam_out_of_range_is_refused_with_its_field(
    members: tuple[str, ...], beam: BeamOptions, field: str
) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        decided(*members, beam=beam)
    assert refusal.value.field == f"plan.ensemble.beam.{field}"


def test_a_model_whose_branches_share_nothing_is_followed_as_widely_as_its_kv_tokens_hold() -> None:
    snapshot = service(
        speaking("one", "a", sessions=32, full_sessions=32),
        speaking("two", "recurrent", sessions=32, full_sessions=2),
    )
    plan = Plan((WeightedModel("a"), WeightedModel("recurrent")))
    assert resolve(plan, snapshot, 0).beam.width == 2
