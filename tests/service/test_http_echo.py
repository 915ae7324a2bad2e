"""Prompts that are judged token by token, as programs that compare models ask for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openai
import pytest

from quorate.client import Client
from quorate.dispatch import Dispatcher
from quorate.request import Score, ScoreRequest
from support.gguf_files import stories260k
from support.http_door import door
from support.whole_service import gguf, scripted

TEXT, GOES_ON = "once upon a", " time there was"


def judged(choice: Any, known: int) -> float:
    """What lm-evaluation-harness makes of an echo with one more token, behind ``known`` tokens."""
    return float(sum(choice.logprobs.token_logprobs[known:-1]))


@pytest.mark.parametrize("plan", ["a", "vote:a+b"])
async def test_log_likelihoods_are_those_of_a_score(tmp_path: Path, plan: str) -> None:
    models = [gguf(name, stories260k()) for name in ("a", "b")]
    async with door(tmp_path, *models) as (service, client), Client(service.address) as other:
        before = (await other.tokenize("a", TEXT)).tokens
        behind = (await other.tokenize("a", GOES_ON, continuation=True)).tokens
        score = await other.score(TEXT, GOES_ON, models=plan.removeprefix("vote:").split("+"))
        ask: Any = {"model": plan, "max_tokens": 1, "logprobs": 1, "echo": True, "temperature": 0}
        told = await client.completions.create(prompt=[*before, *behind], **ask)
        (choice,) = told.choices
        assert len(choice.logprobs.tokens) == len(before) + len(behind) + 1
        assert choice.logprobs.token_logprobs[0] is None
        assert choice.logprobs.top_logprobs[0] is None
        assert judged(choice, len(before)) == pytest.approx(score.logprob, abs=1e-3)
        greedy = [
            own == max(top.values())
            for own, top in zip(
                choice.logprobs.token_logprobs[1:], choice.logprobs.top_logprobs[1:], strict=True
            )
        ]
        assert greedy[-1] and not all(greedy)
        assert told.usage is not None
        assert told.usage.prompt_tokens == len(before) + len(behind)
        assert told.usage.completion_tokens == 1
        # Several at once, and nothing but what was asked about.
        both = await client.completions.create(
            prompt=[[*before, *behind], [*before]], **{**ask, "max_tokens": 0}
        )
        assert [len(one.logprobs.tokens) for one in both.choices if one.logprobs] == [
            len(before) + len(behind),
            len(before),
        ]
        assert sum(both.choices[0].logprobs.token_logprobs[len(before) :]) == pytest.approx(
            score.logprob, abs=1e-3
        )
        assert both.usage is not None and both.usage.completion_tokens == 0


async def test_a_text_is_echoed_without_what_begins_every_text(tmp_path: Path) -> None:
    async with door(tmp_path, gguf("a", stories260k())) as (_, client):
        ask: Any = {"model": "a", "prompt": TEXT, "echo": True, "logprobs": 0, "temperature": 0}
        told = await client.completions.create(max_tokens=4, **ask)
        plain = await client.completions.create(model="a", prompt=TEXT, max_tokens=4, temperature=0)
        (choice,) = told.choices
        assert choice.text.strip() == (TEXT + plain.choices[0].text).strip()
        assert None not in choice.logprobs.token_logprobs
        assert choice.logprobs.text_offset[0] == 0
        parts = [
            piece.choices[0].text
            async for piece in await client.completions.create(max_tokens=4, stream=True, **ask)
        ]
        assert "".join(parts) == choice.text


async def test_a_prompt_of_tokens_is_answered_as_its_text(tmp_path: Path) -> None:
    async with door(tmp_path) as (service, client), Client(service.address) as other:
        tokens = [*(await other.tokenize("a", "one two")).tokens]
        ask: Any = {"model": "a", "max_tokens": 6, "temperature": 0}
        by_tokens = await client.completions.create(prompt=tokens, **ask)
        by_text = await client.completions.create(prompt="one two", **ask)
        lone = await client.completions.create(
            model="a", prompt=tokens[-1:], echo=True, logprobs=1, max_tokens=0
        )
        assert lone.choices[0].logprobs.token_logprobs == [None]
        assert lone.usage is not None and lone.usage.prompt_tokens == 1
        assert by_tokens.choices[0].text == by_text.choices[0].text


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"prompt": [3, 999_999]}, "prompt[1]: is 999999"),
        ({"prompt": [3, -1]}, "prompt[1]: is no token id"),
        ({"prompt": [[]]}, "prompt[0]: is empty"),
        ({"prompt": [[3], [4, 999_999]], "n": 2}, "prompt[1][1]: is 999999"),
        ({"prompt": ["x", "y " * 9000]}, "prompt[1]: is too long"),
        ({"prompt": [[3], [4, 999_999]], "echo": True}, "prompt[1][1]: is 999999"),
        ({"prompt": [3, 4], "model": "vote:a+words"}, "have no common vocabulary"),
        ({"prompt": [3, 4], "model": "up"}, "a, words have no common vocabulary; give a text"),
        ({"prompt": [3, 4], "model": "auto"}, "name the model whose tokens they are"),
        (
            {"prompt": "x", "echo": True, "model": "vote:a+words"},
            "echo: needs a plan whose members",
        ),
    ],
)
async def test_tokens_that_nobody_has_are_refused(
    tmp_path: Path, body: dict[str, Any], told: str
) -> None:
    models = (scripted("a"), scripted("words", vocabulary="words"))
    up = {"stages": [{"members": ["a"]}, {"members": ["words"]}]}
    async with door(tmp_path, *models, profiles={"up": up}) as (_, client):
        with pytest.raises(openai.BadRequestError) as refused:
            await client.completions.create(**{"model": "a", "max_tokens": 2, **body})
    assert told in str(refused.value)


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Tokens of each text that are really scored."""
    lengths: list[int] = []
    score = Dispatcher.score

    async def noting(self: Dispatcher, request: ScoreRequest) -> Score:
        lengths.append(len(request.continuation_tokens))
        return await score(self, request)

    monkeypatch.setattr(Dispatcher, "score", noting)
    return lengths


