from __future__ import annotations

import pytest

from quorate.remotes import RemoteSettings, unsupported
from quorate.request import (
    ChatPrompt,
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
