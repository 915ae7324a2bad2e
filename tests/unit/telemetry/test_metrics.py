from __future__ import annotations

from dataclasses import replace

import pytest
from prometheus_client import generate_latest

from quorate.request import Alignment, ModelUsage, PlanKind, Route, Usage
from quorate.telemetry.attempts import SettledRun
from quorate.telemetry.metrics import Metrics
from quorate.telemetry.state import ModelGauges, ServiceState, WindowGauges
from support.telemetry import VOTE, parsed, settled

STATE = ServiceState(
    running=3,
    waiting=2,
    aside=1,
    models=(ModelGauges("a", "ready", 3, 2, 0.25, 4096), ModelGauges("b", "loading")),
    windows=(WindowGauges("usd per day", "usd", 5.0, 4.5),),
    ready_profiles=(("pair", False),),
)
PAIR = (("kind", "ensemble"), ("profile", "pair"))


def told(metrics: Metrics) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    return parsed(generate_latest(metrics.registry).decode())


def test_a_settled_answer_is_counted_by_plan_model_and_tier() -> None:
    metrics = Metrics(ServiceState, "1")
    metrics.settled(settled())
    metrics.settled(settled())
    found = told(metrics)
    assert found["quorate_attempts_total"] == {(PAIR[0], ("outcome", "finished"), PAIR[1]): 2}
    assert found["quorate_request_success_total"] == {(("finished_reason", "max_tokens"), *PAIR): 2}
    assert found["quorate_answer_tokens_total"] == {PAIR: 42}
    assert found["quorate_prompt_tokens_total"] == {(("model", "a"),): 14, (("model", "b"),): 14}
    assert found["quorate_prompt_tokens_cached_total"][(("model", "a"),)] == 6
    assert found["quorate_energy_joules_total"] == {
        (("model", "a"), ("tier", "measured")): 8.0,
        (("model", "b"), ("tier", "estimated")): 12.0,
    }
    assert found["quorate_dropped_mass_total"] == {(("model", "b"),): 0.5}
    assert found["quorate_notices_total"] == {(("kind", "member_dropped"),): 4}
    assert found["quorate_request_queue_time_seconds_sum"] == {PAIR: 4.0}
    assert found["quorate_time_to_first_token_seconds_sum"] == {PAIR: 6.0}
    assert found["quorate_time_per_output_token_seconds_sum"] == {PAIR: pytest.approx(0.7)}
    assert found["quorate_e2e_request_latency_seconds_count"] == {PAIR: 2}


def test_guesses_are_counted_by_who_made_them_and_by_what_is_voted_on() -> None:
    metrics = Metrics(ServiceState, "1")
    models = (
        ModelUsage("a", 7, 0, 20),
        ModelUsage("b", 7, 0, 20, drafted_tokens=12, accepted_tokens=9),
    )
    tokens = SettledRun(VOTE, 1.0, 2.0, 3.0, models=models, drafted=15, accepted=10)
    of_bytes = replace(VOTE, alignment=Alignment.BYTE_EXACT)
    for outcome in ("finished", "cancelled"):
        # A cascade whose stages vote on different things.
        runs = (tokens, replace(tokens, decision=of_bytes, drafted=12, accepted=9))
        metrics.settled(settled(runs=runs, outcome=outcome))
    found = told(metrics)
    # What is no model's was said before.
    assert found["quorate_draft_tokens_total"] == {
        (("model", "b"), ("unit", "token")): 24,
        (("model", ""), ("unit", "token")): 6,
        (("model", "b"), ("unit", "byte")): 24,
    }
    assert found["quorate_draft_tokens_accepted_total"] == {
        (("model", "b"), ("unit", "token")): 18,
        (("model", ""), ("unit", "token")): 2,
        (("model", "b"), ("unit", "byte")): 18,
    }


@pytest.mark.parametrize("outcome", ["failed", "cancelled", "probe"])
def test_what_did_not_end_well_costs_and_is_no_latency(outcome: str) -> None:
    metrics = Metrics(ServiceState, "1")
    metrics.settled(settled(outcome=outcome))
    found = told(metrics)
    assert found["quorate_attempts_total"] == {(PAIR[0], ("outcome", outcome), PAIR[1]): 1}
    assert found["quorate_energy_joules_total"][(("model", "a"), ("tier", "measured"))] == 4.0
    assert "quorate_request_success_total" not in found
    assert "quorate_e2e_request_latency_seconds_count" not in found


def test_a_remote_is_counted_in_dollars_and_another_plan_as_a_substitution() -> None:
    metrics = Metrics(ServiceState, "1")
    route = Route(name="remote:far", kind=PlanKind.REMOTE, remote="far", instead_of="a+b")
    usage = Usage(7, 21, 3000.0, 10_000.0, (ModelUsage("far", 7, 0, 21, usd=0.25),))
    metrics.settled(settled(decision=replace(VOTE, members=(), route=route), usage=usage, runs=()))
    found = told(metrics)
    plan = (("kind", "remote"), ("profile", "pair"))
    assert found["quorate_cost_usd_total"] == {(("remote", "far"),): 0.25}
    assert found["quorate_substitutions_total"] == {plan: 1}


def test_a_scrape_tells_how_the_service_stands() -> None:
    found = told(Metrics(lambda: STATE, "1.2"))
    assert found["quorate_build_info"] == {(("version", "1.2"),): 1}
    assert found["quorate_num_requests_running"] == {(): 3}
    assert found["quorate_num_requests_waiting"] == {(): 2}
    assert found["quorate_num_requests_aside"] == {(): 1}
    assert found["quorate_model_state"] == {
        (("model", "a"), ("state", "ready")): 1,
        (("model", "b"), ("state", "loading")): 1,
    }
    assert found["quorate_kv_cache_usage_ratio"] == {(("model", "a"),): 0.25}
    assert found["quorate_worker_restarts_total"][(("model", "a"),)] == 2
    assert found["quorate_budget_remaining"] == {(("unit", "usd"), ("window", "usd per day")): 4.5}
    assert found["quorate_profile_ready"] == {(("profile", "pair"),): 0}


def test_calls_are_counted_by_method_and_status() -> None:
    metrics = Metrics(ServiceState, "1")
    metrics.called("/quorate.v1.InferenceService/Generate", "OK", 0.5)
    metrics.called("/quorate.v1.InferenceService/Generate", "UNAVAILABLE", 0.25)
    assert told(metrics)["quorate_rpc_duration_seconds_sum"] == {
        (("method", "Generate"), ("status", "OK")): 0.5,
        (("method", "Generate"), ("status", "UNAVAILABLE")): 0.25,
    }
