"""Metrics and traces of a whole service: what clients were told, told again to machines."""

from __future__ import annotations

import asyncio
import json
import math
import queue
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from quorate.app.service import Service
from quorate.errors import SettingsError
from quorate.fleet.status import ModelState
from quorate.v1 import inference_pb2, inference_pb2_grpc
from support.fallback import OVER_ENERGY, far, learn_energy
from support.faulty_remote import Answer, faulty_remote, says
from support.repository import ROOT
from support.streams import Stream, answer, joules_of, refused
from support.telemetry import scrape
from support.whole_service import engine_of, kill_worker, reaches, scripted, whole_service

DASHBOARD = ROOT / "docs" / "grafana" / "quorate.json"
METRICS = {"metrics": {"listen": "127.0.0.1:0"}}
QUIET = {"routing": {"probe": False, "exploration": 0.0}}
PAIR = (("kind", "ensemble"), ("profile", "pair"))
CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def scraped(service: Service) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    return await asyncio.to_thread(scrape, service.metrics_address)


async def test_a_scrape_tells_what_the_client_was_told(tmp_path: Path) -> None:
    sections = {**METRICS, **QUIET, "profiles": {"pair": {"members": ["a", "b"]}}}
    models = [scripted("a", seed=1), scripted("b", seed=2)]
    async with whole_service(tmp_path, *models, sections=sections) as (service, client):
        stream = await answer(client, "one", profile="pair", max_tokens=5)
        found = await scraped(service)
        usage = stream.usage
        assert found["quorate_answer_tokens_total"][PAIR] == usage.generated_tokens
        for told in usage.models:
            label = (("model", told.model),)
            assert found["quorate_prompt_tokens_total"][label] == told.prompt_tokens
            assert found["quorate_generation_tokens_total"][label] == told.generated_tokens
        joules = math.fsum(found.get("quorate_energy_joules_total", {}).values())
        assert joules == pytest.approx(joules_of(usage) or 0.0, rel=1e-6)
        assert found["quorate_time_to_first_token_seconds_sum"][PAIR] == pytest.approx(
            usage.time_to_first_token_ms / 1e3
        )
        assert found["quorate_profile_ready"] == {(("profile", "pair"),): 1.0}
        assert found["quorate_model_state"][(("model", "a"), ("state", "ready"))] == 1.0


async def test_a_scrape_tells_of_drafts_what_the_client_was_told(tmp_path: Path) -> None:
    say = "the quick brown fox jumps over the lazy dog and then it runs away from the hound"
    models = [
        scripted("large", say=say, seed=1, step_delay_ms=12.0),
        scripted("small", say=say, seed=2, step_delay_ms=1.0),
    ]
    options = {"models": ["large", "small"], "drafts": "small", "temperature": 0.0}
    async with whole_service(tmp_path, *models, sections={**METRICS, **QUIET}) as (
        service,
        client,
    ):
        usages = [(await answer(client, "x", **options, max_tokens=50)).usage for _ in range(2)]
        found = await scraped(service)
    drafted, accepted = (
        sum(getattr(usage, name) for usage in usages)
        for name in ("drafted_tokens", "accepted_tokens")
    )
    assert 0 < accepted <= drafted
    # What was said before may be guessed too, by no model.
    for name, told in (("", drafted), ("_accepted", accepted)):
        by_model = found[f"quorate_draft_tokens{name}_total"]
        assert by_model[(("model", "small"), ("unit", "token"))] > 0
        assert sum(by_model.values()) == told


