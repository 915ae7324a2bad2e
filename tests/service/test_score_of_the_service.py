from __future__ import annotations

import pytest

from quorate.client import ServiceError
from support.service import scripted_service


async def test_a_score_is_the_sum_over_its_tokens() -> None:
    async with scripted_service() as service, service.client() as client:
        score = await client.score(
            "x", "hello", models={"alpha": 1.0, "beta": 1.0}, request_id="s1"
        )
    assert score.request_id == "s1"
    assert score.bytes == 5
    assert b"".join(token.piece for token in score.tokens) == b"hello"
    assert score.logprob == pytest.approx(sum(token.logprob for token in score.tokens))
    assert score.logprob < 0
    assert [member.weight for member in score.decision.members] == [0.5, 0.5]
    assert [model.model for model in score.usage.models] == ["alpha", "beta"]


async def test_an_empty_continuation_is_refused() -> None:
    async with scripted_service() as service, service.client() as client:
        with pytest.raises(ServiceError) as caught:
            await client.score("x", "", model="alpha")
    assert caught.value.status == "INVALID_ARGUMENT"
    assert caught.value.violations[0][0] == "continuation"
