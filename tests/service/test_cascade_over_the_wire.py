"""Cascades over real gRPC: who answers, what of it is seen, and what it took."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from quorate.v1 import inference_pb2, plan_pb2
from support.gguf_files import smollm2
from support.ledgers import charges
from support.streams import answer, joules_of, refused
from support.whole_service import gguf, scripted, whole_service

FIRST = "the quick brown fox jumps over the lazy dog"
SECOND = "a slow red hen walks under the busy cat"
UNSURE = 1.0
"""A confidence that no answer of several tokens has."""
SECTIONS = {"routing": {"probe": False, "exploration": 0.0}}


def pair() -> list[dict[str, Any]]:
    return [scripted("small", say=FIRST), scripted("large", say=SECOND, seed=2)]


async def test_an_unsure_first_stage_gives_way_and_nothing_of_it_is_shown(tmp_path: Path) -> None:
    async with whole_service(tmp_path, *pair(), sections=SECTIONS) as (_, client):
        heard = await answer(
            client, "", stages=[("small", UNSURE), "large"], temperature=0.0, request_id="c"
        )
        (row,) = await charges(client)
        (by_kind,) = (await client.spend(["plan_kind"])).spends
    decision = heard.decision
    assert decision.kind == plan_pb2.PLAN_KIND_CASCADE
    assert [
        ([member.model for member in stage.decision.members], stage.confidence)
        for stage in decision.stages
    ] == [(["small"], UNSURE), (["large"], 0.0)]
    (notice,) = heard.notices
    assert (notice.kind, notice.model) == (inference_pb2.NOTICE_KIND_ESCALATED, "small")
    assert notice.message.startswith("small gives way to large: its confidence is 0.9")
    assert heard.text == SECOND
    usage = heard.usage
    assert [model.model for model in usage.models] == ["small", "large"]
    # The end of a generation is a token of the model and none of the answer.
    assert usage.generated_tokens == len(heard.tokens)
    assert all(model.generated_tokens > 0 for model in usage.models)
    assert row.plan_kind == plan_pb2.PLAN_KIND_CASCADE
    assert row.generated_tokens == usage.generated_tokens
    assert [part.model for part in row.models] == ["small", "large"]
    assert row.energy.joules == pytest.approx(joules_of(usage), abs=2e-6)
    assert '"confidence":1.0' in row.plan
    assert dict(by_kind.group) == {"plan_kind": "cascade"}


async def test_a_first_stage_that_is_sure_enough_is_kept_and_the_second_is_not_asked(
    tmp_path: Path,
) -> None:
    async with whole_service(tmp_path, *pair(), sections=SECTIONS) as (_, client):
        heard = await answer(client, "", stages=[("small", 0.5), "large"], temperature=0.0)
    assert heard.text == FIRST
    assert heard.notices == []
    assert [model.model for model in heard.usage.models] == ["small"]
    assert len(heard.decision.stages) == 2


async def test_streamed_early_the_notice_stands_between_what_is_replaced_and_what_is_kept(
    tmp_path: Path,
) -> None:
    async with whole_service(tmp_path, *pair(), sections=SECTIONS) as (_, client):
        options = {"stages": [("small", UNSURE), "large"], "temperature": 0.0}
        heard = await answer(client, "", stream_early=True, **options)
        kept = await client.complete("", stream_early=True, **options)
    (place,) = [index for index, event in enumerate(heard.events) if event.HasField("notice")]
    before = "".join(event.delta.text for event in heard.events[:place])
    after = "".join(event.delta.text for event in heard.events[place:])
    assert (before, after, kept) == (FIRST, SECOND, SECOND)
    # Only what was kept counts as the answer's.
    tokens = [token for event in heard.events[place:] for token in event.delta.tokens]
    assert heard.usage.generated_tokens == len(tokens)


async def test_a_cascade_of_the_configuration_has_its_name_and_its_own_confidence(
    tmp_path: Path,
) -> None:
    profile = {"stages": [{"members": ["small"]}, {"members": ["small", "large"]}]}
    sections = {
        "routing": {**SECTIONS["routing"], "confidence": UNSURE},
        "profiles": {"careful": profile},
    }
    async with whole_service(tmp_path, *pair(), sections=sections) as (_, client):
        heard = await answer(client, "", profile="careful", temperature=0.0)
        (row,) = await charges(client, profile="careful")
    assert heard.decision.profile == "careful"
    assert heard.decision.stages[0].confidence == UNSURE
    assert [member.model for member in heard.decision.stages[1].decision.members] == [
        "small",
        "large",
    ]
    assert len(heard.notices) == 1
    # The first model worked in both stages.
    by_model = {model.model: model for model in heard.usage.models}
    assert set(by_model) == {"small", "large"}
    assert by_model["small"].generated_tokens > by_model["large"].generated_tokens
    assert row.request_id == heard.request_id


async def test_a_cascade_cannot_score(tmp_path: Path) -> None:
    async with whole_service(tmp_path, *pair(), sections=SECTIONS) as (_, client):
        refusal = await refused(client.score("", "the", stages=["small", "large"]))
    assert refusal.status == "FAILED_PRECONDITION"
    assert "a cascade cannot score a text" in refusal.message


@pytest.mark.demo_model
async def test_a_real_model_answers_where_a_toy_is_not_sure(tmp_path: Path) -> None:
    models = [scripted("toy", say=FIRST), gguf("smol", smollm2(), context_length=512)]
    question = [("user", "What is the capital of France? Answer briefly.")]
    async with whole_service(tmp_path, *models, sections=SECTIONS) as (_, client):
        heard = await answer(
            client, None, messages=question, stages=[("toy", UNSURE), "smol"], temperature=0.0
        )
        alone = await answer(client, None, messages=question, model="smol", temperature=0.0)
    assert "Paris" in heard.text
    assert heard.text == alone.text
    assert FIRST not in heard.text
    assert [model.model for model in heard.usage.models] == ["toy", "smol"]
    smol = heard.usage.models[1]
    assert smol.prompt_tokens > 10
    assert math.isfinite(smol.energy.joules) and smol.energy.joules > 0