async def test_a_scrape_in_the_middle_shows_who_runs_and_what_is_held(tmp_path: Path) -> None:
    slow = scripted("slow", step_delay_ms=20.0, context_length=64, cells=256)
    sections = {**METRICS, **QUIET}
    async with whole_service(tmp_path, slow, sections=sections) as (service, client):
        stream = Stream(client, "", model="slow", temperature=0.0)
        await stream.until(lambda heard: len(heard.text) >= 2)
        found = await scraped(service)
        assert found["quorate_num_requests_running"] == {(): 1.0}
        assert found["quorate_model_requests_running"] == {(("model", "slow"),): 1.0}
        assert 0.0 < found["quorate_kv_cache_usage_ratio"][(("model", "slow"),)] <= 0.25
        await stream.leave()
        cancelled = (("kind", "single"), ("outcome", "cancelled"), ("profile", ""))
        async with asyncio.timeout(60.0):
            while found["quorate_num_requests_running"] != {(): 0.0}:
                found = await scraped(service)
        found = await scraped(service)
        assert found["quorate_attempts_total"] == {cancelled: 1.0}
        assert found["quorate_kv_cache_usage_ratio"] == {(("model", "slow"),): 0.0}


async def test_refusals_and_restarts_are_counted(tmp_path: Path) -> None:
    async with whole_service(tmp_path, scripted("a"), sections={**METRICS, **QUIET}) as (
        service,
        client,
    ):
        await refused(client.complete("one", model="nobody"))
        before = engine_of(service, "a")
        kill_worker(service, "a")
        await reaches(service, "a", ModelState.RESTARTING)
        await before.wait_ready()
        found = await scraped(service)
        calls = found["quorate_rpc_duration_seconds_count"]
        assert calls[(("method", "Generate"), ("status", "NOT_FOUND"))] == 1.0
        assert found["quorate_worker_restarts_total"] == {(("model", "a"),): 1.0}


async def test_every_query_of_the_dashboard_is_of_metrics_that_there_are(tmp_path: Path) -> None:
    async with faulty_remote(says("far")) as remote:
        sections = {
            **METRICS,
            "routing": {"probe": False, "exploration": 0.0, "candidates": ["a"]},
            "profiles": {"pair": {"members": ["a", "b"], "alignment": "byte_exact"}},
            "remotes": {"far": far(remote.base_url, text_prompts=True)},
            "budgets": {"usd_per_day": 1.0},
        }
        # Drafts pay however busy the machine is: one is slow, and says what the other does.
        say = "round and round and round it goes " * 2
        models = [
            scripted("a", seed=1, say=say, step_delay_ms=1.0),
            scripted("b", seed=2, say=say, step_delay_ms=12.0),
        ]
        async with whole_service(tmp_path, *models, sections=sections) as (service, client):
            await answer(client, "one", profile="pair", max_tokens=5)
            await answer(client, "go", models=["a", "b"], drafts="a", max_tokens=40)
            await learn_energy(client)
            await answer(client, "two", auto=True, max_tokens=4, **OVER_ENERGY)
            found = await scraped(service)
    known = {name for name, samples in found.items()}
    # What has labels and never happened has no samples yet.
    rare = {"quorate_notices_total", "quorate_substitutions_total", "quorate_lone_tokens_total"}
    asked = set()
    for panel in json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]:
        for target in panel.get("targets", []):
            names = set(re.findall(r"quorate_\w+", target["expr"]))
            assert names, target
            asked |= names
            wanted = set(re.findall(r"by \(([\w, ]+)\)", target["expr"]))
            for name in names & known:
                labels = {label for key in found[name] for label, _ in key}
                for group in wanted:
                    assert set(group.split(", ")) <= labels, (target["expr"], labels)
    assert asked - known <= rare


class Collector:
    """Takes traces over OTLP's HTTP.

    Attributes:
        endpoint: Where it listens.
    """

    def __init__(self) -> None:
        self._spans: queue.Queue[Span] = queue.Queue()
        taken = self._spans

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    import gzip

                    body = gzip.decompress(body)
                request = ExportTraceServiceRequest.FromString(body)
                for resource in request.resource_spans:
                    for scope in resource.scope_spans:
                        for span in scope.spans:
                            taken.put(span)
                self.send_response(200 if self.path == "/v1/traces" else 404)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"

    def every(self) -> list[Span]:
        """Everything that came so far."""
        found = []
        while not self._spans.empty():
            found.append(self._spans.get())
        return found

    def spans(self) -> dict[str, Span]:
        """Everything that came so far, by name."""
        return {span.name: span for span in self.every()}


