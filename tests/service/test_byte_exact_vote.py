"""Models with different vocabularies vote together over a real server."""

from __future__ import annotations

from typing import Any

import pytest

from quorate.v1 import inference_pb2, plan_pb2
from support.byte_predictors import everything_is_free
from support.service import Service, scripted_service
from support.streams import Stream, answer

PAIR: dict[str, dict[str, Any]] = {
    "letters": {"vocabulary": "letters", "seed": 1},
    "words": {"vocabulary": "words", "seed": 2},
    "twin": {"vocabulary": "letters", "seed": 3},
    "opaque": {"vocabulary": "opaque"},
}
SAYING = {
    model: {**options, "say": "hello there"} if model != "opaque" else options
    for model, options in PAIR.items()
}
BOTH = ["letters", "words"]
CHAT = [("user", "hi")]
DEADLINE_SECONDS = 30


async def all_is_free(service: Service) -> bool:
    """Whether no model holds anything for a request any more."""
    await service.dispatcher.drain(DEADLINE_SECONDS)
    return all([await everything_is_free(engine) for engine in service.cast.engines.values()])


async def test_they_answer_together_and_the_stream_says_how() -> None:
    async with scripted_service(SAYING) as service, service.client() as client:
        heard = await answer(client, None, messages=CHAT, models=BOTH, temperature=0.0, votes=True)
        assert await all_is_free(service)
    decision = heard.decision
    assert decision.alignment == plan_pb2.ALIGNMENT_BYTE_EXACT
    assert decision.weighting == plan_pb2.WEIGHTING_BAYESIAN
    assert decision.forgetting == 0.9
    assert decision.beam == plan_pb2.ByteBeam(epsilon=0.01, width=8)
    assert heard.text == "hello there"
    assert [token.piece for token in heard.tokens] == [b"hello", b" there"]
    for token in heard.tokens:
        assert not token.HasField("token_id")
        assert [vote.model for vote in token.votes] == BOTH
        assert [vote.piece for vote in token.votes] == [token.piece] * 2
        assert sum(vote.weight for vote in token.votes) == pytest.approx(1.0)
    assert heard.finished is not None
    assert heard.finished.reason == inference_pb2.FINISH_REASON_END_OF_GENERATION
    assert [model.model for model in heard.usage.models] == BOTH
    assert all(model.HasField("dropped_mass") for model in heard.usage.models)


async def test_what_was_asked_of_the_beam_and_the_weights_is_what_runs() -> None:
    async with scripted_service(PAIR) as service, service.client() as client:
        heard = await answer(
            client, "x", models={"letters": 3.0, "words": 1.0}, rule="geometric", forgetting=1.0,
            beam_epsilon=0.0, beam_width=3, max_tokens=3,
        )  # fmt: skip
    decision = heard.decision
    assert decision.beam == plan_pb2.ByteBeam(epsilon=0.0, width=3)
    assert decision.beam.HasField("epsilon")
    assert decision.forgetting == 1.0
    assert decision.rule == plan_pb2.COMBINATION_RULE_GEOMETRIC
    assert [member.weight for member in decision.members] == [0.75, 0.25]


async def test_models_of_one_vocabulary_vote_by_bytes_when_asked() -> None:
    async with scripted_service(SAYING) as service, service.client() as client:
        asked = {"messages": CHAT, "models": ["letters", "twin"], "temperature": 0.0}
        by_bytes = await answer(client, None, **asked, alignment="byte_exact")
        by_tokens = await answer(client, None, **asked)
    assert by_bytes.decision.alignment == plan_pb2.ALIGNMENT_BYTE_EXACT
    assert by_tokens.decision.alignment == plan_pb2.ALIGNMENT_SAME_VOCABULARY
    assert not by_tokens.decision.HasField("beam")
    assert by_bytes.text == by_tokens.text == "hello there"


async def test_a_score_tells_the_ensembles_and_each_members_log_prob() -> None:
    async with scripted_service(PAIR) as service, service.client() as client:
        score = await client.score("x", "the house", models=BOTH)
        static = await client.score("x", "the house", models=BOTH, weighting="static")
        alone = await client.score("x", "the house", models=["words"], alignment="byte_exact")
        assert await all_is_free(service)
    assert score.decision.alignment == plan_pb2.ALIGNMENT_BYTE_EXACT
    assert score.bytes == 9
    assert b"".join(token.piece for token in score.tokens) == b"the house"
    assert score.logprob == pytest.approx(sum(token.logprob for token in score.tokens))
    assert [member.model for member in score.members] == BOTH
    assert score.members[1].logprob == pytest.approx(alone.logprob, abs=1e-5)
    assert sum(member.weight for member in score.members) == pytest.approx(1.0)
    assert all(member.tokens > 0 for member in score.members)
    assert all(member.HasField("dropped_mass") for member in score.members)
    average = sum(0.5 * member.logprob for member in static.members)
    assert static.logprob >= average - 1e-5


async def test_a_model_whose_tokens_have_no_known_bytes_is_refused_by_name() -> None:
    async with scripted_service(PAIR) as service:
        refusal = await service.refusal(models=["letters", "opaque"])
    assert refusal.status == "FAILED_PRECONDITION"
    assert refusal.metadata["subject"] == "opaque"
    assert refusal.message.startswith("opaque: its tokenizer does not say")


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"beam_epsilon": -0.01}, "plan.ensemble.beam.epsilon"),
        ({"beam_epsilon": 0.6}, "plan.ensemble.beam.epsilon"),
        ({"beam_width": 0}, "plan.ensemble.beam.width"),
        ({"beam_width": 65}, "plan.ensemble.beam.width"),
        ({"forgetting": 0.0}, "plan.ensemble.forgetting"),
        ({"forgetting": 1.5}, "plan.ensemble.forgetting"),
        ({"repetition_penalty": 1.5}, "sampling.repetition_penalty"),
    ],
)
async def test_values_out_of_range_are_refused_with_their_field(
    options: dict[str, Any], field: str
) -> None:
    async with scripted_service(PAIR) as service:
        refusal = await service.refusal(models=BOTH, **options)
    assert refusal.status == "INVALID_ARGUMENT"
    assert refusal.violations[0][0] == field


async def test_a_beam_wider_than_a_model_has_sessions_is_refused_by_its_name() -> None:
    models = {**PAIR, "words": {**PAIR["words"], "sessions": 4}}
    async with scripted_service(models) as service:
        refusal = await service.refusal(models=BOTH, beam_width=5)
    assert refusal.status == "FAILED_PRECONDITION"
    assert refusal.metadata["subject"] == "words"


async def test_a_member_that_dies_in_mid_text_is_dropped_and_the_answer_goes_on() -> None:
    async with scripted_service(PAIR) as service, service.client() as client:
        heard = Stream(client, "x", models=BOTH, temperature=0.0, max_tokens=400, votes=True)
        await heard.until(lambda stream: len(stream.events) >= 3)
        service.cast.engines["letters"].lose("killed by SIGKILL")
        await heard.whole()
    (notice,) = heard.notices
    assert notice.kind == inference_pb2.NOTICE_KIND_MEMBER_DROPPED
    assert notice.model == "letters"
    assert [(vote.model, vote.weight) for vote in heard.tokens[-1].votes] == [("words", 1.0)]
