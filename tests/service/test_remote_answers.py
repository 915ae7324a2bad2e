"""What is sent to a remote and what is read of its answer."""

from __future__ import annotations

from quorate.remotes import RemoteEnd, RemoteText, RemoteUsage
from quorate.request import FinishReason, SamplingOptions, TextPrompt
from support.faulty_remote import DONE, HOLD, counted, delta, event, streams
from support.remotes import KEY, QUESTION, answered, asked, remote_that


async def test_an_answer_comes_in_pieces_with_what_the_remote_counted():
    reply = streams(
        delta("", role="assistant"),
        delta("Hel"),
        delta("lo"),
        delta(finish="stop"),
        counted(9, 2, cached=4),
        DONE,
    )
    async with remote_that(reply) as (_, remote):
        events = [item async for item in remote.generate(asked())]
    assert events == [
        RemoteText("Hel", 1),
        RemoteText("lo", 2),
        RemoteEnd(FinishReason.END_OF_GENERATION, RemoteUsage(9, 4, 2), 2),
    ]


async def test_a_chat_is_sent_as_a_chat_with_all_that_was_set():
    sampling = SamplingOptions(
        temperature=0.5, top_p=0.9, seed=7, presence_penalty=0.1, frequency_penalty=0.2
    )
    async with remote_that() as (server, remote):
        await answered(remote, asked(sampling=sampling, stop=("\n\n", "END")))
    (request,) = server.requests
    assert request.path == "/v1/chat/completions"
    assert request.body == {
        "model": "big",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": QUESTION},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 16,
        "temperature": 0.5,
        "top_p": 0.9,
        "seed": 7,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.2,
        "stop": ["\n\n", "END"],
    }


async def test_a_text_is_sent_to_the_older_endpoint():
    reply = streams(
        event({"choices": [{"index": 0, "text": " a time", "finish_reason": None}]}),
        event({"choices": [{"index": 0, "text": "", "finish_reason": "length"}]}),
        DONE,
    )
    settings = {"max_tokens_field": "max_completion_tokens", "stream_usage": False}
    async with remote_that(reply, **settings) as (server, remote):
        text, end = await answered(remote, asked(prompt=TextPrompt("Once upon")))
    (request,) = server.requests
    assert request.path == "/v1/completions"
    assert request.body == {
        "model": "big",
        "prompt": "Once upon",
        "stream": True,
        "max_tokens": 16,
    }
    assert (text, end.finish_reason) == (" a time", FinishReason.MAX_TOKENS)
    assert end.usage == RemoteUsage()
    assert end.streamed_tokens == 2


async def test_nothing_but_the_key_tells_the_remote_who_asks(monkeypatch):
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-somebody")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "project-of-somebody")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-somebody")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "Authorization: Bearer stolen\nX-Trace: 1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    async with remote_that() as (server, remote):
        assert (await answered(remote))[0] == "Hello there"
    headers = dict(server.requests[0].headers)
    assert headers.pop("host") == server.base_url.split("/")[2]
    assert int(headers.pop("content-length")) > 0
    assert headers == {
        "accept": "application/json",
        "accept-encoding": "identity",
        "authorization": f"Bearer {KEY}",
        "connection": "keep-alive",
        "content-type": "application/json",
        "user-agent": "quorate",
    }


async def test_a_remote_without_a_key_gets_none(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-somebody")
    async with remote_that(api_key_env="") as (server, remote):
        await answered(remote)
    assert "authorization" not in server.requests[0].headers


async def test_text_stays_whole_where_a_code_point_is_split_between_packets():
    whole = delta("né 🦦")
    middle = whole.index("🦦".encode()) + 2
    reply = streams(whole[:middle], whole[middle:], delta(finish="stop"), DONE)
    async with remote_that(reply) as (_, remote):
        assert (await answered(remote))[0] == "né 🦦"


async def test_text_stays_whole_where_a_surrogate_pair_is_split_between_events():
    def half(escape: str) -> bytes:
        return b'data: {"choices":[{"delta":{"content":"%s"}}]}\n\n' % escape.encode()

    reply = streams(half("x\\ud83e"), half("\\udda6y"), delta(finish="stop"), DONE)
    async with remote_that(reply) as (_, remote):
        texts = [
            item.text async for item in remote.generate(asked()) if isinstance(item, RemoteText)
        ]
    assert texts == ["x", "🦦y"]


async def test_an_answer_is_cut_at_the_byte_limit_at_a_whole_code_point():
    reply = streams(delta("abc"), delta("déf"), HOLD)
    async with remote_that(reply) as (server, remote):
        text, end = await answered(remote, asked(max_bytes=5))
        await server.client_left()
    assert (text, end.finish_reason) == ("abcd", FinishReason.MAX_BYTES)
