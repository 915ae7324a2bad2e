"""LangChain asks a server for everything that it is mostly used for, and tells it as JSON.

python langchain_program.py ADDRESS PLAN
"""

import json
import sys
from typing import Literal

from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, ConfigDict, Field


class City(BaseModel):
    """A city."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(max_length=20)
    kind: Literal["capital", "town"]


@tool
def weather(city: Literal["Oslo", "Lima"], days: Literal[1, 2, 3]) -> str:
    """The weather of a city."""
    return f"4 degrees in {city}, for {days} days"


address, plan = sys.argv[1:]
ask = {"model": plan, "base_url": f"http://{address}/v1", "api_key": "none", "temperature": 0}
model = ChatOpenAI(max_tokens=40, **ask)
roomy = ChatOpenAI(max_tokens=150, **ask)

whole = model.invoke("Describe Paris.")
pieces = list(model.stream("Describe Paris.", stream_usage=True))
structured = {
    method: roomy.with_structured_output(City, method=method).invoke("Describe Paris.")
    for method in ("json_schema", "function_calling")
}

calling = roomy.bind_tools([weather], tool_choice="required", parallel_tool_calls=False)
messages = [HumanMessage("What is the weather in Oslo?")]
streamed = None
for chunk in calling.stream(messages):
    streamed = chunk if streamed is None else streamed + chunk
first = calling.invoke(messages)
results = [weather.invoke(call) for call in first.tool_calls]
last = model.bind_tools([weather], tool_choice="none").invoke([*messages, first, *results])

responses = ChatOpenAI(max_tokens=40, use_responses_api=True, **ask).invoke("Describe Paris.")

told = {
    "text": whole.text,
    "usage": whole.usage_metadata["output_tokens"],
    "finish_reason": whole.response_metadata["finish_reason"],
    "pieces": [piece.text for piece in pieces],
    "streamed_usage": [p.usage_metadata["output_tokens"] for p in pieces if p.usage_metadata],
    "structured": {method: city.model_dump() for method, city in structured.items()},
    "calls": first.tool_calls,
    "streamed_calls": streamed.tool_calls,
    "results": [result.content for result in results],
    "last": last.text,
    "calls_of_last": last.tool_calls,
    "responses": responses.text,
}
print(json.dumps(told))
