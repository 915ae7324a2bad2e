from __future__ import annotations

from typing import Any

import pytest

from quorate.errors import (
    InvalidRequest,
    ModelUnusable,
    NotFound,
    QuorateError,
    Unavailable,
    UnsupportedPlan,
)
from quorate.fleet.status import ModelState
from quorate.request import (
    Alignment,
    AutoPlan,
    CombinationRule,
    Decision,
    FailurePolicy,
    Plan,
    PlanChoice,
    ProfilePlan,
    WeightedModel,
)
from quorate.routing.choose import choose_plan
from quorate.routing.request import RoutingRequest
from quorate.routing.snapshot import Snapshot
from support.routing_cases import service, status


def choose(asked: PlanChoice | None, models: Snapshot, seed: int = 0) -> Decision:
    return choose_plan(RoutingRequest(asked, seed=seed), models)


def plan(*members: WeightedModel | str, **rest: Any) -> Plan:
    return Plan(tuple(WeightedModel(m) if isinstance(m, str) else m for m in members), **rest)


def test_weights_become_shares_of_one_in_the_order_of_the_plan() -> None:
    asked = plan(WeightedModel("b", 3.0), WeightedModel("a", 1.0))
    decision = choose(asked, service("a", "b"), 7)
    assert decision.members == (WeightedModel("b", 0.75), WeightedModel("a", 0.25))
    assert decision.alignment is Alignment.SAME_VOCABULARY
    assert decision.seed == 7


@pytest.mark.parametrize("weight", [None, 1e308])
def test_members_of_one_weight_share_equally_whatever_its_size(weight: float | None) -> None:
    asked = plan(WeightedModel("a", weight), WeightedModel("b", weight))
    decision = choose(asked, service("a", "b"))
    assert [member.weight for member in decision.members] == [0.5, 0.5]


def test_a_member_of_weight_zero_is_left_out_and_need_not_be_ready() -> None:
    models = service("a", status("b", ModelState.UNLOADED))
    decision = choose(plan(WeightedModel("a", 1.0), WeightedModel("b", 0.0)), models)
    assert decision.members == (WeightedModel("a", 1.0),)


def test_the_smallest_context_rules() -> None:
    models = service(status("a", context_length=4096), status("b", context_length=256))
    assert choose(plan("a", "b"), models).context_tokens == 256


def test_a_profile_is_found_by_name_and_named_in_the_decision() -> None:
    profile = plan("a", rule=CombinationRule.GEOMETRIC, on_failure=FailurePolicy.FAIL)
    models = service("a", profiles={"careful": profile})
    decision = choose(ProfilePlan("careful"), models)
    assert decision.profile == "careful"
    assert decision.rule is CombinationRule.GEOMETRIC
    assert decision.on_failure is FailurePolicy.FAIL


def test_without_a_plan_the_default_profile_answers() -> None:
    models = service("a", "b", profiles={"solo": plan("b")}, default_profile="solo")
    assert choose(None, models).profile == "solo"


@pytest.mark.parametrize("asked", [None, AutoPlan()])
def test_without_plan_and_profile_every_ready_peer_of_the_first_ready_model_votes(
    asked: AutoPlan | None,
) -> None:
    models = service(
        status("a", ModelState.LOADING),
        status("b"),
        status("c", vocabulary_fingerprint="other"),
        status("d"),
    )
    assert [m.model for m in choose(asked, models).members] == ["b", "d"]


REFUSED = [
    (plan(), InvalidRequest, "plan.ensemble.members: is empty"),
    (plan("a", "a"), InvalidRequest, "members[1].model: 'a' is named twice"),
    (plan(""), InvalidRequest, "members[0].model: is empty"),
    (plan(WeightedModel("a", -1.0)), InvalidRequest, "members[0].weight: is -1.0"),
    (plan(WeightedModel("a", float("nan"))), InvalidRequest, "members[0].weight: is nan"),
    (plan(WeightedModel("a", float("inf"))), InvalidRequest, "members[0].weight: is inf"),
    (plan(WeightedModel("a", 0.0)), InvalidRequest, "all weights are 0"),
    (plan("alpho"), NotFound, "no model named 'alpho'; did you mean alpha?"),
    (plan(WeightedModel("a"), WeightedModel("zzz", 0.0)), NotFound, "no model named 'zzz'"),
    (ProfilePlan("fats"), NotFound, "no profile named 'fats'; did you mean fast?"),
    (plan("loading"), Unavailable, "model loading is loading"),
    (plan("restarting"), Unavailable, "model restarting is restarting"),
    (plan("failed"), ModelUnusable, "failed: wrong magic"),
    (plan("unloaded"), ModelUnusable, "unloaded: is not loaded"),
    (
        plan("a", "other", alignment=Alignment.SAME_VOCABULARY),
        UnsupportedPlan,
        "a, other: their vocabularies differ",
    ),
    (plan("a", "opaque"), UnsupportedPlan, "opaque: its tokenizer does not say what bytes"),
    (plan("opaque", "a"), UnsupportedPlan, "opaque: its tokenizer does not say what bytes"),
    (plan("opaque", alignment=Alignment.BYTE_EXACT), UnsupportedPlan, "opaque: its tokenizer"),
]


