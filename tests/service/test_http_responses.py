"""OpenAI's Responses API over a real port, asked by the client that people have."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, Literal

import openai
import pytest
from openai.types.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from support.gguf_files import smollm2
from support.http_door import HI, KEYS, SAY, connection, door, idle, post, raw
from support.whole_service import gguf, scripted


class City(BaseModel):
    """What is asked for."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(max_length=20)
    kind: Literal["capital", "town"]
    rivers: list[Literal["Seine", "Thames"]] = Field(max_length=2)


LOGPROBS: Any = ["message.output_text.logprobs"]
GREEDY: dict[str, Any] = {"temperature": 0.0, "max_output_tokens": 12}


async def test_a_response_is_what_a_chat_is_whole_and_in_pieces(tmp_path: Path) -> None:
    asked: dict[str, Any] = {"model": "vote:a+b", "instructions": "be brief", "input": "hi"}
    async with door(tmp_path, keys=KEYS) as (_, client):
        chat = await client.chat.completions.create(
            model="vote:a+b",
            messages=[{"role": "system", "content": "be brief"}, *HI],
            temperature=0.0,
            max_tokens=12,
            logprobs=True,
            top_logprobs=2,
        )
        ask = client.responses.create
        more = {"include": LOGPROBS, "top_logprobs": 2, "metadata": {"a": "b"}}
        whole = await ask(**asked, **GREEDY, **more)
        async with client.responses.stream(**asked, **GREEDY, **more) as stream:
            pieces = [piece async for piece in stream]
        with pytest.raises(openai.AuthenticationError):
            await client.with_options(api_key="wrong").responses.create(**asked)
    (choice,) = chat.choices
    assert whole.output_text == choice.message.content
    assert (whole.object, whole.status, whole.model) == ("response", "incomplete", "vote:a+b")
    assert whole.incomplete_details is not None
    assert whole.incomplete_details.reason == "max_output_tokens"
    assert whole.metadata == {"a": "b"}
    assert whole.usage is not None and chat.usage is not None
    assert whole.usage.input_tokens == chat.usage.prompt_tokens
    assert whole.usage.output_tokens == 12
    assert choice.logprobs is not None and choice.logprobs.content is not None
    (message,) = whole.output
    assert message.type == "message" and message.content[0].type == "output_text"
    logprobs = message.content[0].logprobs
    assert logprobs is not None
    assert [one.to_dict() for one in logprobs] == [one.to_dict() for one in choice.logprobs.content]
    assert [one["model"] for one in whole.model_extra["quorate"]["members"]] == ["a", "b"]

    assert [one.sequence_number for one in pieces] == list(range(len(pieces)))
    deltas = [one for one in pieces if one.type == "response.output_text.delta"]
    assert "".join(one.delta for one in deltas) == whole.output_text
    assert sum(len(one.logprobs) for one in deltas) == 12
    last = pieces[-1]
    assert last.type == "response.incomplete"
    assert last.response.output_text == whole.output_text
    assert last.response.usage is not None
    assert last.response.usage.output_tokens == 12


async def test_a_conversation_goes_on_with_what_was_answered(tmp_path: Path) -> None:
    say = "<|im_start|>hi <|im_end|>there"
    marks: dict[str, Any] = {"thinks": True, "marks": True, "control": 0.01}
    thinker = scripted("thinker", seed=1, say=say, confidence=0.9999, **marks)
    async with door(tmp_path, thinker) as (_, client):
        asked: dict[str, Any] = {"model": "thinker", "temperature": 0.0, "max_output_tokens": 40}
        said: Any = [{"role": "user", "content": "x"}]
        async with client.responses.stream(input=said, **asked) as stream:
            kinds = [piece.type async for piece in stream]
            first = await stream.get_final_response()
        assert [item.type for item in first.output] == ["reasoning", "message"]
        (thought, message) = first.output
        assert thought.type == "reasoning" and thought.content is not None
        assert message.type == "message"
        assert (thought.content[0].text, first.output_text) == ("hi ", "there")
        assert "response.reasoning_text.delta" in kinds
        assert first.usage is not None
        assert first.usage.output_tokens_details.reasoning_tokens > 0
        assert (first.status, message.id) == ("completed", f"msg_{first.id[5:]}_1")
        whole = await client.responses.create(input=said, **asked)
        assert (whole.output_text, whole.status) == (first.output_text, "completed")
        said += [*(item.to_dict() for item in first.output), {"role": "user", "content": "y"}]
        second = await client.responses.create(input=said, **asked)
        assert second.usage is not None
        assert second.usage.input_tokens > first.usage.input_tokens


