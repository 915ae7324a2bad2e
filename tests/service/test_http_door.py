"""The HTTP API over a real port, asked by OpenAI's own client, by raw sockets and by strangers."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from quorate.app.service import Service
from quorate.client import Client
from support.streams import answer
from support.whole_service import scripted, whole_service

SAY = "the quick brown fox jumps over the lazy dog and runs away"
TOKEN = "token-of-alice-5f1c"
KEYS = {"alice": {"sha256": hashlib.sha256(TOKEN.encode()).hexdigest()}}
HI: list[Any] = [{"role": "user", "content": "hi"}]
DEADLINE_SECONDS = 60.0
HEAD_SECONDS = 0.3


@asynccontextmanager
async def door(
    home: Path, *models: dict[str, Any], http: dict[str, Any] | None = None, **sections: Any
) -> AsyncIterator[tuple[Service, openai.AsyncOpenAI]]:
    every = {
        "http": {"listen": "127.0.0.1:0", **(http or {})},
        "routing": {"probe": False, "exploration": 0.0},
        **sections,
    }
    models = models or (scripted("a", say=SAY, seed=1), scripted("b", say=SAY, seed=2))
    token = TOKEN if "keys" in sections else None
    async with whole_service(home, *models, sections=every, token=token) as (service, _):
        client = openai.AsyncOpenAI(
            base_url=f"http://{service.http_address}/v1", api_key=TOKEN, max_retries=0
        )
        async with client, asyncio.timeout(DEADLINE_SECONDS):
            yield service, client


@asynccontextmanager
async def connection(
    service: Service,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    host, _, port = service.http_address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.close()


async def raw(service: Service, request: bytes) -> tuple[int, dict[str, Any]]:
    """Status and body of what answers these bytes."""
    async with connection(service) as (reader, writer):
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        status = int(head.split()[1])
        (length,) = [
            int(line.split(b":")[1])
            for line in head.lower().splitlines()
            if line.startswith(b"content-length")
        ]
        return status, json.loads(await reader.readexactly(length))


def post(path: str, body: bytes, *headers: str, length: int | None = None) -> bytes:
    lines = [
        f"POST {path} HTTP/1.1",
        "host: localhost",
        f"content-length: {length or len(body)}",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def idle(service: Service) -> None:
    while service.dispatcher.running or service.dispatcher.waiting:
        await asyncio.sleep(0.01)


async def test_a_chat_is_answered_as_over_grpc_whole_and_in_pieces(tmp_path: Path) -> None:
    options: dict[str, Any] = {"temperature": 0.0, "max_tokens": 12}
    async with door(tmp_path) as (service, client):
        ask = client.chat.completions.create
        whole = await ask(model="vote:a+b", messages=HI, logprobs=True, top_logprobs=3, **options)
        pieces = [
            piece
            async for piece in await ask(
                model="vote:a+b",
                messages=HI,
                stream=True,
                stream_options={"include_usage": True},
                **options,
            )
        ]
        async with Client(service.address) as other:
            heard = await answer(
                other, None, messages=[("user", "hi")], models=["a", "b"], **options
            )
    (choice,) = whole.choices
    assert choice.message.content == heard.text
    assert "".join(one.choices[0].delta.content or "" for one in pieces[:-1]) == heard.text
    assert choice.finish_reason == "length"
    assert [one.choices[0].finish_reason for one in pieces[:-1]][-1] == "length"
    assert whole.usage is not None and whole.usage.completion_tokens == 12
    assert pieces[-1].choices == [] and pieces[-1].usage is not None
    assert pieces[-1].usage.total_tokens == whole.usage.total_tokens
    assert choice.logprobs is not None and choice.logprobs.content is not None
    told = choice.logprobs.content
    assert b"".join(bytes(one.bytes or []) for one in told).decode("utf-8", "replace")
    assert [len(one.top_logprobs) for one in told] == [3] * 12
    # Greedy: what was chosen is the best of those shown.
    assert all(one.logprob == one.top_logprobs[0].logprob for one in told)
    extra = whole.model_extra["quorate"]
    assert [one["model"] for one in extra["members"]] == ["a", "b"]
    assert extra["energy_tier"] in ("estimated", "measured") and extra["joules"] > 0


async def test_completions_have_several_choices_of_several_prompts(tmp_path: Path) -> None:
    async with door(tmp_path) as (_, client):
        told = await client.completions.create(
            model="a", prompt=["one", "two"], n=2, seed=3, max_tokens=5, logprobs=1
        )
        assert [one.index for one in told.choices] == [0, 1, 2, 3]
        assert all(len(one.logprobs.tokens) == 5 for one in told.choices if one.logprobs)
        assert told.usage is not None
        assert told.usage.completion_tokens == 20
        single = await client.completions.create(model="a", prompt="one", max_tokens=1)
        assert single.usage is not None
        # Both prompts have as many tokens, and count once for each.
        assert told.usage.prompt_tokens == 2 * single.usage.prompt_tokens
        streamed: dict[int, str] = {}
        async for piece in await client.completions.create(
            model="a", prompt=["one", "two"], n=2, seed=3, max_tokens=5, stream=True
        ):
            for one in piece.choices:
                streamed[one.index] = streamed.get(one.index, "") + one.text
        assert streamed == {one.index: one.text for one in told.choices}


async def test_models_are_whatever_can_be_asked_for(tmp_path: Path) -> None:
    profiles = {"pair": {"members": ["a", "b"]}}
    async with door(tmp_path, profiles=profiles) as (_, client):
        listed = [one.id async for one in client.models.list()]
        assert listed == ["pair", "a", "b", "auto"]
        for name in listed:
            assert (await client.models.retrieve(name)).id == name
            told = await client.completions.create(model=name, prompt="x", max_tokens=2)
            assert told.model == name
        with pytest.raises(openai.NotFoundError):
            await client.models.retrieve("c")


async def test_texts_become_tokens_and_back_as_over_grpc(tmp_path: Path) -> None:
    async with door(tmp_path) as (service, _):

        async def ask(path: str, **body: Any) -> tuple[int, dict[str, Any]]:
            return await raw(service, post(path, json.dumps(body).encode()))

        async with Client(service.address) as other:
            known = await other.tokenize("a", "the fox")
            chat = await other.tokenize("a", messages=[("user", "hi")])
        status, told = await ask("/tokenize", model="a", prompt="the fox", with_pieces=True)
        assert status == 200
        assert told["tokens"] == list(known.tokens)
        assert (told["count"], told["max_model_len"]) == (len(known.tokens), 512)
        assert [one["id"] for one in told["pieces"]] == told["tokens"]
        back = await ask("/detokenize", model="a", tokens=told["tokens"])
        assert back == (200, {"prompt": "the fox", "content": "the fox"})
        _, told = await ask("/tokenize", model="a", messages=HI)
        assert told["tokens"] == list(chat.tokens)
        for field, body in {
            "model": {"prompt": "x"},
            "prompt": {"model": "a"},
            "tokens[1]": {"model": "a", "tokens": [1, "2"]},
            "tokens[0]": {"model": "a", "tokens": [10**6]},
        }.items():
            path = "/detokenize" if "tokens" in body else "/tokenize"
            status, told = await ask(path, **body)
            assert (status, told["error"]["param"]) == (400, field)
        assert (await ask("/tokenize", model="c", prompt="x"))[0] == 404


async def test_errors_are_those_of_openai_with_our_reasons(tmp_path: Path) -> None:
    async with door(tmp_path) as (service, client):
        with pytest.raises(openai.BadRequestError) as refused:
            await client.chat.completions.create(model="a", messages=HI, temperature=-1)
        assert refused.value.param == "temperature"
        assert refused.value.code == "invalid_field"
        assert refused.value.request_id
        with pytest.raises(openai.NotFoundError, match="did you mean a"):
            await client.chat.completions.create(model="aa", messages=HI)
        with pytest.raises(openai.BadRequestError) as long:
            await client.completions.create(model="a", prompt="x" * 5000, stream=True)
        assert long.value.code == "prompt_too_long"
        with pytest.raises(openai.BadRequestError, match="embeddings"):
            await client.embeddings.create(model="a", input="x")
        status, told = await raw(service, post("/v1/completions", b"{"))
        assert status == 400
        assert told["error"]["message"] == "body: is not JSON at line 1; send an object"


async def test_who_leaves_frees_what_was_held(tmp_path: Path) -> None:
    slow = scripted("slow", say=SAY * 100, step_delay_ms=20.0)
    async with door(tmp_path, slow) as (service, client):
        stream = await client.completions.create(
            model="slow", prompt="x", max_tokens=400, stream=True
        )
        await anext(aiter(stream))
        assert service.dispatcher.running == 1
        await stream.close()
        await idle(service)
        # One that waits for a whole answer is missed as well.
        whole = asyncio.ensure_future(
            client.completions.create(model="slow", prompt="x", max_tokens=400)
        )
        while not service.dispatcher.running:
            await asyncio.sleep(0.01)
        whole.cancel()
        await asyncio.gather(whole, return_exceptions=True)
        await idle(service)


async def test_whoever_has_no_key_learns_nothing_but_health(tmp_path: Path) -> None:
    async with door(tmp_path, keys=KEYS) as (service, client):
        assert (await client.completions.create(model="a", prompt="x", max_tokens=2)).choices
        stranger = client.with_options(api_key="wrong")
        with pytest.raises(openai.AuthenticationError):
            await stranger.completions.create(model="a", prompt="x")
        with pytest.raises(openai.AuthenticationError):
            await stranger.models.list()
        for path in ("/v1/nothing", "/v1/models"):
            status, _ = await raw(
                service, f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()
            )
            assert status == 401
        health = await raw(service, b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert health == (200, {"status": "ok"})


async def test_pages_of_other_sites_may_not_ask(tmp_path: Path) -> None:
    body = json.dumps({"model": "a", "prompt": "x", "max_tokens": 1}).encode()
    async with door(tmp_path) as (service, _):
        evil = post("/v1/completions", body, "origin: http://evil.example")
        status, told = await raw(service, evil)
        assert (status, told["error"]["code"]) == (403, "permission_denied")
        status, _ = await raw(service, post("/v1/completions", body, "origin: http://localhost"))
        assert status == 200
        # A name that was made to stand for this machine, so that the page is of this server.
        rebound = post("/v1/completions", body, "origin: http://evil.example")
        rebound = rebound.replace(b"host: localhost", b"host: evil.example")
        status, told = await raw(service, rebound)
        assert (status, told["error"]["code"]) == (403, "permission_denied")


async def test_a_body_that_is_too_large_is_refused_before_it_has_come(tmp_path: Path) -> None:
    async with door(tmp_path, http={"max_body_bytes": 2048}) as (service, _):
        status, told = await raw(service, post("/v1/completions", b"{", length=10**9))
        assert (status, told["error"]["param"]) == (400, "body")
        chunked = (
            b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\n"
            + b"transfer-encoding: chunked\r\n\r\n"
            + b"1000\r\n"
            + b"x" * 0x1000
        )
        status, told = await raw(service, chunked)
        assert (status, told["error"]["param"]) == (400, "body")
        packed = post("/v1/completions", b"\x1f\x8b", "content-encoding: gzip")
        status, told = await raw(service, packed)
        assert (status, told["error"]["param"]) == (400, "content-encoding")


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"GET /hea",
        b"GET /health HTTP/1.1\r\nhost: localhost\r\n",
        # A second request, behind one that was answered.
        b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\nGET /",
        # The rest of a body that nobody wants.
        b"POST /v1/nothing HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000\r\n\r\nx",
    ],
)
async def test_a_request_that_comes_byte_by_byte_loses_its_connection(
    tmp_path: Path, begun: bytes
) -> None:
    async with (
        door(tmp_path, http={"head_seconds": HEAD_SECONDS}) as (service, client),
        connection(service) as (reader, writer),
    ):
        writer.write(begun)

        async def drip() -> None:
            while True:
                await asyncio.sleep(0.05)
                writer.write(b"x")

        dripping = asyncio.ensure_future(drip())
        try:
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                while True:
                    await reader.readexactly(1)
        finally:
            dripping.cancel()
            await asyncio.gather(dripping, return_exceptions=True)
        assert (await client.completions.create(model="a", prompt="x", max_tokens=2)).choices


async def test_connections_beyond_the_limit_are_closed_as_they_come(tmp_path: Path) -> None:
    health = b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n"
    async with door(tmp_path, http={"max_connections": 2}) as (service, _):
        async with (
            connection(service),
            connection(service),
            connection(service) as (reader, _),
        ):
            assert await reader.read() == b""
        # Until the server has seen that they are gone.
        while True:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                assert await raw(service, health) == (200, {"status": "ok"})
                break


async def test_a_body_that_does_not_end_is_told_so(tmp_path: Path) -> None:
    async with door(tmp_path, http={"receive_seconds": 0.3}) as (service, _):
        status, told = await raw(service, post("/v1/completions", b"{", length=100))
        assert (status, told["error"]["code"]) == (408, "peer_stalled")


async def test_a_stream_that_the_end_of_the_server_cuts_is_told_so(tmp_path: Path) -> None:
    slow = scripted("slow", say=SAY * 100, step_delay_ms=20.0)
    async with door(tmp_path, slow) as (service, client):
        stream = await client.completions.create(
            model="slow", prompt="x", max_tokens=400, stream=True
        )
        pieces = aiter(stream)
        await anext(pieces)

        async def read() -> None:
            async for _ in pieces:
                pass

        reading = asyncio.ensure_future(read())
        assert service.http is not None
        await service.http.stop()
        with pytest.raises(openai.APIError, match="server stopped"):
            await reading
        await idle(service)


async def test_one_caller_may_have_so_many_calls_open_over_both_doors(tmp_path: Path) -> None:
    slow = scripted("slow", say=SAY * 100, step_delay_ms=20.0)
    async with door(tmp_path, slow, keys=KEYS) as (service, client):
        calls = service.server.open_calls
        with calls.one("key alice"):
            for _ in range(1023):
                calls._open["key alice"] += 1
            with pytest.raises(openai.RateLimitError, match="calls open"):
                await client.completions.create(model="slow", prompt="x", max_tokens=2)
            calls._open["key alice"] -= 1023


async def test_a_message_is_answered_as_a_chat_is_whole_and_in_pieces(tmp_path: Path) -> None:
    async with door(tmp_path, keys=KEYS) as (service, client):
        chat = await client.chat.completions.create(
            model="vote:a+b",
            messages=[{"role": "system", "content": "be brief"}, *HI],
            max_tokens=9,
            temperature=0.0,
        )
        asked: dict[str, Any] = {
            "model": "vote:a+b",
            "system": "be brief",
            "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
            "max_tokens": 9,
            # No longer an argument of its own.
            "extra_body": {"temperature": 0.0},
        }
        url = f"http://{service.http_address}"
        async with anthropic.AsyncAnthropic(base_url=url, api_key=TOKEN, max_retries=0) as other:
            whole = await other.messages.create(**asked)
            async with other.messages.stream(**asked) as stream:
                text = "".join([piece async for piece in stream.text_stream])
                final = await stream.get_final_message()
            with pytest.raises(anthropic.BadRequestError) as refused:
                await other.messages.create(**{**asked, "max_tokens": 0})
            with pytest.raises(anthropic.NotFoundError):
                await other.messages.create(**{**asked, "model": "c"})
            with pytest.raises(anthropic.AuthenticationError):
                await other.with_options(api_key="wrong").messages.create(**asked)
    (block,) = whole.content
    assert block.type == "text"
    assert block.text == text == chat.choices[0].message.content
    assert (whole.stop_reason, final.stop_reason) == ("max_tokens", "max_tokens")
    assert whole.usage.output_tokens == final.usage.output_tokens == 9
    assert chat.usage is not None
    read = whole.usage.input_tokens + (whole.usage.cache_read_input_tokens or 0)
    assert read == chat.usage.prompt_tokens
    body: Any = refused.value.body
    assert (body["type"], body["error"]["type"]) == ("error", "invalid_request_error")
    assert body["error"]["param"] == "max_tokens"
