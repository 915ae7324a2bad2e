"""What holds of every choice, whatever the service and the request."""

from __future__ import annotations

import math
from dataclasses import replace
from types import NoneType

from hypothesis import given
from hypothesis import strategies as st

from quorate.errors import QuorateError
from quorate.fleet.status import ModelState, ModelStatus
from quorate.request import (
    AutoPlan,
    Budget,
    CascadePlan,
    Clause,
    Decision,
    PlanKind,
    ProfilePlan,
    Stage,
)
from quorate.routing.candidates import open_plans
from quorate.routing.choose import choose_plan
from quorate.routing.limits import CANNOT_RUN
from quorate.routing.quality import QualityTable, Tally
from quorate.routing.request import RoutingRequest
from quorate.routing.settings import RoutingSettings
from quorate.routing.snapshot import QueueState, Remaining, RemoteStatus, Snapshot
from support.routing_cases import status, took, usd_per_mtok, vote

NAMES = ("a", "b", "c", "d")
PLANS = (
    vote("a"),
    vote("b"),
    vote("a", "b"),
    vote("c", "d"),
    vote(),
    CascadePlan((Stage(vote("a")), Stage(vote("b", "c")))),
    CascadePlan((Stage(vote("d"), 2.0), Stage(vote("a")))),
)
NAMED = {f"p{index}": plan for index, plan in enumerate(PLANS)}

amounts = st.sampled_from([0.0, 1e-3, 1.0, 7.5, 100.0, 1e4, 1e9])
maybe = st.none() | amounts
seldom = st.sampled_from([False] * 4 + [True])
shares = st.floats(0.0, 1.0)
models = st.builds(
    status,
    st.just(""),
    st.sampled_from([ModelState.READY] * 30 + list(ModelState)),
    vocabulary_fingerprint=st.sampled_from(["v", "v", "w"]),
    context_length=st.sampled_from([0, 16, 4096, 4096]),
    sessions=st.sampled_from([0, 1, 8]),
    has_bytes=seldom.map(lambda lacking: not lacking),
)
profiles_of_costs = st.builds(took, amounts, maybe)
far = st.builds(
    RemoteStatus,
    st.just(""),
    st.builds(usd_per_mtok, amounts, amounts) | st.none(),
    st.sampled_from(["", "", "", "down"]),
    st.sampled_from([0, 0, 64, 10**6]),
    shares,
    st.sampled_from([(), (), ("code",)]),
    amounts,
    amounts,
)
KEYS = (*(f"single:{name}" for name in NAMES), "ensemble:a+b:same_vocabulary:static", "remote:r")
tables = st.builds(
    QualityTable,
    st.dictionaries(
        st.tuples(st.sampled_from(KEYS), st.sampled_from(["", "code"])),
        st.integers(0, 50).map(lambda cases: Tally(cases / 2, cases)),
        max_size=3,
    ),
    st.dictionaries(st.sampled_from(NAMES), shares),
    st.dictionaries(st.sampled_from(NAMES), st.just(("code",)), max_size=2),
)
policies = st.builds(
    RoutingSettings,
    st.sampled_from(["best_effort", "reject"]),
    seldom,
    amounts,
    amounts,
    amounts,
    st.sampled_from([()] * 6 + [("a", "b"), ("p0", "c"), ("nobody",)]),
    st.sampled_from([0.0, 0.5]),
    allow_substitution=seldom,
)


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    known: dict[str, ModelStatus] = {
        name: replace(draw(models), id=name)
        for name in draw(st.sampled_from([NAMES, NAMES, NAMES[:3], NAMES[1:], NAMES[:1], ()]))
    }
    profiles = {name: NAMED[name] for name in draw(st.sets(st.sampled_from(list(NAMED))))}
    return Snapshot(
        models=known,
        profiles=profiles,
        default_profile=draw(st.sampled_from(["", *profiles])),
        costs=draw(st.dictionaries(st.sampled_from(KEYS), profiles_of_costs)),
        active=draw(st.dictionaries(st.sampled_from(NAMES), st.integers(0, 9))),
        escalations=draw(st.dictionaries(st.just("profile:p5"), shares)),
        wedged=frozenset(draw(st.sampled_from(["", "", "", "a", "d"]))),
        quality=draw(tables),
        remotes={
            name: replace(draw(far), name=name)
            for name in draw(st.sets(st.sampled_from(["r", "s"])))
        },
        queue=draw(
            st.sampled_from(
                [QueueState(), QueueState(1, 0, 1, 9, 50.0), QueueState(1, 1, 1, 1, 50.0)]
            )
        ),
        remaining=draw(st.just(Remaining()) | st.builds(Remaining, maybe, maybe)),
        settings=draw(policies),
    )


requests = st.builds(
    RoutingRequest,
    st.one_of(
        st.none(),
        *[st.just(AutoPlan())] * 4,
        st.sampled_from(PLANS),
        st.sampled_from([*NAMED, "unknown"]).map(ProfilePlan),
    ),
    st.integers(0, 3),
    st.sampled_from([0, 40, 40, 10**6]),
    st.sampled_from([64, 10**6]),
    st.sampled_from([1, 256]),
    st.just(Budget()) | st.builds(Budget, maybe, maybe, maybe),
    seldom,
    st.sampled_from(["", "code", "law"]),
    st.sampled_from([{}, {"r": ("sampling.min_p",)}]),
    st.sampled_from([frozenset(), frozenset({"single:a", "profile:p0", "remote:r"})]),
    st.sampled_from([0.0, 30.0]),
    shares,
    seldom,
    allow_substitution=st.sampled_from([None, None, False, True]),
)


