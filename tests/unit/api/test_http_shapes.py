"""How answers are told in the words of each protocol, whole and piece by piece."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import pytest

from quorate.api.http.asking import Context
from quorate.api.http.openai.chats import chat_asked
from quorate.api.http.openai.shapes import ChatShape, OpenAIShape, TextShape
from quorate.api.http.openai.texts import text_asked
from quorate.large_texts import as_json
from quorate.request import (
    Accepted,
    Delta,
    Event,
    Finished,
    FinishReason,
    Token,
    TopCandidate,
    Usage,
    Vote,
)
from support.attempts import vote_decision

CONTEXT = Context(models=["a", "b"], profiles=[], request_id="r")
HI = [{"role": "user", "content": "hi"}]
NEVER = -math.inf


def chat_shape(**body: Any) -> ChatShape:
    asked = chat_asked({"messages": HI, "logprobs": True, "top_logprobs": 5, **body}, CONTEXT)
    return ChatShape(asked, "r")


def text_shape(**body: Any) -> TextShape:
    return TextShape(text_asked({"prompt": "x", "logprobs": 5, **body}, CONTEXT), "r")


def answer(*deltas: Delta) -> list[Event]:
    usage = Usage(3, len(deltas), 1.0, 2.0)
    accepted = Accepted("r", vote_decision({"a": 0.5, "b": 0.5}))
    return [accepted, *deltas, Finished(FinishReason.END_OF_GENERATION, usage)]


def whole(shape: OpenAIShape, events: Sequence[Event]) -> dict[str, Any]:
    for event in events:
        shape.add(0, event, keep=True)
    told: dict[str, Any] = json.loads(as_json(shape.whole()))
    return told


def streamed(shape: OpenAIShape, events: Sequence[Event]) -> list[dict[str, Any]]:
    told = []
    for event in events:
        shape.add(0, event, keep=False)
        told += [json.loads(as_json(piece)) for piece in shape.pieces(0, event)]
    return told


def token(piece: bytes, logprob: float = -0.5, *top: TopCandidate, **more: Any) -> Token:
    return Token(None, piece, logprob, top, **more)


def test_what_a_member_can_never_say_has_no_log_prob() -> None:
    votes = (Vote("a", b"x", -0.1, 0.5, NEVER), Vote("b", b"y", NEVER, 0.5, -0.2))
    events = answer(Delta("x", (token(b"x", -0.7, votes=votes),)))
    told = whole(chat_shape(quorate={"votes": True}), events)["quorate"]["votes"]
    (first, second) = told[0]["votes"]
    assert (first["logprob"], first["chosen_logprob"]) == (-0.1, None)
    assert (second["logprob"], second["chosen_logprob"]) == (None, -0.2)
    _, piece, _ = streamed(chat_shape(quorate={"votes": True}), events)
    assert piece["quorate"]["votes"] == told


@pytest.mark.parametrize("shape", [chat_shape, text_shape])
def test_every_log_prob_is_a_number_of_json(shape: Any) -> None:
    top = (TopCandidate(None, b"x", -0.1), TopCandidate(None, b"y", NEVER))
    events = answer(Delta("x", (token(b"x", NEVER, *top),)))
    (choice,) = whole(shape(), events)["choices"]
    logprobs = choice["logprobs"]
    if "content" in logprobs:
        (one,) = logprobs["content"]
        assert one["logprob"] == -9999.0
        assert [(best["token"], best["logprob"]) for best in one["top_logprobs"]] == [("x", -0.1)]
    else:
        assert logprobs["token_logprobs"] == [-9999.0]
        assert logprobs["top_logprobs"] == [{"x": -0.1}]
    assert streamed(shape(), events)[1]["choices"][0]["logprobs"] == logprobs


def test_candidates_that_are_no_whole_text_keep_names_of_their_own() -> None:
    top = [(b"\xf0\x9f", -0.1), (b"\xf0", -0.2), (b"a", -0.3), (b"a", -0.4)]
    chosen = token(b"\xf0\x9f", -0.1, *(TopCandidate(None, *one) for one in top))
    events = answer(Delta("", (chosen,)), Delta("\U0001f600", (token(b"\x98\x80"),)))
    logprobs = whole(text_shape(), events)["choices"][0]["logprobs"]
    assert logprobs["tokens"] == ["bytes:\\xf0\\x9f", "bytes:\\x98\\x80"]
    assert logprobs["top_logprobs"][0] == {"bytes:\\xf0\\x9f": -0.1, "bytes:\\xf0": -0.2, "a": -0.3}


def test_offsets_are_those_of_the_text() -> None:
    pieces = (b"\xc3\xa9", b"\xf0\x9f", b"\x98\x80", b"ab", b"c")
    events = answer(
        Delta("é", (token(pieces[0]),)),
        Delta("\U0001f600ab", tuple(map(token, pieces[1:4]))),
        Delta("c", (token(b"", control=True), token(pieces[4]))),
    )
    (choice,) = whole(text_shape(), events)["choices"]
    assert choice["text"] == "é\U0001f600abc"
    assert choice["logprobs"]["text_offset"] == [0, 1, 1, 2, 4]
    told = streamed(text_shape(), events)
    offsets = [at for one in told[1:-1] for at in one["choices"][0]["logprobs"]["text_offset"]]
    assert offsets == [0, 1, 1, 2, 4]


def test_reasoning_is_part_of_a_text_and_beside_the_answer_of_a_chat() -> None:
    thought = Delta("", (token(b"hm"),), reasoning="hm")
    said = Delta("so", (token(b"so"),))
    events = answer(thought, said)
    (text,) = whole(text_shape(), events)["choices"]
    assert (text["text"], text["logprobs"]["tokens"]) == ("hmso", ["hm", "so"])
    chunks = [one["choices"][0] for one in streamed(text_shape(), events)[1:-1]]
    assert [one["text"] for one in chunks] == ["hm", "so"]
    assert [one["logprobs"]["tokens"] for one in chunks] == [["hm"], ["so"]]
    (chat,) = whole(chat_shape(), events)["choices"]
    assert chat["message"]["content"] == "so"
    assert chat["message"]["reasoning_content"] == "hm"
    assert [one["token"] for one in chat["logprobs"]["content"]] == ["so"]
    chunks = [one["choices"][0] for one in streamed(chat_shape(), events)[1:-1]]
    assert [one["delta"] for one in chunks] == [{"reasoning_content": "hm"}, {"content": "so"}]
    assert chunks[0]["logprobs"] is None
