"""Votes of whole answers through the whole service: gRPC, HTTP, profiles, commands and books."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openai
import pytest

from quorate.client import Client, ServiceError
from quorate.v1 import inference_pb2, plan_pb2
from support.http_door import HI, door
from support.whole_service import scripted

MODELS = (
    scripted("a", say="I think that it is 41."),
    scripted("b", say="42"),
    scripted("c", say="so 42.0"),
)
PROFILES = {"agreed": {"answers": ["a", "b", "c"], "compare": "numeric"}}


async def asked(client: Client, **rest: Any) -> tuple[str, inference_pb2.Finished]:
    answer = await client.answer(messages=[("user", "six times seven?")], temperature=0.0, **rest)
    return answer.text, answer.finished


async def test_the_answer_that_most_give_is_kept_and_charged_with_all_others(
    tmp_path: Path,
) -> None:
    async with door(tmp_path, *MODELS) as (service, _), Client(service.address) as client:
        text, finished = await asked(client, answers=["a", "b", "c"], compare="numeric")
        assert text == "42"
        outcome = finished.outcome
        assert outcome.kept == 1 and not outcome.tied
        assert outcome.groups[0].reading == "42" and list(outcome.groups[0].answers) == [1, 2]
        await service.dispatcher.recorder.flush()
        [charge] = [row async for row in client.charges()]
        assert charge.plan_kind == plan_pb2.PLAN_KIND_ANSWERS
        assert [one.model for one in charge.decided.answers.members] == ["a", "b", "c"]
        assert {one.model for one in charge.models} == {"a", "b", "c"}
        assert charge.generated_tokens == finished.usage.generated_tokens


async def test_a_profile_and_a_name_over_http_say_the_same(tmp_path: Path) -> None:
    async with door(tmp_path, *MODELS, profiles=PROFILES) as (_, client):
        by_profile = await client.chat.completions.create(
            model="agreed", messages=HI, temperature=0
        )
        by_name = await client.chat.completions.create(
            model="answers:a+b+c",
            messages=HI,
            temperature=0,
            extra_body={"quorate": {"answers": {"compare": "numeric"}}},
        )
        for told in (by_profile, by_name):
            assert told.choices[0].message.content == "42"
            ours: Any = told.model_extra and told.model_extra["quorate"]
            assert ours["outcome"]["groups"][0]["answers"] == [1, 2]
            assert [one["model"] for one in ours["members"]] == ["a", "b", "c"]
        pieces = await client.chat.completions.create(
            model="agreed", messages=HI, temperature=0, stream=True
        )
        assert "".join([one.choices[0].delta.content or "" async for one in pieces]) == "42"


@pytest.mark.parametrize(
    ("model", "answers", "told"),
    [
        ("a", {"samples": 2}, "quorate.answers: is for votes of whole answers"),
        ("answers:a", {"samples": 17}, "quorate.answers.samples: is 17; give 1 to 16"),
        ("answers:a", {"compare": "looks"}, "quorate.answers.compare: is not known"),
        ("answers:a", {"most": 2}, "quorate.answers.most: is not known"),
        ("answers:a+a", {}, "is named twice"),
    ],
)
async def test_what_can_never_be_served_is_refused_by_its_name(
    tmp_path: Path, model: str, answers: dict[str, Any], told: str
) -> None:
    async with door(tmp_path, *MODELS) as (_, client):
        with pytest.raises(openai.BadRequestError) as refused:
            await client.chat.completions.create(
                model=model, messages=HI, extra_body={"quorate": {"answers": answers}}
            )
    assert told in str(refused.value)


async def test_over_grpc_a_wrong_plan_is_refused_with_all_that_is_wrong(tmp_path: Path) -> None:
    async with door(tmp_path, *MODELS) as (service, _), Client(service.address) as client:
        with pytest.raises(ServiceError) as refused:
            await asked(client, answers={"a": -1.0}, samples=40, weighting="bayesian")
    fields = {field for field, _ in refused.value.violations}
    assert fields == {
        "plan.answers.members[0].weight",
        "plan.answers.samples",
        "plan.answers.weighting",
    }
