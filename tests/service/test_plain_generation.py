"""Plain generation, end to end: one model that draws its tokens itself, in its worker."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from quorate.engines.generation import EngineSampling
from quorate.engines.session import EngineSession
from quorate.fleet.status import ModelState
from quorate.v1 import inference_pb2
from support.streams import Stream, answer
from support.whole_service import engine_of, kill_worker, reaches, scripted, whole_service

SAY = "the quick brown fox jumps over the lazy dog and runs away"
AHEAD: dict[str, Any] = {"say": SAY, "seed": 3, "generate": True}
SLOW = {**AHEAD, "step_delay_ms": 20.0}

pytestmark = pytest.mark.usefixtures("nothing_is_left")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[EngineSampling]:
    """How sessions were asked to draw by themselves, in order."""
    options: list[EngineSampling] = []
    generate = EngineSession.generate

    def noted(session: EngineSession, tokens: Sequence[int], how: EngineSampling) -> Any:
        options.append(how)
        return generate(session, tokens, how)

    monkeypatch.setattr(EngineSession, "generate", noted)
    return options


def tokens_of(stream: Stream) -> list[tuple[Any, ...]]:
    """What a stream told of every token."""
    return [
        (token.token_id, token.piece, token.logprob, [(c.piece, c.logprob) for c in token.top])
        for token in stream.tokens
    ]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"max_tokens": 7},
        {"stop": ["over"]},
        {"stop": ["away and on"]},
        {"max_bytes": 13},
        {"top_logprobs": 3, "max_tokens": 5},
    ],
    ids=["an end", "a limit", "a stop string", "a text held back", "bytes", "candidates"],
)
async def test_the_answer_is_that_of_a_vote_of_one(
    tmp_path: Path, asked: list[EngineSampling], options: dict[str, Any]
) -> None:
    models = [scripted("ahead", **AHEAD), scripted("voting", **{**AHEAD, "generate": False})]
    async with whole_service(tmp_path, *models) as (_, client):
        ahead = await answer(client, "say:", model="ahead", temperature=0.0, **options)
        assert len(asked) == 1
        voted = await answer(client, "say:", model="voting", temperature=0.0, **options)
    assert len(asked) == 1
    assert ahead.text == voted.text != ""
    assert tokens_of(ahead) == tokens_of(voted)
    assert ahead.finished is not None
    assert voted.finished is not None
    assert ahead.finished.reason == voted.finished.reason
    assert ahead.usage.generated_tokens == voted.usage.generated_tokens == len(tokens_of(ahead))
    (of_ahead,), (of_vote,) = ahead.usage.models, voted.usage.models
    assert of_ahead.prompt_tokens == of_vote.prompt_tokens
    assert of_ahead.busy_ms > 0
    if "stop" in options or "max_bytes" in options:
        # It may have run on until it heard of the end.
        assert of_ahead.generated_tokens >= of_vote.generated_tokens
    else:
        assert of_ahead.generated_tokens == of_vote.generated_tokens


async def test_a_seed_gives_the_same_answer_again(
    tmp_path: Path, asked: list[EngineSampling]
) -> None:
    async with whole_service(tmp_path, scripted("a", generate=True)) as (_, client):
        how = {"model": "a", "temperature": 1.5, "top_k": 0, "max_tokens": 12}
        first, again, other = [await answer(client, "x", seed=seed, **how) for seed in (5, 5, 6)]
    assert [options.seed for options in asked] == [5, 5, 6]
    assert tokens_of(first) == tokens_of(again)
    assert tokens_of(first) != tokens_of(other)


async def test_votes_that_are_to_be_shown_are_voted(
    tmp_path: Path, asked: list[EngineSampling]
) -> None:
    async with whole_service(tmp_path, scripted("a", **AHEAD)) as (_, client):
        stream = await answer(client, "", model="a", temperature=0.0, votes=True)
    assert stream.text == SAY
    assert not asked
    assert all(len(token.votes) == 1 for token in stream.tokens)


PENALTIES: list[dict[str, Any]] = [
    {"repetition_penalty": 1.5},
    {"presence_penalty": 2.0},
    {"frequency_penalty": 2.0},
    {"logit_bias": {90: 99.0}},
]
OPTIONS: list[dict[str, Any]] = [
    {},
    {"temperature": 1.5, "top_k": 0, "top_p": 1.0, "min_p": 0.0},
    {"top_k": 3},
    {"top_p": 0.5},
    {"min_p": 0.3},
]


@pytest.mark.parametrize("sampling", [*OPTIONS, *PENALTIES], ids=str)
async def test_a_seed_gives_what_it_gives_a_vote_of_one(
    tmp_path: Path, asked: list[EngineSampling], sampling: dict[str, Any]
) -> None:
    models = [scripted("ahead", seed=3, generate=True), scripted("voting", seed=3)]
    async with whole_service(tmp_path, *models) as (_, client):
        for seed in (5, 6, 7):
            how = {"seed": seed, "max_tokens": 12, "top_logprobs": 2, **sampling}
            ahead = await answer(client, "some text", model="ahead", **how)
            voted = await answer(client, "some text", model="voting", **how)
            assert tokens_of(ahead) == tokens_of(voted)
            assert ahead.text == voted.text
    assert len(asked) == 3


@pytest.mark.parametrize("sampling", PENALTIES, ids=lambda sampling: next(iter(sampling)))
async def test_bias_and_penalties_are_for_our_own_sampler(
    tmp_path: Path, asked: list[EngineSampling], sampling: dict[str, Any]
) -> None:
    models = [
        scripted("able", seed=3, generate=True),
        scripted("other", seed=3, own_sampler=True),
        scripted("voting", seed=3),
    ]
    how = {"temperature": 0.0, "max_tokens": 12}
    async with whole_service(tmp_path, *models) as (_, client):
        plain = await answer(client, "x", model="other", **how)
        assert len(asked) == 1
        other = await answer(client, "x", model="other", **how, **sampling)
        voted = await answer(client, "x", model="voting", **how, **sampling)
        assert len(asked) == 1
        able = await answer(client, "x", model="able", **how, **sampling)
        assert len(asked) == 2
    assert tokens_of(able) == tokens_of(other) == tokens_of(voted)
    assert able.text != plain.text


async def test_many_answers_at_once_are_those_of_each_alone(
    tmp_path: Path, asked: list[EngineSampling]
) -> None:
    models = [
        scripted("ahead", seed=3, generate=True, sessions=4),
        scripted("voting", seed=3, sessions=4),
    ]
    async with whole_service(tmp_path, *models) as (_, client):
        prompts = [f"tale {number}" for number in range(12)]
        how = {"temperature": 0.0, "max_tokens": 20}
        together = await asyncio.gather(
            *(answer(client, prompt, model="ahead", **how) for prompt in prompts),
            *(answer(client, prompt, models=["ahead", "voting"], **how) for prompt in prompts),
        )
        alone = [await answer(client, prompt, model="voting", **how) for prompt in prompts]
    assert len(asked) == len(prompts)
    texts = [stream.text for stream in alone]
    assert [stream.text for stream in together] == [*texts, *texts]


async def test_a_client_that_leaves_ends_the_workers_work(
    tmp_path: Path, asked: list[EngineSampling]
) -> None:
    endless = {"generate": True, "sessions": 1, "step_delay_ms": 10.0}
    async with whole_service(tmp_path, scripted("a", **endless)) as (service, client):
        first = Stream(client, "", model="a", temperature=0.0, max_tokens=500)
        await first.until(lambda stream: len(tokens_of(stream)) >= 2)
        waiting = asyncio.create_task(answer(client, "", model="a", temperature=0.0, max_tokens=3))
        await first.leave()
        second = await waiting
        assert second.usage.generated_tokens == 3
        # The steps of both, and not the five hundred of the first.
        assert engine_of(service, "a").steps_done < 250
        assert service.dispatcher.running == 0
    assert len(asked) == 2


async def test_a_stop_string_frees_the_worker_for_the_next(
    tmp_path: Path, asked: list[EngineSampling]
) -> None:
    one = {**SLOW, "say": "", "sessions": 1, "step_delay_ms": 5.0}
    async with whole_service(tmp_path, scripted("a", **one)) as (service, client):
        whole = await answer(client, "", model="a", temperature=0.0, max_tokens=6)
        how = {"model": "a", "temperature": 0.0, "max_tokens": 500}
        stopped = await answer(client, "", stop=[whole.text[2:4]], **how)
        assert stopped.finished is not None
        assert stopped.finished.reason == inference_pb2.FINISH_REASON_STOP_STRING
        assert stopped.text == whole.text[:2]
        again = await answer(client, "", model="a", temperature=0.0, max_tokens=6)
        assert again.text == whole.text
        assert engine_of(service, "a").steps_done < 250


async def test_a_worker_killed_in_mid_stream_goes_on_as_its_seed_would_have(
    tmp_path: Path, asked: list[EngineSampling]
) -> None:
    slow = scripted("a", seed=3, generate=True, step_delay_ms=20.0)
    how = {"seed": 11, "temperature": 1.5, "frequency_penalty": 0.5, "max_tokens": 25}
    async with whole_service(tmp_path, slow) as (service, client):
        undisturbed = await answer(client, "x", model="a", **how)
        stream = Stream(client, "x", model="a", **how)
        await stream.until(lambda one: len(tokens_of(one)) >= 5)
        kill_worker(service, "a")
        await stream.end()
    assert len(stream.notices) == 1
    assert tokens_of(stream) == tokens_of(undisturbed)
    assert len(asked) == 2


async def test_a_worker_killed_in_mid_stream_is_replayed_to_the_same_text(
    tmp_path: Path, asked: list[EngineSampling]
) -> None:
    async with whole_service(tmp_path, scripted("a", **SLOW)) as (service, client):
        stream = Stream(client, "", model="a", temperature=0.0)
        await stream.until(lambda one: len(tokens_of(one)) >= 5)
        kill_worker(service, "a")
        await stream.end()
        assert stream.text == SAY
        (notice,) = stream.notices
        assert notice.kind == inference_pb2.NOTICE_KIND_MEMBER_REPLAYED
        assert "SIGKILL" in notice.message
        assert stream.usage.generated_tokens == len(tokens_of(stream))
        await reaches(service, "a", ModelState.READY)
        again = await answer(client, "", model="a", temperature=0.0)
        assert again.text == SAY
        assert not again.notices
    assert len(asked) == 2


async def test_the_fail_policy_ends_a_killed_stream_with_unavailable(
    tmp_path: Path, asked: list[EngineSampling]
) -> None:
    async with whole_service(tmp_path, scripted("a", **SLOW)) as (service, client):
        stream = Stream(client, "", model="a", temperature=0.0, failure_policy="fail")
        await stream.until(lambda one: len(tokens_of(one)) >= 5)
        kill_worker(service, "a")
        await stream.end()
    assert len(asked) == 1
    assert stream.error is not None
    assert stream.error.status == "UNAVAILABLE"
    assert SAY.startswith(stream.text)


async def test_a_stuck_worker_is_replayed_by_the_watchdog(
    tmp_path: Path, asked: list[EngineSampling]
) -> None:
    stuck = {**AHEAD, "hang_after_steps": 9, "crash_marker": str(tmp_path / "marker")}
    model = {**scripted("a", **stuck), "step_timeout_seconds": 1.0}
    async with whole_service(tmp_path, model) as (_, client):
        stream = await answer(client, "", model="a", temperature=0.0)
    assert stream.text == SAY
    assert len(stream.notices) == 1
    assert len(asked) == 1
