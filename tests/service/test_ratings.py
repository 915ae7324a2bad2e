"""Ratings of answers through the whole service: gRPC, HTTP, the command, the ledger, a restart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from quorate.app.service import Service
from quorate.client import Client, ServiceError
from quorate.ledger.ratings import Rating
from support.http_door import HI, door, post, raw
from support.whole_service import scripted

MODEL = {**scripted("a", say="certainly", confidence=0.98), "quality": 0.8}


async def test_a_rating_over_grpc_moves_what_is_expected_and_survives_a_restart(
    tmp_path: Path,
) -> None:
    async with door(tmp_path, MODEL) as (service, _), Client(service.address) as client:
        answer = await client.answer(messages=[("user", "well?")], model="a")
        rated = await client.rate(answer.finished.request_id, 1.0)
        assert (rated.vote, rated.task) == ("single:a", "")
        assert 0 < rated.quality - rated.quality_before <= 0.1
        [kept] = await _kept(service)
        assert (kept.request_id, kept.score) == (answer.finished.request_id, 1.0)
    async with door(tmp_path, MODEL) as (service, _), Client(service.address) as client:
        decision = await client.explain(messages=[("user", "well?")])
        [candidate] = decision.candidates
        assert candidate.quality == pytest.approx(rated.quality)
        # What was said before can be taken back.
        again = await client.rate(answer.finished.request_id, 0.0)
        assert again.quality_before == pytest.approx(candidate.quality)
        assert again.quality < rated.quality_before
        assert [one.score for one in await _kept(service)] == [0.0]


async def test_over_http_the_id_of_an_answer_is_what_is_rated(tmp_path: Path) -> None:
    async with door(tmp_path, MODEL) as (service, openai):
        answered = await openai.chat.completions.create(
            model="a", messages=HI, extra_body={"quorate": {"request_id": "mine"}}
        )
        assert answered.choices[0].message.content == "certainly"

        async def rated(**body: object) -> tuple[int, dict[str, Any]]:
            return await raw(service, post("/quorate/ratings", json.dumps(body).encode()))

        status, told = await rated(request_id="mine", score=0.5)
        assert status == 200 and told["vote"] == "single:a"
        for body, problem in (
            ({"request_id": "mine"}, "score: is missing; give 0 to 1"),
            ({"request_id": "mine", "score": 2}, "score: is 2.0; give 0 to 1"),
            ({"score": 1}, "request_id: is empty; name what is rated"),
        ):
            status, told = await rated(**body)
            assert status == 400 and told["error"]["message"] == problem
        status, _ = await rated(request_id="x", score=1)
        assert status == 404


async def test_over_grpc_what_is_no_rating_is_refused(tmp_path: Path) -> None:
    async with door(tmp_path, MODEL) as (service, _), Client(service.address) as client:
        with pytest.raises(ServiceError, match=r"score: is 1\.5; give 0 to 1"):
            await client.rate("mine", 1.5)
        with pytest.raises(ServiceError, match="no request named"):
            await client.rate("mine", 1.0)


async def _kept(service: Service) -> list[Rating]:
    ledger = service.dispatcher.recorder.ledger
    assert ledger is not None
    return list(await ledger.ratings())
