"""Stop strings, and that a text is worth to a score what it was worth while it was written."""

from __future__ import annotations

import pytest

from quorate.client import Client
from quorate.v1 import inference_pb2
from support.streams import Stream

pytestmark = [pytest.mark.real_model, pytest.mark.timeout(300)]

NUMBERS = "one, two, three, four,"


STOPS = pytest.mark.parametrize(
    ("stop", "text"),
    [
        ((" seven",), " five, six,"),
        # Inside of a token, and over the border of two.
        (("ven",), " five, six, se"),
        (("x, se",), " five, si"),
        # The first in the text rules, not the first in the list.
        ((" eight", " six"), " five,"),
    ],
)


async def stopped(client: Client, stop: tuple[str, ...]) -> Stream:
    return await Stream(
        client, NUMBERS, model="small", temperature=0.0, max_tokens=24, stop=stop
    ).whole()


@STOPS
async def test_the_answer_ends_before_a_stop_string(
    client: Client, stop: tuple[str, ...], text: str
) -> None:
    stream = await stopped(client, stop)
    assert stream.text == text
    assert stream.finished is not None
    assert stream.finished.reason == inference_pb2.FINISH_REASON_STOP_STRING


@STOPS
async def test_pieces_end_before_a_stop_string_too(
    client: Client, stop: tuple[str, ...], text: str
) -> None:
    stream = await stopped(client, stop)
    assert b"".join(token.piece for token in stream.tokens).decode() == text


async def test_a_stop_string_ends_a_byte_exact_vote_too(client: Client) -> None:
    stream = await Stream(
        client, NUMBERS, models=["small", "gemma"], temperature=0.0, max_bytes=40, stop=[", six"]
    ).whole()
    assert stream.text == " five"
    assert stream.finished is not None
    assert stream.finished.reason == inference_pb2.FINISH_REASON_STOP_STRING


@pytest.mark.parametrize(
    "plan",
    [{"model": "small"}, {"model": "gemma"}, {"models": {"small": 0.5, "large": 0.5}}],
    ids=["small", "gemma", "vote"],
)
async def test_a_score_is_the_sum_of_what_the_stream_said(
    client: Client, plan: dict[str, object]
) -> None:
    prompt = "The three primary colours are"
    stream = await Stream(
        client,
        prompt,
        temperature=0.0,
        max_tokens=10,
        **plan,  # type: ignore[arg-type]
    ).whole()
    score = await client.score(prompt, stream.text, **plan)  # type: ignore[arg-type]
    streamed = [token for token in stream.tokens if token.piece]
    assert [token.piece for token in score.tokens] == [token.piece for token in streamed]
    assert score.bytes == len(stream.text.encode())
    # 4-bit kernels round otherwise in a batch of another shape.
    for scored, said in zip(score.tokens, streamed, strict=True):
        assert scored.logprob == pytest.approx(said.logprob, abs=0.3)
    said_in_all = sum(token.logprob for token in streamed)
    assert score.logprob == pytest.approx(said_in_all, abs=0.05 * len(streamed))


async def test_a_byte_exact_score_is_the_sum_of_what_the_stream_said(client: Client) -> None:
    asked = {"models": ["small", "gemma"], "weighting": "static"}
    prompt = "The capital of France is"
    stream = await Stream(client, prompt, temperature=0.0, max_bytes=12, **asked).whole()
    score = await client.score(prompt, stream.text, **asked)
    said = sum(token.logprob for token in stream.tokens)
    assert score.bytes == 12
    assert score.logprob == pytest.approx(said, abs=0.6)


async def test_the_text_a_model_wrote_is_likelier_than_another(client: Client) -> None:
    prompt = "The capital of France is"
    right = await client.score(prompt, " Paris", model="gemma")
    wrong = await client.score(prompt, " Cairo", model="gemma")
    assert right.logprob > wrong.logprob + 2