QUESTION = [*range(300, 340)]
JUDGE: dict[str, Any] = {"max_tokens": 0, "logprobs": 1, "echo": True}


@pytest.mark.parametrize("plan", ["a", "vote:a+b"])
async def test_a_text_that_begins_like_another_is_scored_from_where_they_differ(
    tmp_path: Path, scored: list[int], plan: str
) -> None:
    async with door(tmp_path, *(gguf(name, stories260k()) for name in ("a", "b"))) as (_, client):
        ask: Any = {**JUDGE, "model": plan}
        for answer in ([400, 401], [410, 411, 412]):
            prompt = [*QUESTION, *answer]
            told = (await client.completions.create(prompt=prompt, **ask)).choices[0].logprobs
            # What differs in what is shown is computed for itself.
            whole = await client.completions.create(prompt=prompt, **{**ask, "logprobs": 2})
            anew = whole.choices[0].logprobs
            assert told.tokens == anew.tokens
            assert told.token_logprobs[1:] == pytest.approx(anew.token_logprobs[1:], abs=1e-3)
        assert scored == [41, 41, 3, 3]


async def test_texts_of_one_request_that_begin_alike_wait_for_the_first(
    tmp_path: Path, scored: list[int]
) -> None:
    async with door(tmp_path, gguf("a", stories260k())) as (_, client):
        prompts = [[*QUESTION, 400 + place] for place in range(4)]
        told = await client.completions.create(model="a", prompt=prompts, **JUDGE)
        assert sorted(scored) == [1, 1, 1, 40]
        assert len({tuple(one.logprobs.token_logprobs[1:40]) for one in told.choices}) == 1
        assert len({one.logprobs.token_logprobs[40] for one in told.choices}) == 4


async def test_a_model_that_was_loaded_again_is_asked_again(
    tmp_path: Path, scored: list[int]
) -> None:
    async with (
        door(tmp_path, gguf("a", stories260k())) as (service, client),
        Client(service.address) as other,
    ):
        for _ in range(2):
            await client.completions.create(model="a", prompt=QUESTION, **JUDGE)
        await other.unload("a")
        await other.load("a")
        await client.completions.create(model="a", prompt=QUESTION, **JUDGE)
    assert scored == [39, 1, 39]


async def test_an_echo_is_of_the_plan_with_all_that_it_says(tmp_path: Path) -> None:
    models = [gguf(name, stories260k()) for name in ("a", "b")]
    profiles = {
        name: {"members": ["a", "b"], "weighting": "bayesian", "forgetting": forgetting}
        for name, forgetting in (("keeps", 1.0), ("forgets", 0.01))
    }
    known: list[Any] = []

    async def noted(self: Dispatcher, request: ScoreRequest) -> Score:
        known.append(request.plan)
        return await score(self, request)

    score, context = Dispatcher.score, pytest.MonkeyPatch.context()
    async with door(tmp_path, *models, profiles=profiles) as (_, client):
        with context as patch:
            patch.setattr(Dispatcher, "score", noted)
            for name in profiles:
                await client.completions.create(model=name, prompt=QUESTION, **JUDGE)
    assert [one.forgetting for one in known] == [1.0, 0.01]


async def test_weights_that_depend_on_what_came_before_have_all_of_it_scored(
    tmp_path: Path, scored: list[int]
) -> None:
    learns = {"members": ["a", "b"], "weighting": "bayesian"}
    models = [gguf(name, stories260k()) for name in ("a", "b")]
    async with door(tmp_path, *models, profiles={"learns": learns}) as (_, client):
        for _ in range(2):
            await client.completions.create(model="learns", prompt=QUESTION, **JUDGE)
    assert scored == [39, 39]
