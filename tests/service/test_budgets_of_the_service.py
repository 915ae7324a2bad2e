"""What may be spent: limits of requests and windows of everybody, over real gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from quorate.client import Client
from quorate.v1 import inference_pb2, inference_pb2_grpc, plan_pb2
from support.ledgers import charges
from support.streams import Stream, answer, joules_of
from support.whole_service import scripted, whole_service

SAY = "the quick brown fox jumps over the lazy dog and runs away"
LITTLE_JOULES = 1e-6

over_its_own_budget = pytest.mark.parametrize(
    ("budget", "clause", "plan"),
    [
        ({"latency_ms": 5.0}, "latency", {}),
        ({"latency_ms": 5.0}, "latency", {"model": "a"}),
        ({"energy_joules": 1e-9}, "energy", {}),
        ({"energy_joules": 1e-9}, "energy", {"model": "a"}),
    ],
)


def sections(policy: str = "best_effort", **budgets: Any) -> dict[str, Any]:
    return {
        "routing": {"probe": False, "exploration": 0.0, "policy": policy},
        "budgets": budgets,
    }


def slow() -> dict[str, Any]:
    """A model whose answers take at least 57 steps of 5 ms."""
    return scripted("a", say=SAY, step_delay_ms=5.0)


async def until_energy_is_known(client: Client, **options: Any) -> Stream:
    """Asks until an answer's energy is known, which the clock of CPU time may be too coarse for."""
    async with asyncio.timeout(60):
        while not joules_of((heard := await answer(client, "", **options)).usage):
            pass
    return heard


async def details_of_a_refusal(target: str) -> Mapping[str, Any]:
    """The details of the error that a request meets, by the names of their types."""
    request = inference_pb2.GenerateRequest(prompt="x")
    async with grpc.aio.insecure_channel(target) as channel:
        call = inference_pb2_grpc.InferenceServiceStub(channel).Generate(request)
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            async for _ in call:
                pass
    assert refusal.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    status = rpc_status.from_call(refusal.value)
    found = {}
    for detail in status.details:
        kind = getattr(error_details_pb2, detail.TypeName().rpartition(".")[2])
        found[kind.__name__] = message = kind()
        detail.Unpack(message)
    return found


@pytest.mark.parametrize("policy", ["best_effort", "reject"])
async def test_a_window_that_never_holds_so_much_refuses_and_asks_nobody_to_come_back(
    tmp_path: Path, policy: str
) -> None:
    limits = sections(policy, joules_per_hour=LITTLE_JOULES)
    async with whole_service(tmp_path, slow(), sections=limits) as (service, client):
        await until_energy_is_known(client)
        details = await details_of_a_refusal(service.address)
        refused = await answer(client, "", model="a", request_id="refused")
        rows = await charges(client)
        (window,) = await client.budget()
    assert set(details) == {"ErrorInfo", "QuotaFailure"}
    assert details["ErrorInfo"].reason == "BUDGET_SPENT"
    (violation,) = details["QuotaFailure"].violations
    assert violation.subject == "joules per hour"
    assert refused.error is not None
    assert refused.error.reason == "BUDGET_SPENT"
    # What was refused took nothing, holds nothing and stands nowhere.
    assert window.held == 0
    assert "refused" not in {row.request_id for row in rows}


@pytest.mark.parametrize("limit", [{"joules_per_hour": 0.0}, {"joules_per_day": 0}])
async def test_a_limit_of_zero_allows_nothing_though_nothing_was_measured_yet(
    tmp_path: Path, limit: dict[str, float]
) -> None:
    async with whole_service(tmp_path, slow(), sections=sections(**limit)) as (_, client):
        heard = [await answer(client, "", model="a"), await answer(client, "")]
    for one in heard:
        assert one.error is not None
        assert one.error.reason == "BUDGET_SPENT"


@over_its_own_budget
async def test_what_exceeds_its_own_budget_is_rejected_where_that_is_the_policy(
    tmp_path: Path, budget: dict[str, float], clause: str, plan: dict[str, str]
) -> None:
    async with whole_service(tmp_path, slow(), sections=sections("reject")) as (_, client):
        await until_energy_is_known(client)
        refused = await answer(client, "", **budget, **plan)
        fits = await answer(client, "", latency_ms=60_000.0, energy_joules=1e6, **plan)
    assert refused.events == []
    assert refused.error is not None
    assert (refused.error.status, refused.error.reason) == ("RESOURCE_EXHAUSTED", "OVER_BUDGET")
    assert refused.error.metadata["clause"] == clause
    assert "\n" not in refused.error.message
    assert fits.finished is not None
    assert not fits.decision.HasField("over_budget")


@over_its_own_budget
async def test_else_it_runs_and_the_decision_tells_what_it_exceeds(
    tmp_path: Path, budget: dict[str, float], clause: str, plan: dict[str, str]
) -> None:
    async with whole_service(tmp_path, slow(), sections=sections()) as (_, client):
        await until_energy_is_known(client)
        heard = await answer(client, "", temperature=0.0, **budget, **plan)
        (row, *_) = await charges(client)
    assert heard.text == SAY
    over = heard.decision.over_budget
    assert over.clause == plan_pb2.Clause.Value(f"CLAUSE_{clause.upper()}")
    assert over.limit == pytest.approx(next(iter(budget.values())))
    assert over.predicted > over.limit
    (candidate,) = heard.decision.candidates
    assert candidate.chosen
    assert candidate.rejections[0] == over
    assert row.clause == clause


async def test_windows_survive_a_restart(tmp_path: Path) -> None:
    limits = sections(joules_per_hour=LITTLE_JOULES, joules_per_day=1e6)
    async with whole_service(tmp_path, slow(), sections=limits) as (_, client):
        await until_energy_is_known(client, model="a")
        before = {window.name: window for window in await client.budget()}
    async with whole_service(tmp_path, slow(), sections=limits) as (_, client):
        after = {window.name: window for window in await client.budget()}
        refused = await answer(client, "", model="a")
    assert before.keys() == after.keys() == {"joules per hour", "joules per day"}
    for name, window in after.items():
        # Each charge is rounded to the microjoule, and not in the same way in both places.
        assert window.spent == pytest.approx(before[name].spent, abs=1e-5)
        assert window.held == 0
        assert window.resets_in_seconds == pytest.approx(before[name].resets_in_seconds, abs=60)
    assert refused.error is not None
    assert refused.error.reason == "BUDGET_SPENT"


async def test_a_request_that_ends_badly_gives_back_what_was_held_for_it(tmp_path: Path) -> None:
    limits = sections(joules_per_hour=1e6)
    async with whole_service(tmp_path, slow(), sections=limits) as (_, client):
        await until_energy_is_known(client, model="a")
        stream = Stream(client, "", model="a")
        await stream.until(lambda heard: len(heard.text) > 0)
        (during,) = await client.budget()
        await stream.leave()
        async with asyncio.timeout(60):
            while (await client.budget())[0].held:
                pass
        (after,) = await client.budget()
    assert during.held > 0
    # Energy that is not known counts as what was held for it, and never as more.
    assert during.spent <= after.spent <= during.spent + during.held + 1e-6
