"""Tools with real models: what their templates say of calls, and calls that are the right ones."""

from __future__ import annotations

import json

import pytest

from quorate.client import Client

pytestmark = [pytest.mark.real_model, pytest.mark.timeout(300)]

WEATHER = {
    "name": "get_weather",
    "description": "The current weather in a city.",
    "strict": True,
    "parameters": {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "unit": {"enum": ["celsius", "fahrenheit"]},
        },
        "required": ["city", "unit"],
        "additionalProperties": False,
    },
}
ADD = {
    "name": "add",
    "description": "The sum of two integers.",
    "parameters": {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
        "additionalProperties": False,
    },
}
ASK = "What is the weather in Paris, in celsius? Call a tool."
PLANS = {
    "large": {"model": "large"},
    "small": {"model": "small"},
    "vote": {"models": ["large", "small"]},
}


@pytest.mark.parametrize("plan", PLANS)
async def test_the_right_tool_is_called_with_what_was_asked_for(client: Client, plan: str) -> None:
    told = await client.answer(
        messages=[("user", ASK)],
        tools=[WEATHER, ADD],
        tool_choice="required",
        temperature=0.0,
        max_tokens=80,
        **PLANS[plan],
    )
    assert told.text == ""
    call = told.calls[0]
    assert call.name == "get_weather"
    assert json.loads(call.arguments) == {"city": "Paris", "unit": "celsius"}
    assert told.finish_reason == "tool_calls"


async def test_a_result_is_taken_up_by_the_answer(client: Client) -> None:
    messages: list[object] = [("user", "Add 17 and 25 with a tool. Then tell me the sum in words.")]
    called = await client.answer(
        messages=messages,
        tools=[ADD],
        tool_choice="add",
        models=["large", "small"],
        temperature=0.0,
        max_tokens=60,
    )
    (call,) = called.calls
    assert json.loads(call.arguments) == {"a": 17, "b": 25}
    messages += [called.message, call.result("42"), ("user", "So what is the sum?")]
    told = await client.answer(
        messages=messages,
        tools=[ADD],
        models=["large", "small"],
        temperature=0.0,
        max_tokens=40,
    )
    assert "42" in told.text


async def test_models_with_different_tokenizers_call_byte_by_byte(client: Client) -> None:
    told = await client.answer(
        messages=[("user", ASK)],
        tools=[WEATHER],
        tool_choice="get_weather",
        models={"small": 0.8, "gemma": 0.2},
        allow_text=True,
        temperature=0.0,
        max_tokens=80,
    )
    (call,) = told.calls
    assert json.loads(call.arguments)["unit"] == "celsius"
