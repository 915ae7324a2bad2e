"""What a server is and offers, as protobuf. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from quorate.access import limits
from quorate.access.about import ServerFacts
from quorate.api.grpc.translation.answers import fill_answers
from quorate.api.grpc.translation.decisions import ALIGNMENTS, FAILURE_POLICIES, RULES
from quorate.api.grpc.translation.decisions import WEIGHTINGS as DECIDED_WEIGHTINGS
from quorate.request import AnswersPlan, CascadePlan, NamedPlan, Plan, Weighting, plan_models
from quorate.sampling.options import SEED_BITS
from quorate.v1 import plan_pb2, server_pb2

_ITEMS = server_pb2.LIMIT_UNIT_ITEMS
_CHARACTERS = server_pb2.LIMIT_UNIT_CHARACTERS
_BYTES = server_pb2.LIMIT_UNIT_BYTES
_VALUE = server_pb2.LIMIT_UNIT_VALUE
_TOTAL_BYTES = server_pb2.LIMIT_UNIT_TOTAL_BYTES

# What the table of fields does not know of.
_OTHER_LIMITS = (
    ("*.request_id", _CHARACTERS, limits.MAX_REQUEST_ID_CHARACTERS),
    ("GenerateRequest.task", _CHARACTERS, limits.MAX_TASK_CHARACTERS),
    ("SamplingOptions.seed", _VALUE, (1 << SEED_BITS) - 1),
)

WEIGHTINGS = {
    **DECIDED_WEIGHTINGS,
    Weighting.AUTO: plan_pb2.WEIGHTING_UNSPECIFIED,
}


def field_limits(message_bytes: int) -> Iterator[server_pb2.FieldLimit]:
    """The most that fields of requests may hold, and a whole message."""
    yield server_pb2.FieldLimit(field="*", unit=_BYTES, most=message_bytes)
    for field, unit, most in _OTHER_LIMITS:
        yield server_pb2.FieldLimit(field=field, unit=unit, most=most)
    for row in limits.table():
        field = f"{row.message}.{row.field}"
        for unit, amount in (
            (_BYTES, row.bytes),
            (_ITEMS, row.count),
            (_TOTAL_BYTES, row.total_bytes),
            (_VALUE, row.highest),
        ):
            if amount is not None:
                yield server_pb2.FieldLimit(field=field, unit=unit, most=amount)


def server_message(facts: ServerFacts) -> server_pb2.Server:
    """What stays the same for as long as the server runs."""
    return server_pb2.Server(
        version=facts.version,
        commit=facts.commit,
        started_at=facts.started_at,
        engines=[
            server_pb2.EngineInfo(name=one.name, installed=one.installed, version=one.version)
            for one in facts.engines
        ],
        machine=server_pb2.Machine(
            cpu=facts.cpu,
            cores=facts.cores,
            memory_bytes=facts.memory_bytes,
            gpus=facts.gpus,
            system=facts.system,
        ),
    )


def profile_messages(
    profiles: Mapping[str, NamedPlan], down: Mapping[str, str], default: str
) -> Iterator[server_pb2.Profile]:
    """Profiles in their order; ``down`` says why each cannot run, "" for one that can."""
    for name, plan in profiles.items():
        problem = down.get(name, "")
        yield server_pb2.Profile(
            name=name,
            plan=plan_message(plan),
            models=plan_models(plan),
            ready=not problem,
            problem=problem,
            is_default=name == default,
        )


def plan_message(plan: NamedPlan) -> plan_pb2.Plan:
    """A plan as a caller would write it; what it leaves open stays unset."""
    message = plan_pb2.Plan()
    if isinstance(plan, AnswersPlan):
        fill_answers(message.answers, plan)
        message.failure_policy = FAILURE_POLICIES[plan.on_failure]
        return message
    if isinstance(plan, CascadePlan):
        message.cascade.stream_early = plan.stream_early
        for stage in plan.stages:
            target = message.cascade.stages.add(confidence=stage.confidence)
            _fill_vote(target, stage.plan)
        policies = {stage.plan.on_failure for stage in plan.stages}
        if len(policies) == 1:
            message.failure_policy = FAILURE_POLICIES[policies.pop()]
        return message
    _fill_vote(message, plan)
    message.failure_policy = FAILURE_POLICIES[plan.on_failure]
    return message


def _fill_vote(target: plan_pb2.Plan | plan_pb2.CascadeStage, plan: Plan) -> None:
    if len(plan.members) == 1:
        target.single.model = plan.members[0].model
        return
    ensemble = target.ensemble
    for member in plan.members:
        ensemble.members.add(model=member.model, weight=member.weight)
    ensemble.rule = RULES[plan.rule]
    ensemble.alignment = ALIGNMENTS[plan.alignment]
    ensemble.weighting = WEIGHTINGS[plan.weighting]
    if plan.forgetting is not None:
        ensemble.forgetting = plan.forgetting
    for name in ("leader", "threshold", "share"):
        if getattr(plan.gate, name) is not None:
            setattr(ensemble.gate, name, getattr(plan.gate, name))
    for name in ("epsilon", "width"):
        if getattr(plan.beam, name) is not None:
            setattr(ensemble.beam, name, getattr(plan.beam, name))