def named(request: RoutingRequest, snapshot: Snapshot) -> bool:
    """Whether the request names one plan."""
    return not isinstance(request.asked, AutoPlan | NoneType) or (
        request.asked is None and bool(snapshot.default_profile)
    )


def leave(request: RoutingRequest, snapshot: Snapshot) -> bool:
    """Whether another plan may answer than the one that is named."""
    allowed = request.allow_substitution
    return snapshot.settings.allow_substitution if allowed is None else allowed


def decided(request: RoutingRequest, snapshot: Snapshot) -> Decision | QuorateError:
    try:
        return choose_plan(request, snapshot)
    except QuorateError as error:
        return error


@given(requests, snapshots())
def test_the_same_inputs_give_the_same_decision_or_an_error_of_ours(
    request: RoutingRequest, snapshot: Snapshot
) -> None:
    first, second = decided(request, snapshot), decided(request, snapshot)
    kept = decided(request, replace(snapshot, plans=open_plans(snapshot)))
    if isinstance(first, Decision):
        assert first == second == kept
    else:
        assert type(first) is type(second) is type(kept)
        assert first.message == second.message == kept.message  # type: ignore[union-attr]
        assert first.message.isprintable()


@given(requests, snapshots())
def test_of_every_decision_holds_what_the_router_promises(
    request: RoutingRequest, snapshot: Snapshot
) -> None:
    decision = decided(request, snapshot)
    if not isinstance(decision, Decision):
        return
    route = decision.route
    [chosen] = [one for one in route.candidates if one.chosen]
    local = [one for one in route.candidates if one.kind is not PlanKind.REMOTE]
    admissible = [one for one in local if not one.rejections]
    assert chosen.name == route.name
    assert chosen.kind is route.kind
    assert (route.over_budget is None) == (chosen in admissible)
    if named(request, snapshot) and not leave(request, snapshot):
        assert list(route.candidates) == [chosen]
    if admissible:
        assert chosen in admissible
        assert all(one.rejections for one in route.candidates if one.kind is PlanKind.REMOTE)
    elif not named(request, snapshot):
        clauses = {one.clause for one in chosen.rejections}
        assert not clauses & CANNOT_RUN
    if route.remote:
        assert chosen.rejections == ()
        assert decision.members == ()
    else:
        assert decision.members
    if request.local_only or snapshot.settings.local_only:
        assert local == list(route.candidates)
    if route.instead_of:
        assert named(request, snapshot) and leave(request, snapshot)
        assert route.instead_of == route.candidates[0].name != route.name
        assert route.candidates[0].rejections
    assert route.replaceable is (not named(request, snapshot) or leave(request, snapshot))
    if route.explored:
        assert chosen.forecast.cold
        assert request.budget.latency_ms is None
        assert not route.remote
    stages = [stage.decision for stage in route.stages] or [decision]
    assert {stage.seed for stage in stages} == {request.seed}


@given(requests, snapshots())
def test_a_named_plan_is_never_replaced_without_leave(
    request: RoutingRequest, snapshot: Snapshot
) -> None:
    strict = replace(request, allow_substitution=False)
    if not named(strict, snapshot):
        return
    alone = replace(snapshot, remotes={}, plans=())
    with_others, by_itself = decided(strict, snapshot), decided(strict, alone)
    if isinstance(with_others, QuorateError):
        assert type(with_others) is type(by_itself)
        assert with_others.message == by_itself.message  # type: ignore[union-attr]
        return
    # Nothing that stands beside it changes anything of it.
    assert with_others == by_itself
    assert not with_others.route.instead_of
    assert not with_others.route.replaceable
    if isinstance(strict.asked, ProfilePlan):
        assert with_others.profile == strict.asked.name


@given(requests, snapshots())
def test_leave_refuses_nothing_that_would_have_run(
    request: RoutingRequest, snapshot: Snapshot
) -> None:
    untried = replace(request, failed=frozenset())
    strict = decided(replace(untried, allow_substitution=False), snapshot)
    lenient = decided(replace(untried, allow_substitution=True), snapshot)
    if isinstance(strict, Decision):
        assert isinstance(lenient, Decision)
        if strict.route.over_budget is None:
            assert lenient.route.name == strict.route.name


@given(requests, snapshots())
def test_nothing_that_could_have_run_costs_less(
    request: RoutingRequest, snapshot: Snapshot
) -> None:
    relaxed = replace(request, asked=AutoPlan(), budget=replace(request.budget, latency_ms=None))
    decision = decided(relaxed, snapshot)
    if not isinstance(decision, Decision) or decision.route.explored:
        return
    [chosen] = [one for one in decision.route.candidates if one.chosen]
    assert chosen.cost is not None and math.isfinite(chosen.cost)
    if chosen.rejections:
        return
    others = [
        one
        for one in decision.route.candidates
        if not one.rejections
        and (one.kind is PlanKind.REMOTE) == bool(decision.route.remote)
        and not all(snapshot.quality.is_outsider(model, request.task) for model in one.models)
    ]
    assert all(one.cost is not None and one.cost >= chosen.cost for one in others)


@given(requests, snapshots())
def test_a_lower_limit_never_rules_less_out(request: RoutingRequest, snapshot: Snapshot) -> None:
    lower = replace(request, budget=Budget(0.0, 0.0, 0.0))
    loose, tight = decided(request, snapshot), decided(lower, snapshot)
    if isinstance(loose, Decision) and isinstance(tight, Decision):
        before = {one.name: one.rejections for one in loose.route.candidates}
        for one in tight.route.candidates:
            clauses = {reason.clause for reason in one.rejections} | {Clause.WITHIN_BUDGET}
            assert {reason.clause for reason in before.get(one.name, ())} <= clauses
