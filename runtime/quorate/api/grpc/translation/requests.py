"""Protobuf requests to domain values. Pure; what needs the models is checked further down."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import partial
from typing import Any

from quorate.access import limits
from quorate.access.tools import check_form
from quorate.api.grpc.translation.answers import answers_plan
from quorate.api.grpc.translation.chats import chat_prompt, may_call, tool_choice
from quorate.api.grpc.translation.enums import by_number, known_value
from quorate.errors import InvalidRequest, Violations
from quorate.request import (
    Alignment,
    AutoPlan,
    BeamOptions,
    Budget,
    CascadePlan,
    ChatPrompt,
    CombinationRule,
    ConstraintKind,
    DraftMode,
    DraftOptions,
    FailurePolicy,
    GateOptions,
    OutputConstraint,
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
    ToolChoice,
    ToolMode,
    WeightedModel,
    Weighting,
)
from quorate.routing.drafting import draft_problems
from quorate.routing.gating import gate_problems
from quorate.routing.resolve import member_problems, share_weights
from quorate.sampling.options import validate
from quorate.v1 import inference_pb2, plan_pb2

RULES = by_number(CombinationRule, plan_pb2.CombinationRule, CombinationRule.LINEAR)
ALIGNMENTS = by_number(Alignment, plan_pb2.Alignment, Alignment.AUTO)
WEIGHTINGS = by_number(Weighting, plan_pb2.Weighting, Weighting.AUTO)
DRAFT_MODES = by_number(DraftMode, plan_pb2.DraftMode, DraftMode.AUTO)
FAILURE_POLICIES = by_number(FailurePolicy, plan_pb2.FailurePolicy, FailurePolicy.AUTO)

# Stands for a prompt that is refused.
_NOTHING: Prompt = TextPrompt("")
_NO_SHARES: tuple[float, ...] = ()
_GATE = [one.name for one in fields(GateOptions)]


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
    told = Violations()
    prompt = told.check(lambda: _prompt(message), _NOTHING)
    choice = told.check(lambda: tool_choice(message), ToolChoice())
    request = Request(
        prompt=_without_tools(prompt) if choice.mode is ToolMode.NONE else prompt,
        plan=told.check(lambda: plan_choice(message, told), None),
        sampling=_sampling(message.sampling, told),
        stopping=_stopping(message.stopping, told),
        response=told.check(lambda: _response(message.response), ResponseOptions()),
        request_id=message.request_id or request_id,
        budget=_budget(message.budget, told),
        local_only=message.local_only,
        task=told.check(lambda: limits.task("task", message.task), ""),
        key=key,
        deadline_seconds=deadline_seconds,
        allow_substitution=_optional(message, "allow_substitution"),
        constraint=told.check(lambda: _constraint(message), None),
        tool_choice=choice,
    )
    told.refuse()
    return request


def score_request(
    message: inference_pb2.ScoreRequest, request_id: str, key: str = ""
) -> ScoreRequest:
    """Translates a request for a score.

    Raises:
        InvalidRequest: A field that can never be served; the path is the caller's.
    """
    told = Violations()
    given = message.continuation
    request = ScoreRequest(
        prompt=told.check(lambda: _prompt(message), _NOTHING),
        continuation=told.check(
            lambda: limits.filled("continuation", given, "give the text to score"), ""
        ),
        plan=told.check(lambda: plan_choice(message, told), None),
        request_id=message.request_id or request_id,
        key=key,
    )
    told.refuse()
    return request


def plan_choice(
    message: inference_pb2.GenerateRequest | inference_pb2.ScoreRequest, told: Violations
) -> PlanChoice | None:
    """Translates the plan or the profile; None where the caller left the choice open.

    What is wrong with single fields of a plan is noted in ``told``.

    Raises:
        InvalidRequest: A plan of no kind, a profile without a name, or an unknown enum value.
    """
    chosen = message.WhichOneof("plan_choice")
    if chosen is None:
        return None
    if chosen == "plan":
        return _plan(message.plan, told)
    return ProfilePlan(
        limits.filled("profile", message.profile, "name a profile or leave it unset")
    )


def _plan(plan: plan_pb2.Plan, told: Violations) -> PlanChoice:
    on_failure = told.check(
        lambda: known_value(
            FAILURE_POLICIES, plan.failure_policy, "plan.failure_policy", plan_pb2.FailurePolicy
        ),
        FailurePolicy.AUTO,
    )
    kind = plan.WhichOneof("kind")
    if kind is None:
        raise InvalidRequest("plan", "has no kind; set auto, single, ensemble, cascade or answers")
    if kind == "auto":
        return AutoPlan()
    if kind == "cascade":
        return _cascade(plan.cascade, on_failure, told)
    if kind == "answers":
        return answers_plan(plan.answers, on_failure, told)
    vote = _vote(plan, "plan", on_failure, told)
    told.add(member_problems(vote.members))
    weights = [member.weight for member in vote.members]
    told.check(lambda: share_weights(weights), _NO_SHARES)
    names = [member.model for member in vote.members]
    told.add(draft_problems(vote.draft, names))
    told.add(gate_problems(vote.gate, names))
    return vote


def _cascade(
    cascade: plan_pb2.CascadePlan, on_failure: FailurePolicy, told: Violations
) -> CascadePlan:
    stages = []
    for index, stage in enumerate(cascade.stages):
        path = f"plan.cascade.stages[{index}]"
        if stage.WhichOneof("kind") is None:
            raise InvalidRequest(path, "has no kind; set single or ensemble")
        vote = _vote(stage, path, on_failure, told)
        stages.append(Stage(vote, _optional(stage, "confidence")))
    return CascadePlan(tuple(stages), cascade.stream_early)


def _vote(
    plan: plan_pb2.Plan | plan_pb2.CascadeStage,
    where: str,
    on_failure: FailurePolicy,
    told: Violations,
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
        rule=told.check(
            lambda: known_value(RULES, ensemble.rule, f"{path}.rule", plan_pb2.CombinationRule),
            CombinationRule.LINEAR,
        ),
        alignment=told.check(
            lambda: known_value(
                ALIGNMENTS, ensemble.alignment, f"{path}.alignment", plan_pb2.Alignment
            ),
            Alignment.AUTO,
        ),
        weighting=told.check(
            lambda: known_value(
                WEIGHTINGS, ensemble.weighting, f"{path}.weighting", plan_pb2.Weighting
            ),
            Weighting.AUTO,
        ),
        on_failure=on_failure,
        forgetting=_optional(ensemble, "forgetting"),
        beam=BeamOptions(_optional(ensemble.beam, "epsilon"), _optional(ensemble.beam, "width")),
        draft=_draft(ensemble.draft, path, told),
        gate=GateOptions(*(_optional(ensemble.gate, name) for name in _GATE)),
    )


def _draft(draft: plan_pb2.Draft, path: str, told: Violations) -> DraftOptions:
    mode = told.check(
        lambda: known_value(DRAFT_MODES, draft.mode, f"{path}.draft.mode", plan_pb2.DraftMode),
        DraftMode.AUTO,
    )
    return DraftOptions(mode, _optional(draft, "model"), _optional(draft, "most"))


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
    return chat_prompt(message.chat)


def _without_tools(prompt: Prompt) -> Prompt:
    return replace(prompt, tools=()) if isinstance(prompt, ChatPrompt) else prompt


def _constraint(message: inference_pb2.GenerateRequest) -> OutputConstraint | None:
    name = message.WhichOneof("constraint")
    if name is None:
        return None
    kind = ConstraintKind(name)
    if may_call(message):
        check_form(name, kind)
    return limits.constraint(name, kind, getattr(message, name))


def _sampling(options: inference_pb2.SamplingOptions, told: Violations) -> SamplingOptions:
    names = [one.name for one in fields(SamplingOptions) if one.name != "logit_bias"]
    given = {name: _optional(options, name) for name in names}
    sampling = SamplingOptions(**given, logit_bias=dict(options.logit_bias))
    told.check(lambda: validate(sampling), None)
    return sampling


def _stopping(options: inference_pb2.StoppingOptions, told: Violations) -> StoppingOptions:
    def limit(name: str) -> int | None:
        return limits.positive(f"stopping.{name}", _optional(options, name))

    return StoppingOptions(
        max_tokens=told.check(lambda: limit("max_tokens"), None),
        max_bytes=told.check(lambda: limit("max_bytes"), None),
        stop=told.check(lambda: limits.stop_strings("stopping.stop", options.stop), ()),
    )


def _budget(message: inference_pb2.Budget, told: Violations) -> Budget:
    def amount(name: str) -> float | None:
        return limits.not_negative(f"budget.{name}", _optional(message, name))

    names = [one.name for one in fields(Budget)]
    return Budget(**{name: told.check(partial(amount, name), None) for name in names})


def _response(options: inference_pb2.ResponseOptions) -> ResponseOptions:
    shown = limits.top_logprobs("response.top_logprobs", options.top_logprobs)
    return ResponseOptions(shown, options.member_votes, options.omit_logprobs)


def _optional(message: Any, name: str) -> Any:
    """Reads a field with presence; None where the caller did not set it."""
    return getattr(message, name) if message.HasField(name) else None
