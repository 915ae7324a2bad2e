"""From a plan as it was written to the vote that runs. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import combinations

from quorate.engines.near_equal import disagreement
from quorate.errors import (
    InvalidRequest,
    NotFound,
    UnsupportedPlan,
    refuse_all,
)
from quorate.fleet.status import ModelState, ModelStatus, why_not_ready
from quorate.foreign_text import quoted
from quorate.request import (
    Alignment,
    BeamOptions,
    DecidedDraft,
    Decision,
    FailurePolicy,
    Plan,
    WeightedModel,
    Weighting,
)
from quorate.request.plans import DEFAULT_WIDTH
from quorate.routing.drafting import decide_draft
from quorate.routing.gating import decide_gate
from quorate.routing.snapshot import Snapshot

DEFAULT_EPSILON = 1e-2
MAX_EPSILON = 0.5
MAX_WIDTH = 64
DEFAULT_FORGETTING = 0.9
"""Share of the evidence that Bayesian weights keep from byte to byte: some ten bytes of memory."""

_ALL_ZERO = "all weights are 0; raise at least one"
_DROPPING = frozenset({FailurePolicy.AUTO, FailurePolicy.CONTINUE})
# Which policies know what to do with a member that was lost after it had served, by where it is
# now. One that has failed, or is loaded anew after that, cannot be waited for.
_COVERED = {
    ModelState.RESTARTING: _DROPPING | {FailurePolicy.REPLAY},
    ModelState.FAILED: _DROPPING,
    ModelState.DOWNLOADING: _DROPPING,
    ModelState.LOADING: _DROPPING,
}


def resolve(plan: Plan, snapshot: Snapshot, seed: int, profile: str = "") -> Decision:
    """Fills in everything a plan left open and checks that it can run.

    Weights are normalised, and members of weight zero left out. ``profile`` names the profile that
    the plan came from, or is "".

    A member that was lost after it had served is no reason against the plan, where its failure
    policy says what then: it is dropped, or waited for while it restarts. Whether anybody is left
    is for ``require_somebody``.

    Raises:
        NotFound: An unknown model.
        InvalidRequest: No members, a member twice, weights that cannot be normalised, or a number
            of the plan out of range.
        ModelUnusable: A member that failed to load or is not loaded.
        UnsupportedPlan: Members that cannot vote together in the way that was asked.
        Unavailable: A member that is loading for the first time or unloading, or restarting where
            the policy is to fail.
    """
    members = weighted_members(plan.members, snapshot)
    statuses = [_usable(member.model, snapshot, plan.on_failure) for member in members]
    alignment = _alignment(plan.alignment, statuses)
    weighting = _weighting(plan.weighting, alignment, members)
    gate = decide_gate(plan.gate, plan.weighting, members)
    if gate is not None and alignment is Alignment.UNION_TOP_K:
        problem = "members that vote on a few candidates are all asked at every step; choose "
        raise UnsupportedPlan(gate.leader, f"{problem}another alignment, or other weights")
    return Decision(
        members=members,
        rule=plan.rule,
        alignment=alignment,
        weighting=weighting,
        on_failure=plan.on_failure,
        context_tokens=min(status.context_length for status in statuses),
        seed=seed,
        profile=profile,
        forgetting=_forgetting(plan.forgetting, weighting),
        beam=_beam(plan.beam, alignment, statuses),
        # Who leads a gated vote goes on by itself.
        draft=DecidedDraft() if gate else decide_draft(plan.draft, alignment, statuses),
        gate=gate,
    )


def weighted_members(
    members: Sequence[WeightedModel], snapshot: Snapshot
) -> tuple[WeightedModel, ...]:
    """The members with normalised weights; those of weight zero are left out.

    Raises:
        NotFound: An unknown model.
        InvalidRequest: No members, a member twice, or weights that cannot be normalised.
    """
    _check_members(members)
    shares = share_weights([member.weight for member in members])
    for member in members:
        _known(member.model, snapshot)
    return tuple(
        WeightedModel(member.model, share)
        for member, share in zip(members, shares, strict=True)
        if share > 0
    )


def share_weights(weights: Sequence[float | None]) -> tuple[float, ...]:
    """Normalises weights to shares that sum to 1; None counts as 1.

    Raises:
        InvalidRequest: Weights that are negative or not finite, or all of them zero.
    """
    refuse_all(_number_problems(weights))
    given = [1.0 if weight is None else float(weight) for weight in weights]
    largest = max(given, default=0.0)
    if largest == 0:
        raise InvalidRequest("plan.ensemble.members", _ALL_ZERO)
    scaled = [weight / largest for weight in given]
    total = math.fsum(scaled)
    return tuple(weight / total for weight in scaled)


def weight_problems(members: Sequence[WeightedModel]) -> Iterator[InvalidRequest]:
    """What is wrong with the weights of members."""
    weights = [member.weight for member in members]
    found = list(_number_problems(weights))
    yield from found
    if members and not found and all(weight == 0 for weight in weights):
        yield InvalidRequest("plan.ensemble.members", _ALL_ZERO)


def _number_problems(weights: Sequence[float | None]) -> Iterator[InvalidRequest]:
    for index, weight in enumerate(weights):
        if weight is not None and not (math.isfinite(weight) and weight >= 0):
            yield InvalidRequest(
                f"plan.ensemble.members[{index}].weight",
                f"is {weight}; give a finite number that is not negative",
            )


def _check_members(members: Sequence[WeightedModel]) -> None:
    for problem in member_problems(members):
        raise problem


def member_problems(members: Sequence[WeightedModel]) -> Iterator[InvalidRequest]:
    """What is wrong with members whatever models there are, but for their weights."""
    if not members:
        yield InvalidRequest("plan.ensemble.members", "is empty; name at least one model")
    seen: set[str] = set()
    for index, member in enumerate(members):
        if not member.model:
            yield InvalidRequest(f"plan.ensemble.members[{index}].model", "is empty")
        elif member.model in seen:
            yield InvalidRequest(
                f"plan.ensemble.members[{index}].model",
                f"{quoted(member.model)} is named twice; give it one weight instead",
            )
        seen.add(member.model)


def _known(model: str, snapshot: Snapshot) -> ModelStatus:
    status = snapshot.models.get(model)
    if status is None:
        raise NotFound("model", model, snapshot.models)
    return status


def require_somebody(
    members: Sequence[WeightedModel], policy: FailurePolicy, snapshot: Snapshot
) -> None:
    """Checks that some member of a resolved vote is ready, or is waited for until it is.

    Raises:
        ModelUnusable: All of them have failed.
        Unavailable: All of them were lost, and nobody waits for them.
    """
    statuses = [_known(member.model, snapshot) for member in members]
    if any(status.state is ModelState.READY for status in statuses):
        return
    restarting = [status for status in statuses if status.state is ModelState.RESTARTING]
    if not restarting or policy not in (FailurePolicy.AUTO, FailurePolicy.REPLAY):
        raise why_not_ready((restarting or statuses)[0])


def require_everybody(
    members: Sequence[WeightedModel], policy: FailurePolicy, snapshot: Snapshot
) -> None:
    """Checks that every member of a resolved vote is ready, or is covered by a failure policy.

    Raises:
        ModelUnusable: A member failed.
        Unavailable: A member is not ready.
    """
    for member in members:
        _usable(member.model, snapshot, policy)


def _usable(model: str, snapshot: Snapshot, policy: FailurePolicy) -> ModelStatus:
    status = _known(model, snapshot)
    lost = status.served and policy in _COVERED.get(status.state, ())
    if status.state is ModelState.READY or lost:
        return status
    raise why_not_ready(status)


def _alignment(asked: Alignment, statuses: Sequence[ModelStatus]) -> Alignment:
    if asked in (Alignment.AUTO, Alignment.SAME_VOCABULARY):
        differing = _differing(statuses)
        if differing is None:
            return Alignment.SAME_VOCABULARY
        if asked is Alignment.SAME_VOCABULARY:
            names, problem = differing
            raise UnsupportedPlan(
                names,
                f"their vocabularies differ{problem}, so they cannot vote token by token; "
                "leave the alignment open, or ask for byte_exact",
            )
    for status in statuses:
        if not status.has_bytes:
            raise UnsupportedPlan(
                status.id,
                "its tokenizer does not say what bytes its tokens stand for, so it cannot vote "
                "with models of another vocabulary; leave it out",
            )
    return Alignment.BYTE_EXACT if asked is Alignment.AUTO else asked


def vote_by_token(first: ModelStatus, second: ModelStatus) -> bool:
    """Whether two models can vote token by token: equal vocabularies, or near-equal ones."""
    return _differing((first, second)) is None


def _differing(statuses: Sequence[ModelStatus]) -> tuple[str, str] | None:
    """Two models that cannot vote token by token, and why where that is known."""
    for first, second in combinations(statuses, 2):
        if first.vocabulary_fingerprint == second.vocabulary_fingerprint:
            continue
        problem = ""
        if first.vocabulary is not None and second.vocabulary is not None:
            found = disagreement((first.vocabulary, second.vocabulary))
            if not found:
                continue
            problem = f" ({found})"
        return f"{first.id}, {second.id}", problem
    return None


def _weighting(
    asked: Weighting, alignment: Alignment, members: Sequence[WeightedModel]
) -> Weighting:
    if len(members) == 1:
        return Weighting.STATIC
    if asked is not Weighting.AUTO:
        return asked
    shared = alignment is Alignment.SAME_VOCABULARY
    return Weighting.STATIC if shared else Weighting.BAYESIAN


def _beam(asked: BeamOptions, alignment: Alignment, statuses: Sequence[ModelStatus]) -> BeamOptions:
    """Checks what was asked and fills in the rest, where the vote is byte-exact."""
    epsilon, width = asked.epsilon, asked.width
    if epsilon is not None and not 0 <= epsilon <= MAX_EPSILON:
        raise InvalidRequest("plan.ensemble.beam.epsilon", f"is {epsilon}; give 0 to {MAX_EPSILON}")
    if width is not None and not 1 <= width <= MAX_WIDTH:
        raise InvalidRequest("plan.ensemble.beam.width", f"is {width}; give 1 to {MAX_WIDTH}")
    if alignment is not Alignment.BYTE_EXACT:
        return BeamOptions()
    smallest = min(statuses, key=lambda status: status.sessions)
    if width is not None and width > smallest.sessions:
        raise UnsupportedPlan(
            smallest.id,
            f"a beam of width {width} takes as many sessions, and it has {smallest.sessions}; "
            "give a smaller width, or configure more sessions",
        )
    return BeamOptions(
        epsilon=DEFAULT_EPSILON if epsilon is None else epsilon,
        width=_default_width(statuses) if width is None else width,
    )


def _default_width(statuses: Sequence[ModelStatus]) -> int:
    """As wide as every member can hold whatever the length of the answer."""
    return min(DEFAULT_WIDTH, *(status.full_sessions or status.sessions for status in statuses))


def _forgetting(asked: float | None, weighting: Weighting) -> float | None:
    if asked is not None and not 0 < asked <= 1:
        raise InvalidRequest(
            "plan.ensemble.forgetting", f"is {asked}; give more than 0, and 1 to forget nothing"
        )
    if weighting is not Weighting.BAYESIAN:
        return None
    return DEFAULT_FORGETTING if asked is None else asked
