"""A remote that is real: llama-cpp-python's server with SmolLM2, over loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing

import pytest

from quorate.remotes import RemoteText, RemoteUsage
from quorate.request import ChatPrompt, FinishReason, Message, SamplingOptions, TextPrompt
from support.gguf_files import smollm2
from support.llama_server import LlamaServer, llama_server
from support.remotes import KEY, QUESTION, answered, asked, failed, opened

pytestmark = pytest.mark.demo_model

CAPITAL = ChatPrompt((Message("user", "What is the capital of France? Answer briefly."),))
NUMBERS = TextPrompt("one, two, three, four,")
GREEDY = SamplingOptions(temperature=0.0)


@pytest.fixture(scope="module")
def server() -> Iterator[LlamaServer]:
    with llama_server(smollm2(), "--api_key", KEY) as running:
        yield running


async def test_a_chat_is_answered(server: LlamaServer):
    async with opened(server.base_url) as remote:
        text, end = await answered(remote, asked(prompt=CAPITAL, sampling=GREEDY, max_tokens=64))
    assert "Paris" in text
    assert end.finish_reason is FinishReason.END_OF_GENERATION
    # This server does not count the tokens of a stream.
    assert end.usage == RemoteUsage()
    assert 0 < end.streamed_tokens < 64


async def test_a_text_goes_on_in_pieces_up_to_the_limit(server: LlamaServer):
    async with opened(server.base_url, text_prompts=True) as remote:
        request = asked(prompt=NUMBERS, sampling=GREEDY, max_tokens=6)
        *texts, end = [item async for item in remote.generate(request)]
    assert "".join(item.text for item in texts).startswith(" five, six")
    assert len(texts) == 6
    # " five" has five bytes, of which four are taken for a token where they outnumber the pieces.
    assert [item.streamed_tokens for item in texts] == [2, 2, 3, 4, 5, 6]
    assert (end.finish_reason, end.streamed_tokens) == (FinishReason.MAX_TOKENS, 6)


async def test_a_stop_string_ends_the_answer_before_it(server: LlamaServer):
    async with opened(server.base_url, text_prompts=True) as remote:
        request = asked(prompt=NUMBERS, sampling=GREEDY, stop=(" seven",), max_tokens=32)
        text, end = await answered(remote, request)
    assert text == " five, six,"
    assert end.finish_reason is FinishReason.END_OF_GENERATION


async def test_requests_at_once_are_all_answered(server: LlamaServer):
    async with opened(server.base_url, text_prompts=True) as remote:
        request = asked(prompt=NUMBERS, sampling=GREEDY, max_tokens=2)
        answers = await asyncio.gather(*(answered(remote, request) for _ in range(4)))
    assert [text for text, _ in answers] == [" five,"] * 4


async def test_an_answer_that_nobody_hears_any_more_frees_the_server(server: LlamaServer):
    async with opened(server.base_url, text_prompts=True) as remote:
        endless = asked(prompt=NUMBERS, sampling=GREEDY, max_tokens=450)
        async with aclosing(remote.generate(endless)) as stream:
            heard = await anext(stream)
        assert isinstance(heard, RemoteText)
        await asyncio.to_thread(server.wait_for_log, "Disconnected from client")
        # The server does one thing at a time.
        text, _ = await answered(remote, asked(prompt=NUMBERS, sampling=GREEDY, max_tokens=2))
    assert text.startswith(" five")


async def test_an_address_at_which_there_is_no_api_is_told_and_held_against_nobody(
    server: LlamaServer,
):
    async with opened(f"{server.base_url}/nowhere") as remote:
        error, texts = await failed(remote)
        assert remote.available() is None
    assert error.cause == "answered HTTP 404 Not Found"
    assert texts == []


async def test_what_the_server_says_of_a_wrong_request_does_not_repeat_the_prompt(
    server: LlamaServer,
):
    wrong = ChatPrompt((Message("wizard", QUESTION),))
    async with opened(server.base_url, max_retries=0) as remote:
        error, _ = await failed(remote, asked(prompt=wrong))
    # This server answers 500 and quotes the whole request.
    assert error.cause.startswith("answered HTTP 500 Internal Server Error")


async def test_a_key_that_the_server_does_not_know_is_told(server: LlamaServer):
    async with opened(server.base_url, api_key_env="") as remote:
        error, _ = await failed(remote)
    assert error.cause == "answered HTTP 401 Unauthorized; it wants a key; set api_key_env"
    await asyncio.to_thread(server.wait_for_log, '"POST /v1/chat/completions HTTP/1.1" 401')
    assert "POST /v1/chat/completions 401" in server.requests


async def test_a_prompt_that_does_not_fit_fails_in_one_line(server: LlamaServer):
    async with opened(server.base_url, text_prompts=True, max_retries=0) as remote:
        error, texts = await failed(remote, asked(prompt=TextPrompt("one " * 2000)))
    # This server begins its answer before it looks at the length, and then breaks it off.
    assert error.cause == "the stream ended before the answer did"
    assert texts == []
