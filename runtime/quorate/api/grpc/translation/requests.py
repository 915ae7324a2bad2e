"""Protobuf requests to domain values. Pure; what needs the models is checked further down."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from quorate.errors import InvalidRequest
from quorate.request import (
    Alignment,
    AutoPlan,
    BeamOptions,
    Budget,
    CascadePlan,
    ChatPrompt,
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

MOST_TOP_LOGPROBS = 100
MOST_REQUEST_ID_CHARACTERS = 128
MOST_TASK_CHARACTERS = 64

RULES: Mapping[int, CombinationRule] = {
    plan_pb2.COMBINATION_RULE_UNSPECIFIED: CombinationRule.LINEAR,
    plan_pb2.COMBINATION_RULE_LINEAR: CombinationRule.LINEAR,
    plan_pb2.COMBINATION_RULE_GEOMETRIC: CombinationRule.GEOMETRIC,
    plan_pb2.COMBINATION_RULE_MAJORITY: CombinationRule.MAJORITY,
}
ALIGNMENTS: Mapping[int, Alignment] = {
    plan_pb2.ALIGNMENT_UNSPECIFIED: Alignment.AUTO,
    plan_pb2.ALIGNMENT_AUTO: Alignment.AUTO,
    plan_pb2.ALIGNMENT_SAME_VOCABULARY: Alignment.SAME_VOCABULARY,
    plan_pb2.ALIGNMENT_BYTE_EXACT: Alignment.BYTE_EXACT,
    plan_pb2.ALIGNMENT_UNION_TOP_K: Alignment.UNION_TOP_K,
}
WEIGHTINGS: Mapping[int, Weighting] = {
    plan_pb2.WEIGHTING_UNSPECIFIED: Weighting.AUTO,
    plan_pb2.WEIGHTING_STATIC: Weighting.STATIC,
    plan_pb2.WEIGHTING_BAYESIAN: Weighting.BAYESIAN,
    plan_pb2.WEIGHTING_PROMPT: Weighting.PROMPT,
    plan_pb2.WEIGHTING_CONFIDENCE: Weighting.CONFIDENCE,
}
FAILURE_POLICIES: Mapping[int, FailurePolicy] = {
    plan_pb2.FAILURE_POLICY_UNSPECIFIED: FailurePolicy.AUTO,
    plan_pb2.FAILURE_POLICY_CONTINUE: FailurePolicy.CONTINUE,
    plan_pb2.FAILURE_POLICY_REPLAY: FailurePolicy.REPLAY,
    plan_pb2.FAILURE_POLICY_FAIL: FailurePolicy.FAIL,
}

_Value = TypeVar("_Value")


def generate_request(
    message: inference_pb2.GenerateRequest,
    request_id: str,
    key: str = "",
    deadline_seconds: float | None = None,
) -> Request:
    """Translates a request for text.

    Args:
        message: As it came.
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
        request_id=checked_request_id(message.request_id) or request_id,
        budget=_budget(message.budget),
        local_only=message.local_only,
        task=checked_task(message.task),
        key=key,
        deadline_seconds=deadline_seconds,
    )


def score_request(
    message: inference_pb2.ScoreRequest, request_id: str, key: str = ""
) -> ScoreRequest:
    """Translates a request for a score.

    Raises:
        InvalidRequest: A field that can never be served; the path is the caller's.
    """
    if not message.continuation:
        raise InvalidRequest("continuation", "is empty; give the text to score")
    return ScoreRequest(
        prompt=_prompt(message),
        continuation=message.continuation,
        plan=plan_choice(message),
        request_id=checked_request_id(message.request_id) or request_id,
        key=key,
    )


def checked_task(task: str) -> str:
    """Refuses tags that would garble a table: too long, or with characters that do not print.

    Raises:
        InvalidRequest: The tag is one of those.
    """
    if len(task) > MOST_TASK_CHARACTERS:
        raise InvalidRequest("task", f"is longer than {MOST_TASK_CHARACTERS} characters")
    if not task.isprintable():
        raise InvalidRequest("task", "has characters that do not print")
    return task


