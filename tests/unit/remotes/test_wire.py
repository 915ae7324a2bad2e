from __future__ import annotations

import pytest

from quorate.remotes import RemoteSettings, unsupported
from quorate.remotes.failures import CallFailed
from quorate.remotes.wire import finish_reason
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


@pytest.mark.parametrize("word", ["<script>", "x" * 40, "été", "a b"])
def test_a_strange_word_is_not_repeated(word):
    with pytest.raises(CallFailed) as caught:
        finish_reason(word, None, None, 10)
    assert caught.value.failure.cause == "ended the answer for a reason that is not known here"
