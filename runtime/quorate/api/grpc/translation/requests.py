"""Protobuf requests to domain values. Pure; what needs the models is checked further down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, TypeVar

from quorate.access import limits
from quorate.api.grpc.translation.enums import by_number
from quorate.errors import InvalidRequest
from quorate.request import (
    Alignment,
    AutoPlan,
    BeamOptions,
    Budget,
    CascadePlan,
    CombinationRule,
    FailurePolicy,
    Message,
    Plan,
    PlanChoice,
    ProfilePlan,
    Prompt,
    Request,
    ResponseOptions,
    SamplingOptions,
    ScoreRequest,
    Stage,
    StoppingOptions,
    TextPrompt,
    WeightedModel,
    Weighting,
)
from quorate.v1 import inference_pb2, plan_pb2

RULES = by_number(CombinationRule, plan_pb2.CombinationRule, CombinationRule.LINEAR)
ALIGNMENTS = by_number(Alignment, plan_pb2.Alignment, Alignment.AUTO)
WEIGHTINGS = by_number(Weighting, plan_pb2.Weighting, Weighting.AUTO)
FAILURE_POLICIES = by_number(FailurePolicy, plan_pb2.FailurePolicy, FailurePolicy.AUTO)

_Value = TypeVar("_Value")


def generate_request(
    message: inference_pb2.GenerateRequest,
    request_id: str,
    key: str = "",
    deadline_seconds: float | None = None,
) -> Request:
    """Translates a request for text.

    Args:
        message: As it came; ``access.record`` has checked its id.
        request_id: Used where the caller chose none.
        key: Name of the caller's key.
        deadline_seconds: Time that the caller waits.

    Raises:
        InvalidRequest: A field that can never be served; the path is the caller's.
    """
    return Request(
        prompt=_prompt(message),
        plan=plan_choice(message),
        sampling=_sampling(message.sampling),
        stopping=_stopping(message.stopping),
        response=_response(message.response),
        request_id=message.request_id or request_id,
        budget=_budget(message.budget),
        local_only=message.local_only,
        task=limits.task("task", message.task),
        key=key,
        deadline_seconds=deadline_seconds,
        allow_substitution=_optional(message, "allow_substitution"),
    )


def score_request(
    message: inference_pb2.ScoreRequest, request_id: str, key: str = ""
) -> ScoreRequest:
    """Translates a request for a score.

    Raises:
        InvalidRequest: A field that can never be served; the path is the caller's.
    """
    continuation = limits.filled("continuation", message.continuation, "give the text to score")
    return ScoreRequest(
        prompt=_prompt(message),
        continuation=continuation,
        plan=plan_choice(message),
        request_id=message.request_id or request_id,
        key=key,
    )


def plan_choice(
    message: inference_pb2.GenerateRequest | inference_pb2.ScoreRequest,
) -> PlanChoice | None:
    """Translates the plan or the profile; None where the caller left the choice open.

    Raises:
        InvalidRequest: A plan of no kind, a profile without a name, or an unknown enum value.
    """
    chosen = message.WhichOneof("plan_choice")
    if chosen is None:
        return None
    if chosen == "plan":
        return _plan(message.plan)
    return ProfilePlan(
        limits.filled("profile", message.profile, "name a profile or leave it unset")
    )


def _plan(plan: plan_pb2.Plan) -> PlanChoice:
    on_failure = _enum(
        FAILURE_POLICIES, plan.failure_policy, "plan.failure_policy", plan_pb2.FailurePolicy
    )
    kind = plan.WhichOneof("kind")
    if kind is None:
        raise InvalidRequest("plan", "has no kind; set auto, single, ensemble or cascade")
    if kind == "auto":
        return AutoPlan()
    if kind == "cascade":
        return _cascade(plan.cascade, on_failure)
    return _vote(plan, "plan", on_failure)


def _cascade(cascade: plan_pb2.CascadePlan, on_failure: FailurePolicy) -> CascadePlan:
    stages = []
    for index, stage in enumerate(cascade.stages):
        path = f"plan.cascade.stages[{index}]"
        if stage.WhichOneof("kind") is None:
            raise InvalidRequest(path, "has no kind; set single or ensemble")
        stages.append(Stage(_vote(stage, path, on_failure), _optional(stage, "confidence")))
    return CascadePlan(tuple(stages), cascade.stream_early)


def _vote(
    plan: plan_pb2.Plan | plan_pb2.CascadeStage, where: str, on_failure: FailurePolicy
) -> Plan:
    """Translates a plan, or a stage of a cascade, that is one model or an ensemble."""
    if plan.WhichOneof("kind") == "single":
        model = limits.filled(f"{where}.single.model", plan.single.model, "name a model")
        return Plan((WeightedModel(model),), on_failure=on_failure)
    ensemble = plan.ensemble
    path = f"{where}.ensemble"
    return Plan(
        members=tuple(
            WeightedModel(member.model, _optional(member, "weight")) for member in ensemble.members
        ),
        rule=_enum(RULES, ensemble.rule, f"{path}.rule", plan_pb2.CombinationRule),
        alignment=_enum(ALIGNMENTS, ensemble.alignment, f"{path}.alignment", plan_pb2.Alignment),
        weighting=_enum(WEIGHTINGS, ensemble.weighting, f"{path}.weighting", plan_pb2.Weighting),
        on_failure=on_failure,
        forgetting=_optional(ensemble, "forgetting"),
        beam=BeamOptions(_optional(ensemble.beam, "epsilon"), _optional(ensemble.beam, "width")),
    )


def _prompt(message: inference_pb2.GenerateRequest | inference_pb2.ScoreRequest) -> Prompt:
    kind = message.WhichOneof("input")
    if kind is None:
        raise InvalidRequest("input", "is missing; set prompt or chat")
    if kind == "prompt":
        return TextPrompt(message.prompt, message.parse_special)
    if message.parse_special:
        raise InvalidRequest(
            "parse_special", "is for a prompt; of a chat the template alone writes special tokens"
        )
    turns = (Message(turn.role, turn.content) for turn in message.chat.messages)
    chat = limits.chat("chat.messages", turns)
    return replace(chat, allow_text=message.chat.allow_text)


def _sampling(options: inference_pb2.SamplingOptions) -> SamplingOptions:
    names = [one.name for one in fields(SamplingOptions) if one.name != "logit_bias"]
    given = {name: _optional(options, name) for name in names}
    return SamplingOptions(**given, logit_bias=dict(options.logit_bias))


def _stopping(options: inference_pb2.StoppingOptions) -> StoppingOptions:
    return StoppingOptions(
        max_tokens=limits.positive("stopping.max_tokens", _optional(options, "max_tokens")),
        max_bytes=limits.positive("stopping.max_bytes", _optional(options, "max_bytes")),
        stop=limits.stop_strings("stopping.stop", options.stop),
    )


def _budget(message: inference_pb2.Budget) -> Budget:
    names = [one.name for one in fields(Budget)]
    return Budget(
        **{name: limits.not_negative(f"budget.{name}", _optional(message, name)) for name in names}
    )


def _response(options: inference_pb2.ResponseOptions) -> ResponseOptions:
    shown = limits.top_logprobs("response.top_logprobs", options.top_logprobs)
    return ResponseOptions(shown, options.member_votes)


def _optional(message: Any, name: str) -> Any:
    """Reads a field with presence; None where the caller did not set it."""
    return getattr(message, name) if message.HasField(name) else None


def _enum(values: Mapping[int, _Value], number: int, path: str, kind: Any) -> _Value:
    if number not in values:
        raise InvalidRequest(
            path, f"has the unknown value {number}; known: {', '.join(kind.keys())}"
        )
    return values[number]