def checked_request_id(request_id: str) -> str:
    """Refuses ids that would garble a log: too long, or with characters that do not print.

    Raises:
        InvalidRequest: The id is one of those.
    """
    if len(request_id) > MOST_REQUEST_ID_CHARACTERS:
        raise InvalidRequest(
            "request_id", f"is longer than {MOST_REQUEST_ID_CHARACTERS} characters"
        )
    if not request_id.isprintable():
        raise InvalidRequest("request_id", "has characters that do not print")
    return request_id


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
    if not message.profile:
        raise InvalidRequest("profile", "is empty; name a profile or leave it unset")
    return ProfilePlan(message.profile)


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
        if not plan.single.model:
            raise InvalidRequest(f"{where}.single.model", "is empty; name a model")
        return Plan((WeightedModel(plan.single.model),), on_failure=on_failure)
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
        return TextPrompt(message.prompt)
    if not message.chat.messages:
        raise InvalidRequest("chat.messages", "is empty; give at least one message")
    for index, turn in enumerate(message.chat.messages):
        if not turn.role:
            raise InvalidRequest(
                f"chat.messages[{index}].role", "is empty; set system, user or assistant"
            )
    return ChatPrompt(tuple(Message(turn.role, turn.content) for turn in message.chat.messages))


def _sampling(options: inference_pb2.SamplingOptions) -> SamplingOptions:
    return SamplingOptions(
        temperature=_optional(options, "temperature"),
        top_p=_optional(options, "top_p"),
        top_k=_optional(options, "top_k"),
        min_p=_optional(options, "min_p"),
        seed=_optional(options, "seed"),
        repetition_penalty=_optional(options, "repetition_penalty"),
        presence_penalty=_optional(options, "presence_penalty"),
        frequency_penalty=_optional(options, "frequency_penalty"),
        logit_bias=dict(options.logit_bias),
    )


def _stopping(options: inference_pb2.StoppingOptions) -> StoppingOptions:
    return StoppingOptions(
        max_tokens=_positive(options, "max_tokens"),
        max_bytes=_positive(options, "max_bytes"),
        stop=_stop_strings(options.stop),
    )


def _budget(message: inference_pb2.Budget) -> Budget:
    return Budget(
        latency_ms=_limit(message, "latency_ms"),
        energy_joules=_limit(message, "energy_joules"),
        usd=_limit(message, "usd"),
    )


def _limit(message: inference_pb2.Budget, name: str) -> float | None:
    value: float | None = _optional(message, name)
    if value is not None and not (math.isfinite(value) and value >= 0):
        raise InvalidRequest(
            f"budget.{name}", f"is {value}; give a finite number that is not negative"
        )
    return value


def _positive(options: inference_pb2.StoppingOptions, name: str) -> int | None:
    value: int | None = _optional(options, name)
    if value == 0:
        raise InvalidRequest(f"stopping.{name}", "is 0; set at least 1 or leave it unset")
    return value


def _stop_strings(stops: Iterable[str]) -> tuple[str, ...]:
    strings = tuple(stops)
    for index, stop in enumerate(strings):
        if not stop:
            raise InvalidRequest(f"stopping.stop[{index}]", "is empty; leave it out")
    return strings


def _response(options: inference_pb2.ResponseOptions) -> ResponseOptions:
    if options.top_logprobs > MOST_TOP_LOGPROBS:
        raise InvalidRequest(
            "response.top_logprobs",
            f"is {options.top_logprobs}; at most {MOST_TOP_LOGPROBS} can be shown",
        )
    return ResponseOptions(options.top_logprobs, options.member_votes)


def _optional(message: Any, name: str) -> Any:
    """Reads a field with presence; None where the caller did not set it."""
    return getattr(message, name) if message.HasField(name) else None


def _enum(values: Mapping[int, _Value], number: int, path: str, kind: Any) -> _Value:
    if number not in values:
        raise InvalidRequest(
            path, f"has the unknown value {number}; known: {', '.join(kind.keys())}"
        )
    return values[number]
