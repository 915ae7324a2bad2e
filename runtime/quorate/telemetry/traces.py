"""Traces of attempts, by OpenTelemetry's conventions for generative AI.

A trace is made when its attempt is settled, of the moments that were noted meanwhile: nothing is
started or ended while tokens are decided. Names of attributes are those of the semantic conventions
1.38 (``gen_ai.*``, ``error.type``), and ``quorate.*`` where they have none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from quorate.request import Decision, InputForm, ModelUsage, StepTimes
from quorate.request.usage import total_energy
from quorate.telemetry.attempts import SettledAttempt, SettledRun
from quorate.telemetry.settings import TraceSettings

_NANOSECONDS = 1_000_000_000


class Traces:
    """Tells of attempts as spans: the attempt, its wait, each vote, member and call of a remote."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._callers = TraceContextTextMapPropagator()

    def settled(self, attempt: SettledAttempt) -> None:
        """See ``AttemptObserver``."""
        # What is no trace context gives a trace of its own.
        caller = self._callers.extract({"traceparent": attempt.trace_parent}, Context())
        decision = attempt.decision
        span = self._begin(
            f"{attempt.operation} {_model(decision)}",
            attempt.arrived_at,
            caller,
            _of_attempt(attempt),
            SpanKind.SERVER,
        )
        inside = set_span_in_context(span, caller)
        self._tell(inside, "queue", attempt.arrived_at, attempt.began_at, {})
        if decision.route.remote:
            self._tell_remote(attempt, inside)
        for run in attempt.runs:
            self._tell_vote(run, attempt, inside)
        if attempt.outcome == "failed":
            span.set_status(Status(StatusCode.ERROR, attempt.error))
        span.end(_at(attempt.ended_at))

    def _tell_vote(self, run: SettledRun, attempt: SettledAttempt, inside: Context) -> None:
        names = "+".join(member.model for member in run.decision.members)
        attributes = {
            "quorate.alignment": run.decision.alignment.value,
            "quorate.rule": run.decision.rule.value,
            "quorate.waited_seconds": run.waited_seconds,
            "quorate.stalled_seconds": run.stalled_seconds,
            **_parts(run.times),
        }
        span = self._begin(f"vote {names}", run.began_at, inside, attributes)
        if run.first_token_at is not None:
            span.add_event("first token", timestamp=_at(run.first_token_at))
        within = set_span_in_context(span, inside)
        operation = _operation(attempt)
        for usage in run.models:
            self._tell(
                within,
                f"{operation} {usage.model}",
                run.began_at,
                run.ended_at,
                {"gen_ai.operation.name": operation, **_of_model(usage)},
            )
        span.end(_at(run.ended_at))

    def _tell_remote(self, attempt: SettledAttempt, inside: Context) -> None:
        operation = _operation(attempt)
        for usage in attempt.usage.models:
            attributes = {"gen_ai.operation.name": operation, **_of_model(usage)}
            name = f"{operation} {usage.model}"
            span = self._begin(name, attempt.began_at, inside, attributes, SpanKind.CLIENT)
            self._tell_calls(attempt, set_span_in_context(span, inside))
            span.end(_at(attempt.ended_at))

    def _tell_calls(self, attempt: SettledAttempt, inside: Context) -> None:
        """Each call on the wire: a remote that was tried again had several."""
        for number, call in enumerate(attempt.calls):
            attributes: dict[str, Any] = {"http.request.method": "POST"}
            if number:
                attributes["http.request.resend_count"] = number
            if call.problem:
                attributes["error.type"] = call.problem
            span = self._begin("POST", call.began_at, inside, attributes, SpanKind.CLIENT)
            if call.problem:
                span.set_status(Status(StatusCode.ERROR, call.problem))
            span.end(_at(call.ended_at))

    def _tell(
        self,
        parent: Context,
        name: str,
        began_at: float,
        ended_at: float,
        attributes: Mapping[str, Any],
        kind: SpanKind = SpanKind.INTERNAL,
    ) -> None:
        self._begin(name, began_at, parent, attributes, kind).end(_at(ended_at))

    def _begin(
        self,
        name: str,
        at: float,
        parent: Context,
        attributes: Mapping[str, Any],
        kind: SpanKind = SpanKind.INTERNAL,
    ) -> Span:
        return self._tracer.start_span(name, parent, kind, dict(attributes), start_time=_at(at))


