from __future__ import annotations

import pytest

from quorate.engines.scripted.tokenizer import BOS
from quorate.ensemble.losses import Attendance, Losses
from quorate.ensemble.readings import (
    MAX_CHARACTERS,
    Reading,
    on_the_same_bytes,
    read,
    readable,
)
from quorate.errors import Unavailable
from quorate.request import ChatPrompt, FailurePolicy, Message, TextPrompt
from support.byte_predictors import everything_is_free
from support.scripted_models import fresh_row, scripted_engine


async def test_a_reading_tells_every_token_but_the_first_with_its_bytes() -> None:
    engine = scripted_engine(seed=3)
    text = "the thing"
    tokens = await engine.encode(TextPrompt(text))
    reading = await read(engine, text)
    assert tokens[0] == BOS
    assert list(reading.sizes) == [len(engine.vocabulary.pieces[token]) for token in tokens[1:]]
    assert sum(reading.sizes) == len(text)
    expected = [
        float(fresh_row(tokens[:index], seed=3)[token])
        for index, token in enumerate(tokens)
        if index
    ]
    assert list(reading.logprobs) == pytest.approx(expected)
    assert await everything_is_free(engine)


async def test_of_a_text_that_does_not_fit_the_beginning_is_read() -> None:
    engine = scripted_engine(seed=3, context_length=6)
    whole = await read(scripted_engine(seed=3), "abcdefghij")
    cut = await read(engine, "abcdefghij")
    assert len(cut.logprobs) == 5
    assert list(cut.logprobs) == pytest.approx(list(whole.logprobs)[:5])


async def test_a_text_of_one_token_cannot_be_read() -> None:
    assert await read(scripted_engine(), "") == Reading()


async def test_a_reading_that_fails_leaves_no_session_open() -> None:
    engine = scripted_engine()
    engine.lose("killed by SIGKILL")
    with pytest.raises(Unavailable):
        await read(engine, "abc")
    engine.recover()
    assert await everything_is_free(engine)


def test_what_is_read_of_a_chat_is_what_was_said_without_any_template() -> None:
    chat = ChatPrompt((Message("system", "be brief"), Message("user", "what is it?")))
    assert readable(chat) == "be brief\nwhat is it?"
    assert readable(TextPrompt("as it is")) == "as it is"


def test_of_a_long_prompt_the_end_is_read() -> None:
    text = "x" * 50 + "y" * MAX_CHARACTERS
    assert readable(TextPrompt(text)) == "y" * MAX_CHARACTERS
    chat = ChatPrompt((Message("user", text), Message("user", "z")))
    assert readable(chat) == "y" * (MAX_CHARACTERS - 2) + "\nz"


def test_a_log_prob_is_spread_over_the_bytes_of_its_token() -> None:
    reading = Reading([-1.0, -6.0], [1, 3])
    assert reading.by_byte(4) == [-1.0, -2.0, -2.0, -2.0]
    assert reading.by_byte(2) == [-2.0, -2.0]


def test_members_are_judged_on_the_bytes_that_all_of_them_have_read() -> None:
    cut, whole = Reading([-1.0, -6.0], [1, 3]), Reading([-0.5] * 5, [1] * 5)
    assert on_the_same_bytes([cut, whole]) == [[-1.0, -2.0, -2.0, -2.0], [-0.5] * 4]
    assert on_the_same_bytes([cut, Reading()]) == [[], []]


async def test_where_one_reading_fails_the_others_stop() -> None:
    busy, dead = scripted_engine("busy", sessions=1), scripted_engine("dead")
    holder = await busy.open(8)
    dead.lose("killed by SIGKILL")
    attendance = Attendance({"busy": busy, "dead": dead}, Losses(FailurePolicy.FAIL))
    with pytest.raises(Unavailable):
        await attendance.ask(lambda _, engine: read(engine, "abc"))
    holder.close()
    assert await everything_is_free(busy)


async def test_a_model_that_wants_no_bos_is_read_from_its_first_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = scripted_engine(seed=3)
    with_bos = await read(engine, "the thing")

    async def encode(prompt: TextPrompt) -> list[int]:
        tokens = [BOS, *await engine.encode_continuation(prompt.text)]
        return tokens[1:] if prompt.text else tokens

    monkeypatch.setattr(engine, "encode", encode)
    assert await read(engine, "the thing") == with_bos
