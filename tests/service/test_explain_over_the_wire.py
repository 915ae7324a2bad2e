"""What Explain says would happen is what Generate then does; over real gRPC."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from quorate.v1 import plan_pb2
from support.fallback import OVER_ENERGY, SAY, chat, far, learn_energy
from support.faulty_remote import faulty_remote
from support.ledgers import charges
from support.streams import answer, refused
from support.whole_service import scripted, whole_service

REQUESTS: dict[str, dict[str, Any]] = {
    "open": {},
    "single": {"model": "a"},
    "ensemble": {"models": {"a": 1.0, "b": 3.0}, "rule": "geometric"},
    "profile": {"profile": "pair"},
    "cascade": {"stages": [("a", 0.9), ["a", "b"]]},
    "cascade profile": {"profile": "careful"},
    "over budget": {"local_only": True, **OVER_ENERGY},
    "over budget, spelled out": {"model": "b", **OVER_ENERGY},
    "remote": OVER_ENERGY,
    "task": {"task": "code", "latency_ms": 60_000.0},
}


@pytest.mark.parametrize("kind", REQUESTS)
async def test_the_decision_is_the_one_that_generate_reports(tmp_path: Path, kind: str) -> None:
    models = [scripted("a", say=SAY, seed=1), scripted("b", say=SAY, seed=2)]
    async with faulty_remote() as remote:
        sections = {
            "routing": {"probe": False, "exploration": 0.0},
            "profiles": {
                "pair": {"members": ["a", "b"]},
                "careful": {"stages": [{"members": ["a"]}, {"members": ["b"]}]},
            },
            "remotes": {"far": far(remote.base_url)},
        }
        async with whole_service(tmp_path, *models, sections=sections) as (_, client):
            for choice in ("a", "b"):
                await learn_energy(client, choice)
            await answer(client, "", profile="pair", temperature=0.0)
            before = await charges(client)
            options = {"messages": chat(), "seed": 7, "temperature": 0.0, **REQUESTS[kind]}
            explained = await client.explain(None, **options)
            assert remote.requests == []
            assert await charges(client) == before
            heard = await answer(client, None, **options)
    assert heard.error is None
    assert heard.decision == explained
    assert explained.seed == 7
    (chosen,) = [one for one in explained.candidates if one.chosen]
    assert bool(remote.requests) is (kind == "remote")
    assert explained.kind == chosen.kind
    assert (explained.kind == plan_pb2.PLAN_KIND_REMOTE) is (kind == "remote")
    assert explained.HasField("over_budget") is (kind.startswith("over") or kind == "remote")


async def test_a_latency_counts_from_the_arrival_of_each(tmp_path: Path) -> None:
    sections = {"routing": {"probe": False, "exploration": 0.0}}
    async with whole_service(tmp_path, scripted("a", say=SAY), sections=sections) as (_, client):
        await answer(client, "", temperature=0.0)
        options = {"seed": 7, "temperature": 0.0, "latency_ms": 1.0}
        explained = await client.explain("", **options)
        heard = (await answer(client, "", **options)).decision
    assert explained.over_budget.clause == heard.over_budget.clause == plan_pb2.CLAUSE_LATENCY
    # Where Generate decides, it has spent some microseconds already.
    waited = heard.over_budget.predicted - explained.over_budget.predicted
    assert 0 <= waited < 1000
    for decision in (explained, heard):
        for rejection in (decision.over_budget, decision.candidates[0].rejections[0]):
            rejection.ClearField("predicted")
            rejection.ClearField("message")
    assert heard == explained


async def test_what_generate_refuses_explain_refuses(tmp_path: Path) -> None:
    wrong: list[dict[str, Any]] = [
        {"model": "nobody"},
        {"profile": "nobody"},
        {"temperature": -1.0},
        {"stages": ["a"]},
    ]
    async with whole_service(tmp_path, scripted("a"), scripted("b")) as (_, client):
        for options in wrong:
            explained = await refused(client.explain("x", **options))
            heard = await answer(client, "x", **options)
            assert heard.error is not None
            told = (explained.status, explained.message)
            assert (heard.error.status, heard.error.message) == told
