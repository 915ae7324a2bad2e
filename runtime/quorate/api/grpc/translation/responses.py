"""Domain values to protobuf responses. Pure, and lean: one of these runs for every token."""

from __future__ import annotations

from dataclasses import asdict

from quorate.api.grpc.translation.answers import fill_outcome
from quorate.api.grpc.translation.decisions import fill_decision
from quorate.api.grpc.translation.enums import by_name
from quorate.engines.template_facts import TemplateFacts
from quorate.fleet.status import ModelState, ModelStatus
from quorate.foreign_text import one_line
from quorate.request import (
    Accepted,
    Decision,
    Delta,
    EnergyTier,
    Event,
    FinishReason,
    Notice,
    NoticeKind,
    Score,
    Token,
    Usage,
)
from quorate.v1 import inference_pb2, models_pb2

NOTICES = by_name(NoticeKind, inference_pb2.NoticeKind)
REASONS = by_name(FinishReason, inference_pb2.FinishReason)
TIERS = by_name(EnergyTier, inference_pb2.EnergyTier)
STATES = by_name(ModelState, models_pb2.ModelState)


def generate_response(event: Event) -> inference_pb2.GenerateResponse:
    """Translates one event of a stream."""
    response = inference_pb2.GenerateResponse()
    if isinstance(event, Delta):
        delta = response.delta
        delta.text = event.text
        if event.reasoning is not None:
            delta.reasoning = event.reasoning
        for token in event.tokens:
            fill_token(delta.tokens.add(), token)
        for part in event.calls:
            delta.tool_calls.add(
                index=part.index, id=part.call_id, name=part.name, arguments=part.arguments
            )
        # A delta without text and tokens must still be the one that is set.
        delta.SetInParent()
    elif isinstance(event, Accepted):
        response.accepted.request_id = event.request_id
        fill_decision(response.accepted.decision, event.decision)
    elif isinstance(event, Notice):
        response.notice.kind = NOTICES[event.kind]
        response.notice.model = event.model
        response.notice.message = one_line(event.message)
    else:
        response.finished.reason = REASONS[event.reason]
        response.finished.request_id = event.request_id
        fill_usage(response.finished.usage, event.usage)
        if event.outcome is not None:
            fill_outcome(response.finished.outcome, event.outcome)
    return response


def explain_response(decision: Decision) -> inference_pb2.ExplainResponse:
    """Translates a decision that did not run."""
    response = inference_pb2.ExplainResponse()
    fill_decision(response.decision, decision)
    return response


def score_response(score: Score) -> inference_pb2.ScoreResponse:
    """Translates a score."""
    response = inference_pb2.ScoreResponse(
        request_id=score.request_id, logprob=score.logprob, bytes=score.bytes
    )
    fill_decision(response.decision, score.decision)
    for token in score.tokens:
        fill_token(response.tokens.add(), token)
    fill_usage(response.usage, score.usage)
    for member in score.members:
        response.members.add(
            model=member.model,
            logprob=member.logprob,
            tokens=member.tokens,
            forwards=member.forwards,
            weight=member.weight,
            dropped_mass=member.dropped_mass,
        )
    return response


def model_message(status: ModelStatus) -> models_pb2.Model:
    """Translates a model's status."""
    return models_pb2.Model(
        id=status.id,
        state=STATES[status.state],
        message=one_line(status.message or "; ".join(status.warnings)),
        progress=status.progress,
        engine=status.engine,
        description=one_line(status.description),
        context_length=status.context_length,
        vocabulary_size=status.vocabulary_size,
        vocabulary_fingerprint=status.vocabulary_fingerprint,
        chat=status.chat,
        sessions=status.sessions,
        cores=status.cores,
        memory_bytes=status.memory_bytes,
        warnings=map(one_line, status.warnings),
        template=_template_facts(status.template) if status.chat else None,
        template_problem=one_line(status.template.problem),
    )


def _template_facts(facts: TemplateFacts) -> models_pb2.TemplateFacts:
    return models_pb2.TemplateFacts(
        content_parts=facts.content_parts,
        system_first=facts.system_first,
        system_later=facts.system_later,
        alternates=facts.alternates,
        assistant_first=facts.assistant_first,
        continues=facts.continues,
        generation_prompt=facts.generation_prompt,
        cuts_reasoning=facts.cuts_reasoning,
        tools=facts.tools,
        parallel_calls=facts.parallel_calls,
    )


def fill_token(target: inference_pb2.Token, token: Token) -> None:
    """Writes a chosen token, with its candidates and votes where it has them."""
    target.piece = token.piece
    if token.token_id is not None:
        target.token_id = token.token_id
    target.logprob = token.logprob
    target.tied = token.tied
    target.control = token.control
    for candidate in token.top:
        target.top.add(
            piece=candidate.piece, token_id=candidate.token_id, logprob=candidate.logprob
        )
    for vote in token.votes:
        target.votes.add(
            model=vote.model,
            piece=vote.piece,
            logprob=vote.logprob,
            weight=vote.weight,
            chosen_logprob=vote.chosen_logprob,
        )


def energy_message(joules: float | None, tier: EnergyTier) -> inference_pb2.Energy:
    """Translates an energy; joules that are not known stay absent."""
    return inference_pb2.Energy(joules=joules, tier=TIERS[tier])


def fill_usage(target: inference_pb2.Usage, usage: Usage) -> None:
    """Writes what a request cost; what is not known stays absent."""
    target.prompt_tokens = usage.prompt_tokens
    target.generated_tokens = usage.generated_tokens
    target.duration_ms = usage.duration_ms
    target.drafted_tokens = usage.drafted_tokens
    target.accepted_tokens = usage.accepted_tokens
    target.lone_tokens = usage.lone_tokens
    if usage.time_to_first_token_ms is not None:
        target.time_to_first_token_ms = usage.time_to_first_token_ms
    if (times := usage.step_times) is not None:
        target.step_times.MergeFrom(inference_pb2.StepTimes(**asdict(times)))
    for model in usage.models:
        target.models.add(
            model=model.model,
            prompt_tokens=model.prompt_tokens,
            cached_prompt_tokens=model.cached_prompt_tokens,
            generated_tokens=model.generated_tokens,
            busy_ms=model.busy_ms,
            energy=energy_message(model.energy.joules, model.energy.tier),
            dropped_mass=model.dropped_mass,
            usd=model.usd,
            drafted_tokens=model.drafted_tokens,
            accepted_tokens=model.accepted_tokens,
            lone_tokens=model.lone_tokens,
        )