@contextmanager
def tracing(
    settings: TraceSettings, version: str, processor: SpanProcessor | None = None
) -> Iterator[Traces]:
    """Sends traces for as long as the context lasts, in the background and in batches.

    A collector that cannot be reached costs nobody anything: what does not fit the queue of spans
    is dropped. ``processor`` takes them instead of the collector.
    """
    if processor is None:
        # Imported late: it brings an HTTP client.
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        url = f"{settings.endpoint.rstrip('/')}/v1/traces"
        processor = BatchSpanProcessor(OTLPSpanExporter(endpoint=url, timeout=5))
    resource = Resource.create({"service.name": "quorate", "service.version": version})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(processor)
    try:
        yield Traces(provider.get_tracer("quorate", version))
    finally:
        provider.shutdown()


def _of_attempt(attempt: SettledAttempt) -> dict[str, Any]:
    decision, usage = attempt.decision, attempt.usage
    energy = total_energy([one.energy for one in usage.models])
    usd = [one.usd for one in usage.models if one.usd is not None]
    known: dict[str, Any] = {
        "gen_ai.operation.name": _operation(attempt),
        "gen_ai.provider.name": "quorate",
        "gen_ai.request.model": _model(decision),
        "gen_ai.request.max_tokens": attempt.max_tokens,
        "gen_ai.response.id": attempt.request_id,
        "gen_ai.usage.input_tokens": usage.prompt_tokens,
        "gen_ai.usage.output_tokens": usage.generated_tokens,
        "gen_ai.response.finish_reasons": attempt.reason and [attempt.reason.value],
        "error.type": attempt.error or None,
        "quorate.plan": decision.route.name,
        "quorate.plan.kind": decision.route.kind.value,
        "quorate.outcome": attempt.outcome,
        "quorate.instead_of": decision.route.instead_of or None,
        "quorate.energy.joules": energy.joules,
        "quorate.energy.tier": energy.tier.value,
        "quorate.cost.usd": sum(usd) if usd else None,
    }
    if attempt.sampling is not None:
        known["gen_ai.request.temperature"] = attempt.sampling.temperature
        known["gen_ai.request.top_p"] = attempt.sampling.top_p
        known["gen_ai.request.seed"] = decision.seed
    return {name: value for name, value in known.items() if value is not None}


def _parts(times: StepTimes) -> dict[str, float]:
    """Where the time of the steps went, such as ``quorate.steps.decode_seconds``."""
    return {
        f"quorate.steps.{name.removesuffix('_ms')}_seconds": ms / 1e3
        for name, ms in asdict(times).items()
    }


def _of_model(usage: ModelUsage) -> dict[str, Any]:
    known: dict[str, Any] = {
        "gen_ai.request.model": usage.model,
        "gen_ai.usage.input_tokens": usage.prompt_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_prompt_tokens,
        "gen_ai.usage.output_tokens": usage.generated_tokens,
        "quorate.busy_seconds": usage.busy_ms / 1e3,
        "quorate.cost.usd": usage.usd,
    }
    return {name: value for name, value in known.items() if value is not None}


def _model(decision: Decision) -> str:
    return decision.profile or decision.route.remote or "+".join(decision.models)


def _operation(attempt: SettledAttempt) -> str:
    return "chat" if attempt.decision.input_form is InputForm.CHAT else "text_completion"


def _at(moment: float) -> int:
    return int(moment * _NANOSECONDS)
