from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from quorate.request import ModelUsage, PlanKind, Route, Usage
from quorate.telemetry.settings import TraceSettings
from quorate.telemetry.traces import Traces, tracing
from support.attempts import vote_decision
from support.telemetry import settled

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def memory() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def traces(memory: InMemorySpanExporter) -> Iterator[Traces]:
    with tracing(TraceSettings(), "1.2", SimpleSpanProcessor(memory)) as made:
        yield made


def by_name(memory: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in memory.get_finished_spans()}


def seconds(span: ReadableSpan) -> tuple[float, float]:
    assert span.start_time is not None
    assert span.end_time is not None
    return span.start_time / 1e9, span.end_time / 1e9


def test_an_attempt_is_a_span_with_its_wait_its_vote_and_each_member(
    traces: Traces, memory: InMemorySpanExporter
) -> None:
    traces.settled(settled())
    spans = by_name(memory)
    root, vote = spans["generate pair"], spans["vote a+b"]
    assert set(spans) == {
        "generate pair",
        "queue",
        "vote a+b",
        "text_completion a",
        "text_completion b",
    }
    assert seconds(root) == (1000.0, 1010.0)
    assert seconds(spans["queue"]) == (1000.0, 1002.0)
    assert seconds(vote) == (1002.0, 1009.0)
    assert [(event.name, event.timestamp) for event in vote.events] == [
        ("first token", 1_003_000_000_000)
    ]
    assert root.parent is None
    assert vote.parent is not None
    assert vote.parent.span_id == root.context.span_id
    member = spans["text_completion b"]
    assert member.parent is not None
    assert member.parent.span_id == vote.context.span_id
    assert member.attributes is not None
    assert member.attributes["gen_ai.request.model"] == "b"
    assert member.attributes["gen_ai.usage.output_tokens"] == 20


def test_the_span_of_an_attempt_has_the_conventional_attributes(
    traces: Traces, memory: InMemorySpanExporter
) -> None:
    traces.settled(settled())
    root = by_name(memory)["generate pair"]
    assert root.kind is SpanKind.SERVER
    assert dict(root.attributes or {}) == {
        "gen_ai.operation.name": "text_completion",
        "gen_ai.provider.name": "quorate",
        "gen_ai.request.model": "pair",
        "gen_ai.request.max_tokens": 21,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.seed": 7,
        "gen_ai.response.id": "r",
        "gen_ai.response.finish_reasons": ("max_tokens",),
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 21,
        "quorate.plan": "a+b",
        "quorate.plan.kind": "ensemble",
        "quorate.outcome": "finished",
        "quorate.energy.joules": 10.0,
        "quorate.energy.tier": "estimated",
    }
    assert root.resource.attributes["service.name"] == "quorate"
    assert root.resource.attributes["service.version"] == "1.2"


def test_a_trace_goes_on_where_the_caller_began_it(
    traces: Traces, memory: InMemorySpanExporter
) -> None:
    traces.settled(settled(trace_parent=CALLER))
    root = by_name(memory)["generate pair"]
    assert root.parent is not None
    assert f"{root.context.trace_id:032x}" == CALLER[3:35]
    assert f"{root.parent.span_id:016x}" == CALLER[36:52]


@pytest.mark.parametrize("nonsense", ["", "00-zz-zz-01", "x" * 128, "00-" + "0" * 32 + "-1-01"])
def test_what_is_no_trace_context_begins_a_trace(
    traces: Traces, memory: InMemorySpanExporter, nonsense: str
) -> None:
    traces.settled(settled(trace_parent=nonsense))
    assert by_name(memory)["generate pair"].parent is None


def test_a_failure_is_told_with_its_error(traces: Traces, memory: InMemorySpanExporter) -> None:
    traces.settled(settled(outcome="failed", error="MemberLost", reason=None))
    root = by_name(memory)["generate pair"]
    assert root.status.status_code is StatusCode.ERROR
    assert root.attributes is not None
    assert root.attributes["error.type"] == "MemberLost"


def test_a_remote_is_a_call_of_a_client(traces: Traces, memory: InMemorySpanExporter) -> None:
    route = Route(name="remote:far", kind=PlanKind.REMOTE, remote="far")
    usage = Usage(7, 21, 3000.0, 10_000.0, (ModelUsage("far", 7, 0, 21, usd=0.25),))
    traces.settled(settled(decision=vote_decision({}, route=route), usage=usage, runs=()))
    call = by_name(memory)["text_completion far"]
    assert call.kind is SpanKind.CLIENT
    assert seconds(call) == (1002.0, 1010.0)
    assert by_name(memory)["generate far"].attributes is not None
    assert "POST" not in by_name(memory)
    assert (call.attributes or {})["quorate.cost.usd"] == 0.25
