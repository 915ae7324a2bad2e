"""What the HTTP API answers over a real port, to clients of OpenAI and Anthropic."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from quorate.client import Client
from support.http_door import HI, KEYS, SAY, TOKEN, connection, door, post, raw
from support.streams import answer
from support.whole_service import scripted


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
    assert b"".join(bytes(one.bytes or []) for one in told).decode() == heard.text
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


async def test_nothing_is_streamed_that_may_be_replaced(tmp_path: Path) -> None:
    models = (scripted("a", say="perhaps", confidence=0.3), scripted("b", say="surely"))
    stages = [{"members": ["a"], "confidence": 0.9}, {"members": ["b"]}]
    profiles = {"early": {"stages": stages, "stream_early": True}}
    ask: Any = {"model": "early", "temperature": 0, "max_tokens": 20}
    async with door(tmp_path, *models, profiles=profiles) as (_, client):
        whole = await client.chat.completions.create(messages=HI, **ask)
        pieces = await client.chat.completions.create(messages=HI, stream=True, **ask)
        text = "".join([one.choices[0].delta.content or "" async for one in pieces])
    assert whole.choices[0].message.content == text == "surely"


async def test_texts_become_tokens_and_back_as_over_grpc(tmp_path: Path) -> None:
    async with door(tmp_path) as (service, _):

        async def ask(path: str, **body: Any) -> tuple[int, dict[str, Any]]:
            return await raw(service, post(path, json.dumps(body).encode()))

        async with Client(service.address) as other:
            known = await other.tokenize("a", "the fox")
            chat = await other.tokenize("a", messages=[("user", "hi")])
        status, told = await ask("/tokenize", model="a", prompt="the fox", return_token_strs=True)
        assert status == 200
        assert told["tokens"] == list(known.tokens)
        assert (told["count"], told["max_model_len"]) == (len(known.tokens), 512)
        assert "".join(told["token_strs"]) == "<s>the fox"
        _, with_pieces = await ask("/tokenize", model="a", prompt="the fox", with_pieces=True)
        assert [one["id"] for one in with_pieces["tokens"]] == told["tokens"]
        assert [one["piece"] for one in with_pieces["tokens"]] == told["token_strs"]
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
    profiles = {"pair": {"members": ["b", "a"]}}
    server = {"listen": "127.0.0.1:0", "default_profile": "pair"}
    async with door(tmp_path, profiles=profiles, server=server) as (service, _):
        # Without a model it is the first of the default profile.
        assert (await ask("/tokenize", prompt="x"))[0] == 200


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
        assert (long.value.code, long.value.param) == ("prompt_too_long", "prompt")
        many: Any = [{"role": "user", "content": "x" * 5000}]
        with pytest.raises(openai.BadRequestError, match="messages: ") as long:
            await client.chat.completions.create(model="a", messages=many, max_tokens=3)
        assert (long.value.code, long.value.param) == ("prompt_too_long", "messages")
        with pytest.raises(openai.BadRequestError, match="embeddings"):
            await client.embeddings.create(model="a", input="x")
        status, told = await raw(service, post("/v1/completions", b"{"))
        assert status == 400
        assert told["error"]["message"] == "body: is not JSON at line 1; send an object"


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
            counted = await other.messages.count_tokens(
                **{name: asked[name] for name in ("model", "system", "messages")}
            )
            with pytest.raises(anthropic.APIStatusError) as elsewhere:
                await other.get("/v1/messages/batches", cast_to=object)
            with pytest.raises(anthropic.APIStatusError) as unserved:
                await other.get("/v1/messages", cast_to=object)
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
    assert refused.value.request_id == body["request_id"]
    assert counted.input_tokens == chat.usage.prompt_tokens
    for wrong, status in ((elsewhere, 404), (unserved, 405)):
        told: Any = wrong.value.body
        assert (wrong.value.status_code, told["type"]) == (status, "error")


async def test_without_a_limit_an_answer_ends_where_the_context_does(tmp_path: Path) -> None:
    endless = scripted("endless", say=SAY * 100)
    async with door(tmp_path, endless) as (_, client):
        ask = client.completions.create
        whole = await ask(model="endless", prompt="x", temperature=0, max_tokens=-1)
        assert whole.choices[0].finish_reason == "length"
        assert whole.usage is not None and 500 < whole.usage.total_tokens <= 512


async def test_votes_are_told_as_json_where_a_member_lacks_a_token(tmp_path: Path) -> None:
    asked = {"model": "vote:a+b", "prompt": "x", "max_tokens": 8, "quorate": {"votes": True}}
    models = (scripted("a", say=SAY, seed=1), scripted("b", say=SAY, seed=2))

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    async with door(tmp_path, *models) as (service, _), connection(service) as (reader, writer):
        writer.write(post("/v1/completions", json.dumps(asked).encode(), "connection: close"))
        _, _, body = (await reader.read()).partition(b"\r\n\r\n")
    votes = json.loads(body, parse_constant=refuse)["quorate"]["votes"]
    assert len(votes) == 8
    assert all(len(one["votes"]) == 2 for one in votes)


async def test_a_server_that_drains_is_not_healthy(tmp_path: Path) -> None:
    async with door(tmp_path) as (service, _):
        request = b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n"
        assert (await raw(service, request))[0] == 200
        service.dispatcher.draining = True
        status, told = await raw(service, request)
        service.dispatcher.draining = False
    assert status == 503
    assert told["problem"] == "the server is draining"
