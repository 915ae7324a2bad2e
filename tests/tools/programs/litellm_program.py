"""LiteLLM asks a server for everything that it is mostly used for, and tells it as JSON.

python litellm_program.py ADDRESS PLAN
"""

import asyncio
import json
import sys

import litellm

PARAMETERS = {
    "type": "object",
    "properties": {
        "city": {"enum": ["Oslo", "Lima"]},
        "days": {"type": "integer", "minimum": 1, "maximum": 9},
    },
    "required": ["city", "days"],
    "additionalProperties": False,
}
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}}]
MESSAGES = [{"role": "user", "content": "What is the weather in Oslo?"}]


async def main(address: str, plan: str) -> dict[str, object]:
    """Asks."""
    known = {"api_base": f"http://{address}/v1", "api_key": "none"}
    ask = {"model": f"openai/{plan}", "temperature": 0, "max_tokens": 90, **known}
    calling = {"tools": TOOLS, "tool_choice": "required", "parallel_tool_calls": False}

    extra = {"quorate": {"votes": True}}
    whole = await litellm.acompletion(messages=MESSAGES, extra_body=extra, **ask)
    options = {"include_usage": True}
    stream = await litellm.acompletion(
        messages=MESSAGES, stream=True, stream_options=options, **ask
    )
    pieces = [piece async for piece in stream]
    first = (await litellm.acompletion(messages=MESSAGES, **calling, **ask)).choices[0]
    stream = await litellm.acompletion(messages=MESSAGES, stream=True, **calling, **ask)
    called = litellm.stream_chunk_builder([piece async for piece in stream]).choices[0]
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": "4 degrees"}
        for call in first.message.tool_calls
    ]
    messages = [*MESSAGES, first.message.model_dump(exclude_none=True), *results]
    last = await litellm.acompletion(messages=messages, tools=TOOLS, tool_choice="none", **ask)
    text = await litellm.atext_completion(
        model=f"text-completion-openai/{plan}", prompt="The sky is", max_tokens=5, **known
    )
    try:
        await litellm.acompletion(messages=MESSAGES, **{**ask, "model": "openai/nobody"})
        refusal = ""
    except litellm.NotFoundError as error:
        refusal = str(error)
    return {
        "text": whole.choices[0].message.content,
        "usage": whole.usage.completion_tokens,
        "votes": len(whole.quorate["votes"]),
        "pieces": [one.choices[0].delta.content or "" for one in pieces if one.choices],
        "streamed_usage": pieces[-1].usage.completion_tokens,
        "ends": [first.finish_reason, called.finish_reason],
        "calls": [
            [call.function.name, json.loads(call.function.arguments)]
            for choice in (first, called)
            for call in choice.message.tool_calls
        ],
        "last": last.choices[0].message.content,
        "completion": text.choices[0].text,
        "refusal": refusal,
    }


print(json.dumps(asyncio.run(main(*sys.argv[1:]))))
