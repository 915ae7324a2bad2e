from __future__ import annotations

import pytest

from quorate.remotes import RemoteSettings, unsupported
from quorate.remotes.counts import Report
from quorate.remotes.failures import CallFailed
from quorate.remotes.wire import finish_reason, foreign_word, read_chunk
from quorate.request import (
    ChatPrompt,
    FinishReason,
    Message,
    Request,
    ResponseOptions,
    SamplingOptions,
    StoppingOptions,
    TextPrompt,
)

CHAT = ChatPrompt((Message("user", "Hi"),))
SETTINGS = RemoteSettings(base_url="https://api.example.com/v1", model="big")


def test_what_the_protocol_has_is_supported():
    sampling = SamplingOptions(
        temperature=0.7, top_p=0.9, seed=3, presence_penalty=0.5, frequency_penalty=-0.5
    )
    stopping = StoppingOptions(max_tokens=9, max_bytes=99, stop=("a", "b", "c", "d"))
    assert unsupported(Request(CHAT, sampling=sampling, stopping=stopping), SETTINGS) == ()


def test_values_that_change_nothing_are_no_obstacle():
    neutral = SamplingOptions(top_k=0, min_p=0.0, repetition_penalty=1.0)
    assert unsupported(Request(CHAT, sampling=neutral), SETTINGS) == ()


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        (Request(CHAT, sampling=SamplingOptions(top_k=40)), "sampling.top_k"),
        (Request(CHAT, sampling=SamplingOptions(min_p=0.05)), "sampling.min_p"),
        (
            Request(CHAT, sampling=SamplingOptions(repetition_penalty=1.1)),
            "sampling.repetition_penalty",
        ),
        (Request(CHAT, sampling=SamplingOptions(logit_bias={7: 1.0})), "sampling.logit_bias"),
        (Request(CHAT, response=ResponseOptions(top_logprobs=1)), "response.top_logprobs"),
        (Request(CHAT, response=ResponseOptions(member_votes=True)), "response.member_votes"),
        (Request(CHAT, stopping=StoppingOptions(stop=tuple("abcde"))), "stopping.stop"),
        (Request(TextPrompt("Once")), "prompt.text"),
        (
            Request(ChatPrompt((Message("user", "Hi"), Message("assistant", "Well,")))),
            "chat.messages that end with the assistant's",
        ),
    ],
)
def test_what_would_be_ignored_is_named(request_, named):
    assert unsupported(request_, SETTINGS) == (named,)


def test_all_that_would_be_ignored_is_named():
    request = Request(TextPrompt("x"), sampling=SamplingOptions(top_k=1, min_p=0.5))
    assert unsupported(request, SETTINGS) == ("prompt.text", "sampling.top_k", "sampling.min_p")


def test_a_remote_can_have_more():
    able = RemoteSettings(
        base_url="https://api.example.com/v1", model="m", text_prompts=True, max_stop_strings=5
    )
    request = Request(TextPrompt("x"), stopping=StoppingOptions(stop=tuple("abcde")))
    assert unsupported(request, able) == ()


@pytest.mark.parametrize(
    ("word", "stop_string", "generated", "expected"),
    [
        ("stop", None, 3, FinishReason.END_OF_GENERATION),
        ("stop", "END", 3, FinishReason.STOP_STRING),
        ("eos", None, 3, FinishReason.END_OF_GENERATION),
        ("length", None, 10, FinishReason.MAX_TOKENS),
        ("length", None, None, FinishReason.MAX_TOKENS),
        ("length", None, 3, FinishReason.CONTEXT_FULL),
        ("model_length", None, None, FinishReason.CONTEXT_FULL),
    ],
)
def test_words_for_the_end_are_read(word, stop_string, generated, expected):
    assert finish_reason(word, stop_string, generated, max_tokens=10) is expected


@pytest.mark.parametrize("word", ["end_turn", "COMPLETE", "tool_calls", "<script>"])
def test_a_word_that_is_not_known_ends_the_answer(word):
    assert finish_reason(word, None, None, 10) is FinishReason.END_OF_GENERATION


@pytest.mark.parametrize("word", ["error", "abort"])
def test_a_word_for_a_fault_is_one(word):
    with pytest.raises(CallFailed, match=f"ended the answer with {word}"):
        finish_reason(word, None, None, 10)


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("stop", ""),
        ("STOP", ""),
        ("length", ""),
        ("end_turn", "end_turn"),
        ("<b>\x1b[31m", "?b???31m"),
        ("x" * 40, "x" * 32),
    ],
)
def test_a_word_that_is_not_known_is_told_without_what_could_harm(word, told):
    assert foreign_word(word) == told


TEXTS = {
    "a text": ({"content": "Hi"}, ("Hi", "")),
    "null": ({"content": None, "tool_calls": None}, ("", "")),
    "parts": (
        {"content": [{"type": "text", "text": "H"}, {"type": "text", "text": "i"}]},
        ("Hi", ""),
    ),
    "one part": ({"content": {"type": "text", "text": "Hi"}}, ("Hi", "")),
    "thinking": (
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]},
        ("", "hm"),
    ),
    "reasoning_content": ({"reasoning_content": "hm"}, ("", "hm")),
    "reasoning": ({"content": "Hi", "reasoning": "hm"}, ("Hi", "hm")),
    "reasoning object": ({"reasoning": {"text": "hm"}}, ("", "hm")),
    "thinking field": ({"thinking": "hm"}, ("", "hm")),
    "the same twice": (
        {"reasoning": "hm", "reasoning_details": [{"type": "reasoning.text", "text": "hm"}]},
        ("", "hm"),
    ),
    "details alone": ({"reasoning_details": [{"summary": "h"}, {"text": "m"}]}, ("", "hm")),
    "a refusal": ({"content": None, "refusal": "No."}, ("No.", "")),
}


@pytest.mark.parametrize("spelling", TEXTS)
@pytest.mark.parametrize("place", ["delta", "message"])
def test_text_and_reasoning_are_read_in_their_spellings(spelling, place):
    delta, texts = TEXTS[spelling]
    chunk = read_chunk({"choices": [{place: delta}]})
    assert (chunk.text, chunk.hidden) == texts


@pytest.mark.parametrize(
    "event",
    [
        None,
        "ping",
        0,
        {},
        {"type": "ping"},
        {"choices": None},
        {"choices": [{"index": 1, "delta": {"content": "other"}}]},
    ],
)
def test_what_is_no_event_of_the_answer_says_nothing(event):
    chunk = read_chunk(event)
    assert (chunk.text, chunk.hidden, chunk.finish, chunk.report) == ("", "", None, None)


def test_of_several_choices_the_first_one_is_read():
    choices = [
        {"index": 1, "delta": {"content": "b"}, "finish_reason": "length"},
        {"index": 0, "delta": {"content": "a"}},
    ]
    chunk = read_chunk({"choices": choices})
    assert (chunk.text, chunk.finish) == ("a", None)


@pytest.mark.parametrize(
    "event",
    [
        {"usage": {"prompt_tokens": 3, "completion_tokens": 2}},
        {"choices": [{"delta": {}, "usage": {"prompt_tokens": 3, "completion_tokens": 2}}]},
        {"choices": [], "x_groq": {"usage": {"prompt_tokens": 3, "completion_tokens": 2}}},
        {"choices": [], "usage": {"input_tokens": 3, "output_tokens": 2.0}},
    ],
)
def test_counts_are_found_where_servers_put_them(event):
    assert read_chunk(event).report == Report(prompt=3, generated=2)
