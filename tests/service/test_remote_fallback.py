"""A remote is asked where nothing local meets the budget, and only then; over real gRPC."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quorate.v1 import plan_pb2
from support.fallback import (
    INPUT_USD,
    OUTPUT_USD,
    OVER_ENERGY,
    SAY,
    ask_far,
    candidate,
    chat,
    clauses,
    far,
    most_prompt_tokens,
    place_with_remote,
    service_with_remote,
)
from support.faulty_remote import says
from support.gguf_files import smollm2
from support.ledgers import charges
from support.llama_server import LlamaServer, llama_server
from support.streams import answer, usd_of

NANO_USD = 1e-9
SLOW = {"step_delay_ms": 20.0}
QUESTION = "What is the capital of France? Answer briefly."
TIGHT = {"latency_ms": 50.0}
EASY = {"latency_ms": 600_000.0, "energy_joules": 1e6}


@pytest.fixture(scope="module")
def server() -> Iterator[LlamaServer]:
    with llama_server(smollm2()) as running:
        yield running


@pytest.mark.demo_model
async def test_a_real_remote_answers_where_the_local_model_is_too_slow(
    tmp_path: Path, server: LlamaServer
) -> None:
    async with service_with_remote(tmp_path, far(server.base_url), model=SLOW) as (_, client):
        asked = len(server.requests)
        heard = await answer(
            client, None, messages=chat(QUESTION), temperature=0.0, max_tokens=64, **TIGHT
        )
        (row, *_) = await charges(client)
    assert "Paris" in heard.text
    assert server.requests[asked:] == ["POST /v1/chat/completions 200"]
    decision = heard.decision
    assert (decision.kind, decision.remote) == (plan_pb2.PLAN_KIND_REMOTE, "far")
    assert decision.over_budget.clause == plan_pb2.CLAUSE_LATENCY
    assert decision.over_budget.limit == TIGHT["latency_ms"]
    assert decision.over_budget.predicted > TIGHT["latency_ms"]
    assert clauses(decision, "single:a") == [plan_pb2.CLAUSE_LATENCY]
    assert candidate(decision, "remote:far").chosen
    (usage,) = heard.usage.models
    # It does not count its tokens, so that the most that the prompt can have are charged.
    cost = most_prompt_tokens(QUESTION) * INPUT_USD + usage.generated_tokens * OUTPUT_USD
    assert usage.model == "far"
    assert usage.generated_tokens > 0
    assert usage.usd == pytest.approx(cost, abs=NANO_USD)
    assert row.usd == pytest.approx(cost, abs=NANO_USD)
    assert row.usd <= row.reserved_usd == candidate(decision, "remote:far").usd_ceiling
    assert (row.plan_kind, row.clause) == (plan_pb2.PLAN_KIND_REMOTE, "latency")
    assert (row.outcome, row.finish_reason) == ("finished", "end_of_generation")
    assert row.price_version == "configuration"
    assert '"remote":"far"' in row.plan
    assert not row.energy.HasField("joules")


@pytest.mark.demo_model
@pytest.mark.parametrize(
    ("routing", "options"),
    [
        ({}, EASY),
        ({}, {**TIGHT, "local_only": True}),
        ({}, {**TIGHT, "model": "a"}),
        ({"local_only": True}, TIGHT),
    ],
    ids=["within budget", "local only request", "explicit plan", "local only server"],
)
async def test_a_real_remote_is_never_asked_otherwise(
    tmp_path: Path, server: LlamaServer, routing: dict[str, Any], options: dict[str, Any]
) -> None:
    asked = len(server.requests)
    remote = far(server.base_url)
    async with service_with_remote(tmp_path, remote, model=SLOW, routing=routing) as (_, client):
        heard = await answer(
            client, None, messages=chat(QUESTION), temperature=0.0, max_tokens=8, **options
        )
        (row, *_) = await charges(client)
    assert heard.usage.generated_tokens == 8
    assert SAY.startswith(heard.text)
    assert server.requests[asked:] == []
    assert heard.decision.kind == plan_pb2.PLAN_KIND_SINGLE
    assert heard.decision.HasField("over_budget") is ("latency_ms" in options and options != EASY)
    assert not row.HasField("usd")
    names = {one.name for one in heard.decision.candidates}
    assert names == ({"single:a", "remote:far"} if options == EASY else {"single:a"})
    if options == EASY:
        assert clauses(heard.decision, "remote:far") == [plan_pb2.CLAUSE_WITHIN_BUDGET]


async def test_dollars_are_price_times_what_the_remote_counted(tmp_path: Path) -> None:
    script = says("So", " be", " it", prompt_tokens=11)
    async with place_with_remote(tmp_path, script) as (remote, client):
        heard = await ask_far(client, max_tokens=50).end()
        (row, *_) = await charges(client)
        by_model = {
            spend.group["model"]: spend.usd for spend in (await client.spend(["model"])).spends
        }
    cost = 11 * INPUT_USD + 3 * OUTPUT_USD
    assert heard.text == "So be it"
    assert [request.body["max_tokens"] for request in remote.requests] == [50]
    assert (heard.usage.prompt_tokens, heard.usage.models[0].generated_tokens) == (11, 3)
    for usd in (usd_of(heard.usage), row.usd, by_model["far"]):
        assert usd == pytest.approx(cost, abs=NANO_USD)
    assert by_model["a"] == 0
    reserved = most_prompt_tokens("Say it.") * INPUT_USD + 50 * OUTPUT_USD
    assert row.reserved_usd == pytest.approx(reserved, abs=NANO_USD)
    assert (row.prompt_tokens, row.models[0].generated_tokens) == (11, 3)


@pytest.mark.parametrize(
    ("remote_settings", "budgets", "options", "clause"),
    [
        ({}, {}, {"usd": 1e-6}, plan_pb2.CLAUSE_USD),
        ({}, {"usd_per_hour": 1e-6}, {}, plan_pb2.CLAUSE_USD_WINDOW),
        ({}, {"usd_per_day": 0.0}, {}, plan_pb2.CLAUSE_USD_WINDOW),
        ({"tasks": ["code"]}, {}, {"task": "law"}, plan_pb2.CLAUSE_TASK),
        ({"context_length": 16}, {}, {"prompt": "x" * 4000}, plan_pb2.CLAUSE_CONTEXT),
        (
            {"input_usd_per_mtok": None, "output_usd_per_mtok": None},
            {},
            {},
            plan_pb2.CLAUSE_PRICE_UNKNOWN,
        ),
        ({}, {}, {"logit_bias": {5: 1.0}}, plan_pb2.CLAUSE_UNSUPPORTED),
    ],
    ids=["usd cap", "usd window", "no usd at all", "task", "context", "price", "logit bias"],
)
@pytest.mark.parametrize("policy", ["best_effort", "reject"])
async def test_a_remote_that_is_too_dear_or_cannot_do_it_is_not_asked(
    tmp_path: Path,
    policy: str,
    remote_settings: dict[str, Any],
    budgets: dict[str, float],
    options: dict[str, Any],
    clause: int,
) -> None:
    prompt = options.get("prompt", "Say it.")
    given = {name: value for name, value in options.items() if name != "prompt"}
    async with place_with_remote(
        tmp_path,
        settings=remote_settings,
        model={"context_length": 8192, "batch_tokens": 4096},
        routing={"policy": policy},
        sections={"budgets": budgets},
    ) as (remote, client):
        explained = None
        if policy == "best_effort":
            explained = await client.explain(None, messages=chat(prompt), **given, **OVER_ENERGY)
        heard = await ask_far(client, text=prompt, **given).end()
        windows = await client.budget()
    assert remote.requests == []
    assert {window.held for window in windows} <= {0.0}
    if policy == "reject":
        assert heard.error is not None
        assert heard.error.status == "RESOURCE_EXHAUSTED"
        assert heard.error.metadata["clause"] == "energy"
        assert "remote:far: " in heard.error.message
        return
    assert heard.finished is not None
    assert heard.decision.kind == plan_pb2.PLAN_KIND_SINGLE
    assert heard.decision.over_budget.clause == plan_pb2.CLAUSE_ENERGY
    assert clauses(heard.decision, "remote:far")[0] == clause
    assert explained is not None
    assert clauses(explained, "remote:far")[0] == clause
