"""LangChain, as its users have it, against the HTTP API."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.foreign_tools import ran, shown, told
from support.gguf_files import smollm2
from support.http_door import door
from support.whole_service import gguf

pytestmark = [pytest.mark.tools, pytest.mark.timeout(300)]

PAIR = ("small", "large")


async def test_it_gets_texts_streams_pydantic_models_and_calls(tmp_path: Path) -> None:
    models = [gguf(name, smollm2(), context_length=1024) for name in PAIR]
    async with door(tmp_path, *models) as (service, _):
        found = await told(
            tmp_path, "langchain_program.py", service.http_address, "vote:small+large"
        )
    assert found["text"].strip()
    assert (found["usage"], found["finish_reason"]) in [(40, "length"), (found["usage"], "stop")]
    assert "".join(found["pieces"]) == found["text"]
    assert len(found["pieces"]) > 10
    assert found["streamed_usage"] == [found["usage"]]
    assert found["structured"].keys() == {"json_schema", "function_calling"}
    for city in found["structured"].values():
        assert city["kind"] in ("capital", "town")
    for calls in (found["calls"], found["streamed_calls"]):
        (call,) = calls
        assert call["name"] == "weather"
        assert call["args"]["city"] in ("Oslo", "Lima")
        assert call["args"]["days"] in (1, 2, 3)
    (result,) = found["results"]
    assert result.startswith("4 degrees in ")
    assert found["last"].strip()
    assert found["calls_of_last"] == []
    assert found["responses"] == found["text"]


async def test_the_documents_program_prints_what_a_model_has_to_say(tmp_path: Path) -> None:
    models = [gguf(name, smollm2(), context_length=1024) for name in PAIR]
    async with door(tmp_path, *models) as (service, _):
        program = shown("docs/tools.md", "python", "langchain_openai", service.http_address)
        printed = await ran(tmp_path, "python", "-c", program)
    assert printed.strip()
