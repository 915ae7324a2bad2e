"""Tools through the whole product: loops of three turns by the clients that people have."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from quorate.client import Client
from support.gguf_files import smollm2
from support.http_door import TOKEN, door
from support.whole_service import gguf, scripted, whole_service

WEATHER: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"enum": ["Oslo", "Lima"]},
        "days": {"type": "integer", "minimum": 1, "maximum": 9},
    },
    "required": ["city", "days"],
    "additionalProperties": False,
}
# Nobody knows how to follow it.
ODD: dict[str, Any] = {
    "type": "object",
    "propertyNames": {"pattern": "^a"},
    "minProperties": 3,
}
CLOCK: dict[str, Any] = {"type": "object", "properties": {"zone": {"enum": ["CET", "UTC"]}}}
FUNCTIONS: list[dict[str, Any]] = [
    {"name": "weather", "description": "The weather.", "parameters": WEATHER, "strict": True},
    {"name": "clock", "description": "The time.", "parameters": CLOCK},
]
ASK = "What is the weather in Oslo?"
PAIR = [gguf(name, smollm2(), context_length=1024) for name in ("a", "b")]


def valid(arguments: str | dict[str, Any]) -> bool:
    found = json.loads(arguments) if isinstance(arguments, str) else arguments
    return found.keys() == {"city", "days"} and found["city"] in ("Oslo", "Lima")


async def test_chats_of_openai_s_client_loop_through_tools(tmp_path: Path) -> None:
    tools: list[Any] = [{"type": "function", "function": one} for one in FUNCTIONS]
    messages: list[Any] = [{"role": "user", "content": ASK}]
    async with door(tmp_path, *PAIR) as (_, client):

        async def turn(choice: Any) -> Any:
            told = await client.chat.completions.create(
                model="vote:a+b",
                messages=messages,
                tools=tools,
                tool_choice=choice,
                parallel_tool_calls=False,
                temperature=0.0,
                max_tokens=90,
            )
            message = told.choices[0].message
            messages.append(message.model_dump(exclude_none=True))
            for call in message.tool_calls or []:
                result = {"role": "tool", "tool_call_id": call.id, "content": "4 degrees"}
                messages.append(result)
            return told.choices[0]

        first = await turn({"type": "function", "function": {"name": "weather"}})
        assert (first.finish_reason, first.message.content) == ("tool_calls", None)
        (call,) = first.message.tool_calls
        assert call.function.name == "weather" and valid(call.function.arguments)
        second = await turn("required")
        assert second.message.tool_calls[0].function.name in ("weather", "clock")
        last = await turn("none")
        assert last.message.tool_calls is None
        assert last.message.content.strip()
        assert last.finish_reason in ("stop", "length")


async def test_a_streamed_call_is_put_together_by_openai_s_client(tmp_path: Path) -> None:
    tools: list[Any] = [{"type": "function", "function": FUNCTIONS[0]}]
    async with door(tmp_path, *PAIR) as (_, client):
        streamed = client.chat.completions.stream(
            model="vote:a+b",
            messages=[{"role": "user", "content": ASK}],
            tools=tools,
            tool_choice="required",
            parallel_tool_calls=False,
            temperature=0.0,
            max_tokens=90,
        )
        async with streamed as stream:
            kinds = [event.type async for event in stream]
            told = await stream.get_final_completion()
    assert kinds.count("tool_calls.function.arguments.delta") > 3
    (call,) = told.choices[0].message.tool_calls or []
    assert call.function.name == "weather" and valid(call.function.arguments)
    assert told.choices[0].finish_reason == "tool_calls"


async def test_responses_loop_through_tools(tmp_path: Path) -> None:
    tools: list[Any] = [{"type": "function", **one} for one in FUNCTIONS]
    given: list[Any] = [{"role": "user", "content": ASK}]
    async with door(tmp_path, *PAIR) as (_, client):
        for choice in ({"type": "function", "name": "weather"}, "required"):
            told = await client.responses.create(
                model="vote:a+b",
                input=given,
                tools=tools,
                tool_choice=choice,  # type: ignore[arg-type]
                parallel_tool_calls=False,
                temperature=0.0,
                max_output_tokens=90,
            )
            (call,) = told.output
            assert call.type == "function_call"
            given += [
                {
                    "type": "function_call",
                    "call_id": call.call_id,
                    "name": call.name,
                    "arguments": call.arguments,
                },
                {"type": "function_call_output", "call_id": call.call_id, "output": "4 degrees"},
            ]
        last = await client.responses.create(
            model="vote:a+b",
            input=given,
            tools=tools,
            tool_choice="none",
            temperature=0.0,
            max_output_tokens=20,
        )
    assert given[1]["name"] == "weather" and valid(given[1]["arguments"])
    assert last.output_text.strip()


async def test_messages_of_anthropic_s_client_loop_through_tools(tmp_path: Path) -> None:
    tools: list[Any] = [
        {
            "name": one["name"],
            "description": one["description"],
            "input_schema": one["parameters"],
        }
        for one in FUNCTIONS
    ]
    messages: list[Any] = [{"role": "user", "content": ASK}]
    async with door(tmp_path, *PAIR) as (service, _):
        asking = anthropic.AsyncAnthropic(
            base_url=f"http://{service.http_address}", api_key=TOKEN, max_retries=0
        )
        async with asking as client:
            for choice in ({"type": "tool", "name": "weather"}, {"type": "any"}):
                told = await client.messages.create(
                    model="vote:a+b",
                    messages=messages,
                    tools=tools,
                    tool_choice={**choice, "disable_parallel_tool_use": True},  # type: ignore[arg-type]
                    extra_body={"temperature": 0.0},
                    max_tokens=90,
                )
                assert told.stop_reason == "tool_use"
                (block,) = told.content
                assert block.type == "tool_use"
                result = {"type": "tool_result", "tool_use_id": block.id, "content": "4 degrees"}
                messages.append({"role": "assistant", "content": [block.model_dump()]})
                messages.append({"role": "user", "content": [result]})
            last = await client.messages.create(
                model="vote:a+b",
                messages=messages,
                tools=tools,
                tool_choice={"type": "none"},
                extra_body={"temperature": 0.0},
                max_tokens=20,
            )
    first = messages[1]["content"][0]
    assert first["name"] == "weather" and valid(first["input"])
    assert last.content[0].type == "text" and last.content[0].text.strip()


async def test_members_that_vote_byte_by_byte_write_valid_calls(tmp_path: Path) -> None:
    models = [gguf("smol", smollm2(), context_length=1024), scripted("s", context_length=4096)]
    async with whole_service(tmp_path, *models) as (_, client):
        told = await client.answer(
            messages=[("user", ASK)],
            models={"smol": 0.9, "s": 0.1},
            tools=FUNCTIONS,
            tool_choice="weather",
            temperature=0.0,
            max_tokens=90,
        )
    (call,) = told.calls
    assert call.name == "weather" and valid(call.arguments)
    assert (told.text, told.finish_reason) == ("", "tool_calls")


async def test_a_chat_of_the_python_client_goes_on_with_results(tmp_path: Path) -> None:
    async with whole_service(tmp_path, *PAIR) as (_, client):
        await _loops(client)


async def _loops(client: Client) -> None:
    messages: list[Any] = [("user", ASK)]
    told = await client.answer(
        messages=messages,
        models=["a", "b"],
        tools=FUNCTIONS,
        tool_choice="weather",
        parallel_calls=False,
        temperature=0.0,
        max_tokens=90,
    )
    messages += [told.message, *(call.result("4 degrees") for call in told.calls)]
    last = await client.answer(
        messages=messages, models=["a", "b"], tools=FUNCTIONS, temperature=0.0, max_tokens=20
    )
    assert last.text.strip() or last.calls


@pytest.mark.parametrize(
    ("tools", "place"),
    [
        ([{"name": "x y"}], "chat.tools[0].name"),
        ([{"name": "x"}, {"name": "x"}], "chat.tools[1].name"),
        ([{"name": "x", "parameters": {"type": "array"}}], "chat.tools[0].parameters"),
        (
            [{"name": "x", "strict": True, "parameters": ODD}],
            "chat.tools[0].parameters",
        ),
    ],
)
async def test_a_tool_that_cannot_be_called_is_refused_at_its_place(
    tmp_path: Path, tools: list[dict[str, Any]], place: str
) -> None:
    async with whole_service(tmp_path, scripted("a", context_length=4096)) as (_, client):
        with pytest.raises(Exception, match=r"chat\.tools") as refused:
            await client.answer(messages=[("user", "x")], model="a", tools=tools)
    assert place in str(refused.value)


async def test_over_http_each_protocol_names_the_place_in_its_own_words(tmp_path: Path) -> None:
    odd: dict[str, Any] = {"name": "odd", "strict": True, "parameters": ODD}
    functions: list[Any] = [{"type": "function", "function": one} for one in (FUNCTIONS[0], odd)]
    only: Any = {
        "type": "allowed_tools",
        "allowed_tools": {"mode": "auto", "tools": [functions[1]]},
    }
    ask: list[Any] = [{"role": "user", "content": ASK}]
    async with door(tmp_path, scripted("a", context_length=4096)) as (service, client):
        for choice in ("auto", only):
            with pytest.raises(openai.BadRequestError) as refused:
                await client.chat.completions.create(
                    model="a", messages=ask, tools=functions, tool_choice=choice
                )
            assert refused.value.param == "tools[1].function.parameters"
        with pytest.raises(openai.BadRequestError) as refused:
            await client.responses.create(
                model="a",
                input=[{"type": "function_call_output", "call_id": "", "output": "4"}],
            )
        assert refused.value.param == "input[0].call_id"
        asking = anthropic.AsyncAnthropic(
            base_url=f"http://{service.http_address}", api_key=TOKEN, max_retries=0
        )
        strict: Any = {"name": "odd", "strict": True, "input_schema": ODD}
        async with asking as other:
            with pytest.raises(anthropic.BadRequestError, match=r"tools\[0\]\.input_schema"):
                await other.messages.create(model="a", messages=ask, tools=[strict], max_tokens=9)


async def test_a_timeout_in_the_middle_of_a_call_leaves_nothing_behind(tmp_path: Path) -> None:
    slow = scripted("a", context_length=4096, step_delay_ms=50.0)
    async with door(tmp_path, slow) as (service, client):
        tools: list[Any] = [{"type": "function", "function": FUNCTIONS[0]}]
        with pytest.raises(openai.APITimeoutError):
            await client.chat.completions.create(
                model="a",
                messages=[{"role": "user", "content": ASK}],
                tools=tools,
                tool_choice="required",
                timeout=0.5,
            )
        async with asyncio.timeout(20.0):
            while service.dispatcher.running:
                await asyncio.sleep(0.02)
