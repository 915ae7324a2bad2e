"""What the field ``model`` of a request stands for. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

from quorate.access import limits
from quorate.errors import InvalidRequest, NotFound
from quorate.request import (
    AnswersPlan,
    AutoPlan,
    NamedPlan,
    Plan,
    PlanChoice,
    ProfilePlan,
    WeightedModel,
    plan_models,
)
from quorate.routing.resolve import member_problems, share_weights

AUTO = "auto"
VOTE = "vote:"
ANSWERS = "answers:"


def plan_named(
    field: str, name: str | None, models: Collection[str], profiles: Collection[str]
) -> PlanChoice | None:
    """The plan that a name stands for; None, for the default profile, without one.

    ``auto`` lets the router choose. ``vote:a+b`` and ``vote:a=0.7+b=0.3`` are votes on tokens, with
    ``answers:`` votes of whole answers. All else is a profile, or a model where no profile has that
    name.

    Raises:
        InvalidRequest: It is too long, or a vote whose members or weights can never be served.
        NotFound: Neither a model nor a profile is called so.
    """
    if not name:
        return None
    if len(name.encode("utf-8", "replace")) > limits.MAX_MEMBERS * limits.MAX_NAME_BYTES:
        raise InvalidRequest(field, "is too long for a name")
    if name == AUTO:
        return AutoPlan()
    if name not in models and name not in profiles:
        if name.startswith(VOTE):
            return Plan(_members(field, name.removeprefix(VOTE), models, VOTE))
        if name.startswith(ANSWERS):
            return AnswersPlan(_members(field, name.removeprefix(ANSWERS), models, ANSWERS))
    check_length(field, name)
    if name in profiles:
        return ProfilePlan(name)
    if name not in models:
        raise NotFound("model or profile", name, [*profiles, *models, AUTO])
    return Plan((WeightedModel(name),))


def first_model(
    plan: PlanChoice | None, profiles: Mapping[str, NamedPlan], default: str, models: Sequence[str]
) -> str:
    """The model whose tokens are meant where a plan is named.

    Args:
        plan: What was named; None where nothing was.
        profiles: Plans of profiles.
        default: Name of the default profile, or "".
        models: Ids of the models there are.

    Raises:
        InvalidRequest: Several models are there, and none of them comes first.
    """
    if isinstance(plan, ProfilePlan):
        default = plan.name
    elif isinstance(plan, Plan | AnswersPlan):
        return plan.members[0].model
    if default in profiles:
        return plan_models(profiles[default])[0]
    if len(models) != 1:
        raise InvalidRequest("model", "is missing; name a model")
    return models[0]


def _members(
    field: str, written: str, models: Collection[str], kind: str
) -> tuple[WeightedModel, ...]:
    parts = written.split("+")
    if len(parts) > limits.MAX_MEMBERS:
        raise InvalidRequest(field, f"names more than {limits.MAX_MEMBERS} members")
    members = tuple(_member(field, part, models, kind) for part in parts)
    for problem in member_problems(members):
        raise InvalidRequest(field, problem.problem)
    try:
        share_weights([member.weight for member in members])
    except InvalidRequest as error:
        raise InvalidRequest(field, error.problem) from None
    return members


def _member(field: str, written: str, models: Collection[str], kind: str) -> WeightedModel:
    name, equals, weight = written.rpartition("=")
    if not equals or written in models:
        return WeightedModel(_filled(field, written, kind))
    try:
        number = float(weight)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        problem = f"gives {weight[:32]!r} as a weight; write {kind}a=0.7+b=0.3"
        raise InvalidRequest(field, problem)
    return WeightedModel(_filled(field, name, kind), number)


def check_length(field: str, name: str) -> None:
    """Refuses what is longer than any name.

    Raises:
        InvalidRequest: It is.
    """
    if len(name.encode("utf-8", "replace")) > limits.MAX_NAME_BYTES:
        raise InvalidRequest(field, f"has a name of more than {limits.MAX_NAME_BYTES} bytes")


def _filled(field: str, model: str, kind: str) -> str:
    check_length(field, model)
    return limits.filled(field, model, f"name the members of a vote as in {kind}a+b")