async def test_pydantic_models_are_parsed_alone_and_by_a_vote(tmp_path: Path) -> None:
    models = [gguf(name, smollm2(), context_length=1024) for name in ("a", "b")]
    asked: dict[str, Any] = {"input": "Describe Paris.", "text_format": City, "temperature": 0.0}
    async with door(tmp_path, *models) as (_, client):
        for plan in ("a", "vote:a+b"):
            told = await client.responses.parse(model=plan, max_output_tokens=150, **asked)
            assert isinstance(told.output_parsed, City)
            assert told.status == "completed"
        async with client.responses.stream(model="a", max_output_tokens=150, **asked) as stream:
            final = await stream.get_final_response()
        assert isinstance(final.output_parsed, City)


async def test_errors_are_those_of_openai_with_our_reasons(tmp_path: Path) -> None:
    async with door(tmp_path) as (service, client):
        ask = client.responses.create
        with pytest.raises(openai.BadRequestError) as refused:
            await ask(model="a", input="x", temperature=-1)
        assert (refused.value.param, refused.value.code) == ("temperature", "invalid_field")
        with pytest.raises(openai.NotFoundError, match="did you mean a"):
            await ask(model="aa", input="x", stream=True)
        with pytest.raises(openai.BadRequestError, match="nothing is stored here") as refused:
            await ask(model="a", input="x", previous_response_id="resp_1")
        assert refused.value.param == "previous_response_id"
        with pytest.raises(openai.BadRequestError) as long:
            await ask(model="a", input="x" * 5000, max_output_tokens=3)
        assert (long.value.code, long.value.param) == ("prompt_too_long", "input")
        schema = {"items": {"type": "frob"}}
        form: Any = {"format": {"type": "json_schema", "name": "x", "schema": schema}}
        with pytest.raises(openai.BadRequestError, match="at /items: Invalid type: frob") as held:
            await ask(model="a", input="x", text=form)
        assert held.value.param == "text.format.schema"
        for left in (
            client.responses.retrieve("resp_1"),
            client.responses.delete("resp_1"),
            client.responses.cancel("resp_1"),
            client.responses.input_items.list("resp_1"),
        ):
            with pytest.raises(openai.NotFoundError, match="none is stored here") as gone:
                await left
            assert gone.value.code == "not_found"
        status, told = await raw(service, post("/v1/responses/compact", b"{}"))
        assert (status, told["error"]["message"][:13]) == (404, "no path named")
        status, _ = await raw(service, post("/v1/responses", b"{}").replace(b"POST", b"PUT"))
        assert status == 405


async def test_who_leaves_a_stream_ends_it(tmp_path: Path) -> None:
    slow = scripted("slow", say=SAY * 100, step_delay_ms=20.0)
    async with door(tmp_path, slow) as (service, client):
        stream = await client.responses.create(
            model="slow", input="x", max_output_tokens=400, stream=True
        )
        async for piece in stream:
            if piece.type == "response.output_text.delta":
                break
        assert service.dispatcher.running
        await stream.close()
        await idle(service)


async def test_a_stream_that_the_end_of_the_server_cuts_ends_with_an_error(tmp_path: Path) -> None:
    slow = scripted("slow", say=SAY * 100, step_delay_ms=20.0)
    body: Any = {"model": "slow", "input": "x", "max_output_tokens": 400, "stream": True}
    async with door(tmp_path, slow) as (service, client), connection(service) as (reader, writer):
        stream = await client.responses.create(**body)
        pieces = aiter(stream)
        await anext(pieces)

        async def read() -> None:
            async for _ in pieces:
                pass

        reading = asyncio.ensure_future(read())
        writer.write(post("/v1/responses", json.dumps(body).encode(), "connection: close"))
        await reader.readuntil(b"response.output_text.delta")
        assert service.http is not None
        await service.http.stop()
        with pytest.raises(openai.APIError, match="server stopped"):
            await reading
        last = (await reader.read()).rpartition(b"event: error\ndata: ")[2]
        told = json.loads(last.partition(b"\n")[0])
        await idle(service)
    assert (told["type"], told["code"], told["param"]) == ("error", told["error"]["code"], None)
    assert told["message"] == told["error"]["message"]
    assert told["sequence_number"] > 4


async def test_bodies_are_those_that_the_types_of_the_client_require(tmp_path: Path) -> None:
    async with door(tmp_path) as (service, _):
        body = {"model": "a", "input": [{"role": "user", "content": "x"}], "max_output_tokens": 3}
        status, told = await raw(service, post("/v1/responses", json.dumps(body).encode()))
    assert status == 200
    assert Response.model_validate(told).output_text
