"""A named plan runs or is refused, over real gRPC; another one answers only by leave."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from quorate.engines.worker.statuses import WorkerPhase
from quorate.ledger.settings import LEDGER_OFF
from quorate.request import FailurePolicy, Plan, WeightedModel
from quorate.v1 import inference_pb2, plan_pb2
from support.dispatching import only
from support.fallback import chat, far
from support.faulty_remote import faulty_remote, refuses
from support.service import scripted_service
from support.streams import Stream, answer, refused
from support.whole_service import whole_service

MODELS: dict[str, dict[str, Any]] = {
    "alpha": {"say": "hello world", "context_length": 16},
    "beta": {"say": "hello there"},
    "toy": {"say": "anything"},
}
# What an `auto` policy covers, a member that was lost after it had served, is no refusal.
PAIR = Plan((WeightedModel("alpha"), WeightedModel("beta")), on_failure=FailurePolicy.FAIL)
PROFILES = {"pair": PAIR, "other": only("toy")}
NAMED: list[dict[str, Any]] = [
    {"profile": "pair"},
    {},
    {"models": ["alpha", "beta"], "failure_policy": "fail"},
]


@pytest.mark.parametrize("asked", NAMED)
@pytest.mark.parametrize(
    ("phase", "status", "reason"),
    [
        (WorkerPhase.FAILED, "FAILED_PRECONDITION", "MODEL_UNUSABLE"),
        (WorkerPhase.STOPPED, "FAILED_PRECONDITION", "MODEL_UNUSABLE"),
        (WorkerPhase.STARTING, "UNAVAILABLE", "UNAVAILABLE"),
        (WorkerPhase.RESTARTING, "UNAVAILABLE", "UNAVAILABLE"),
    ],
)
async def test_a_member_that_is_down_refuses_the_plan_and_explain_says_the_same(
    asked: dict[str, Any], phase: WorkerPhase, status: str, reason: str
) -> None:
    async with (
        scripted_service(MODELS, profiles=PROFILES, default_profile="pair") as service,
        service.client() as client,
    ):
        service.cast.engines["beta"].become(phase)
        for call in (client.complete("x", **asked), client.explain("x", **asked)):
            refusal = await refused(call)
            assert (refusal.status, refusal.reason) == (status, reason)
            assert "beta" in refusal.message
            assert (refusal.retry_after_seconds is not None) is (status == "UNAVAILABLE")
        heard = await answer(client, "x", temperature=0.0, allow_substitution=True, **asked)
        explained = await client.explain("x", allow_substitution=True, **asked)
    name = "profile:pair" if "models" not in asked else "ensemble:alpha+beta"
    assert heard.decision.instead_of == explained.instead_of == name
    assert "beta" not in [member.model for member in heard.decision.members]
    [told] = heard.notices
    assert told.kind == inference_pb2.NOTICE_KIND_SUBSTITUTED
    assert f"answers instead of {name}: " in told.message


@pytest.mark.parametrize("asked", NAMED)
async def test_a_prompt_that_is_too_long_names_the_member_and_the_field(
    asked: dict[str, Any],
) -> None:
    async with (
        scripted_service(MODELS, profiles=PROFILES, default_profile="pair") as service,
        service.client() as client,
    ):
        refusal = await refused(client.complete("x" * 100, **asked))
        assert (refusal.status, refusal.reason) == ("INVALID_ARGUMENT", "PROMPT_TOO_LONG")
        assert refusal.metadata["field"] == "prompt"
        assert "model alpha" in refusal.message
        heard = await answer(client, "x" * 100, temperature=0.0, allow_substitution=True, **asked)
    assert "alpha" not in [member.model for member in heard.decision.members]
    assert len(heard.notices) == 1


async def test_a_default_profile_over_budget_runs_itself_and_says_so(tmp_path: Path) -> None:
    """The remote stands idle, until somebody says that another plan may answer."""
    async with faulty_remote() as remote:
        sections = {
            "remotes": {"far": far(remote.base_url)},
            "profiles": {"p": {"members": ["a"]}},
            "routing": {"probe": False, "exploration": 0.0},
        }
        model = {"id": "a", "engine": "scripted", "options": {"say": "here"}}
        async with whole_service(tmp_path, model, sections=sections, default_profile="p") as (
            _,
            client,
        ):
            await answer(client, None, messages=chat(), temperature=0.0)
            tight = {"temperature": 0.0, "latency_ms": 0.001}
            for asked in ({}, {"profile": "p"}):
                heard = await answer(client, None, messages=chat(), **tight, **asked)
                assert (heard.text, heard.decision.remote) == ("here", "")
                assert heard.decision.over_budget.clause == plan_pb2.CLAUSE_LATENCY
            assert remote.requests == []
            heard = await answer(client, None, messages=chat(), allow_substitution=True, **tight)
    assert heard.decision.remote == "far"
    assert heard.decision.instead_of == "profile:p"
    assert [told.kind for told in heard.notices] == [inference_pb2.NOTICE_KIND_SUBSTITUTED]


async def test_a_service_of_remotes_alone_says_which_window_is_spent(tmp_path: Path) -> None:
    async with faulty_remote() as remote:
        sections = {
            "remotes": {"far": far(remote.base_url)},
            "budgets": {"usd_per_day": 0.0},
            "ledger": {"path": LEDGER_OFF},
        }
        async with whole_service(tmp_path, sections=sections) as (_, client):
            refusal = await refused(client.complete(messages=chat()))
    assert (refusal.status, refusal.reason) == ("RESOURCE_EXHAUSTED", "BUDGET_SPENT")
    assert refusal.metadata["window"] == "usd per day"
    # No time makes room in a window that holds nothing.
    assert refusal.retry_after_seconds is None
    assert "no model is loaded" in refusal.message
    assert remote.requests == []


async def test_a_service_of_remotes_alone_says_that_its_breaker_is_open(tmp_path: Path) -> None:
    async with faulty_remote(*[refuses(401)] * 3) as remote:
        sections = {"remotes": {"far": {**far(remote.base_url), "max_retries": 0}}}
        async with whole_service(tmp_path, sections=sections) as (_, client):
            heard = await Stream(client, None, messages=chat()).end()
            assert heard.error is not None and heard.error.status == "UNAVAILABLE"
            refusal = await refused(client.complete(messages=chat()))
    assert refusal.status == "UNAVAILABLE"
    assert "remote:far: its circuit breaker is open: answered HTTP 401" in refusal.message
    assert refusal.retry_after_seconds is not None
    assert 200.0 < refusal.retry_after_seconds <= 300.0