@contextmanager
def collector() -> Iterator[Collector]:
    made = Collector()
    thread = threading.Thread(target=made.server.serve_forever)
    thread.start()
    try:
        yield made
    finally:
        made.server.shutdown()
        made.server.server_close()
        thread.join()


def attributes(span: Span) -> dict[str, Any]:
    return {
        one.key: getattr(one.value, str(one.value.WhichOneof("value"))) for one in span.attributes
    }


async def test_a_collector_gets_a_span_of_each_member_and_no_text(tmp_path: Path) -> None:
    with collector() as made:
        sections = {**QUIET, "traces": {"endpoint": made.endpoint}}
        models = [scripted("a", seed=1), scripted("b", seed=2)]
        async with whole_service(tmp_path, *models, sections=sections) as (_, client):
            await answer(client, "secret words", models=["a", "b"], request_id="mine")
            await client.score("x", "y", model="a")
        spans = made.spans()
    root = spans["generate a+b"]
    assert {"queue", "vote a+b", "text_completion a", "text_completion b"} <= set(spans)
    assert attributes(root)["gen_ai.response.id"] == "mine"
    assert spans["vote a+b"].parent_span_id == root.span_id
    assert spans["text_completion b"].parent_span_id == spans["vote a+b"].span_id
    assert any(name.startswith("score ") for name in spans)
    assert not any("secret" in str(span) for span in spans.values())


async def test_each_call_of_a_remote_has_a_span_that_says_what_it_failed_of(
    tmp_path: Path,
) -> None:
    with collector() as made:
        async with faulty_remote(Answer(status=503), says("far")) as remote:
            sections = {
                **QUIET,
                "traces": {"endpoint": made.endpoint},
                "remotes": {"far": far(remote.base_url, text_prompts=True)},
            }
            models = [scripted("a", seed=1)]
            async with whole_service(tmp_path, *models, sections=sections) as (_, client):
                await learn_energy(client)
                await answer(client, "secret words", auto=True, max_tokens=4, **OVER_ENERGY)
        every = made.every()
    (whole,) = [span for span in every if span.name == "text_completion far"]
    calls = [span for span in every if span.name == "POST"]
    assert {span.parent_span_id for span in calls} == {whole.span_id}
    assert [attributes(span).get("error.type") for span in calls] == ["transient", None]
    assert attributes(calls[1])["http.request.resend_count"] == 1
    assert calls[0].end_time_unix_nano <= calls[1].start_time_unix_nano
    assert not any("secret" in str(span) for span in every)


async def test_a_trace_goes_on_in_the_callers(tmp_path: Path) -> None:
    with collector() as made:
        sections = {**QUIET, "traces": {"endpoint": made.endpoint}}
        async with whole_service(tmp_path, scripted("a"), sections=sections) as (service, _):
            request = inference_pb2.GenerateRequest(prompt="one")
            request.plan.single.model = "a"
            async with grpc.aio.insecure_channel(service.address) as channel:
                stub: Any = inference_pb2_grpc.InferenceServiceStub(channel)  # type: ignore[no-untyped-call]
                async for _ in stub.Generate(request, metadata=(("traceparent", CALLER),)):
                    pass
        root = made.spans()["generate a"]
    assert root.trace_id.hex() == CALLER[3:35]
    assert root.parent_span_id.hex() == CALLER[36:52]


async def test_a_collector_that_is_away_costs_an_answer_nothing(tmp_path: Path) -> None:
    sections = {**QUIET, "traces": {"endpoint": "http://127.0.0.1:9"}}
    async with whole_service(tmp_path, scripted("a"), sections=sections) as (_, client):
        stream = await answer(client, "one", model="a", max_tokens=3)
        assert stream.usage.generated_tokens == 3


async def test_an_address_that_cannot_be_listened_on_keeps_the_service_from_starting(
    tmp_path: Path,
) -> None:
    async with whole_service(tmp_path, sections=METRICS) as (service, _):
        taken = {"metrics": {"listen": service.metrics_address}}
        with pytest.raises(SettingsError, match=r"metrics\.listen: .* cannot be listened on"):
            async with whole_service(tmp_path / "other", sections=taken):
                pass