@pytest.mark.parametrize(("asked", "error", "words"), REFUSED)
def test_what_cannot_run_is_refused_with_its_reason(
    asked: Plan, error: type[QuorateError], words: str
) -> None:
    models = service(
        "a",
        "alpha",
        status("other", vocabulary_fingerprint="other"),
        status("opaque", vocabulary_fingerprint="ids", has_bytes=False),
        status("loading", ModelState.LOADING),
        status("restarting", ModelState.RESTARTING),
        status("failed", ModelState.FAILED, message="wrong magic"),
        status("unloaded", ModelState.UNLOADED),
        profiles={"fast": plan("a")},
    )
    with pytest.raises(error) as refusal:
        choose(asked, models)
    assert words in refusal.value.message


def test_a_service_whose_models_still_load_says_so() -> None:
    with pytest.raises(Unavailable, match="no model is ready yet; a may be soon"):
        choose(None, service(status("a", ModelState.LOADING)))


def test_a_service_without_models_says_so() -> None:
    with pytest.raises(ModelUnusable, match="no model is loaded"):
        choose(None, service())


DROPPING = [FailurePolicy.AUTO, FailurePolicy.CONTINUE]
LOST = [ModelState.RESTARTING, ModelState.FAILED, ModelState.LOADING, ModelState.DOWNLOADING]


@pytest.mark.parametrize("policy", DROPPING)
@pytest.mark.parametrize("state", LOST)
def test_a_plan_that_is_named_runs_although_a_member_was_lost_after_it_had_served(
    state: ModelState, policy: FailurePolicy
) -> None:
    models = service(status("a", state, served=True), "b")
    decision = choose(plan("a", "b", on_failure=policy), models)
    assert decision.models == ("a", "b")


@pytest.mark.parametrize("policy", [FailurePolicy.AUTO, FailurePolicy.REPLAY])
def test_a_plan_whose_only_member_restarts_runs_where_it_waits(policy: FailurePolicy) -> None:
    models = service(status("a", ModelState.RESTARTING, served=True), "b")
    assert choose(plan("a", on_failure=policy), models).models == ("a",)


@pytest.mark.parametrize(
    ("policy", "states", "error"),
    [
        # Nobody says what to do without it.
        (FailurePolicy.FAIL, [ModelState.RESTARTING, ModelState.READY], Unavailable),
        # It will not come back by itself.
        (FailurePolicy.REPLAY, [ModelState.FAILED, ModelState.READY], ModelUnusable),
        (FailurePolicy.REPLAY, [ModelState.LOADING, ModelState.READY], Unavailable),
        # Nobody is left.
        (FailurePolicy.CONTINUE, [ModelState.RESTARTING, ModelState.FAILED], Unavailable),
        (FailurePolicy.AUTO, [ModelState.FAILED, ModelState.FAILED], ModelUnusable),
    ],
)
def test_a_plan_with_lost_members_is_refused_where_its_policy_has_no_answer(
    policy: FailurePolicy, states: list[ModelState], error: type[QuorateError]
) -> None:
    statuses = [status(name, state, served=True) for name, state in zip("ab", states, strict=True)]
    with pytest.raises(error):
        choose(plan("a", "b", on_failure=policy), service(*statuses))


@pytest.mark.parametrize("policy", list(FailurePolicy))
@pytest.mark.parametrize("state", [ModelState.RESTARTING, ModelState.FAILED, ModelState.LOADING])
def test_a_member_that_never_served_was_not_lost(state: ModelState, policy: FailurePolicy) -> None:
    with pytest.raises((Unavailable, ModelUnusable)):
        choose(plan("a", "b", on_failure=policy), service(status("a", state), "b"))


def test_the_server_chooses_no_plan_with_a_lost_member() -> None:
    lost = status("a", ModelState.RESTARTING, served=True)
    models = service(lost, "b", profiles={"both": plan("a", "b"), "other": plan("b")})
    decision = choose(AutoPlan(), models)
    assert decision.models == ("b",)
    with pytest.raises(Unavailable):
        choose(AutoPlan(), service(lost))
