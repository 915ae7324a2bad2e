"""LiteLLM, as its users have it, against the HTTP API."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.foreign_tools import ran, shown, told
from support.gguf_files import smollm2
from support.http_door import door
from support.whole_service import gguf

pytestmark = [pytest.mark.tools, pytest.mark.timeout(300)]


async def test_it_gets_texts_streams_calls_and_errors(tmp_path: Path) -> None:
    async with door(tmp_path, gguf("small", smollm2(), context_length=1024)) as (service, _):
        found = await told(tmp_path, "litellm_program.py", service.http_address, "small")
    assert found["text"].strip()
    assert 0 < found["usage"] == found["streamed_usage"] <= 90
    assert found["votes"] == found["usage"]
    assert "".join(found["pieces"]) == found["text"]
    assert found["ends"] == ["tool_calls", "tool_calls"]
    assert len(found["calls"]) == 2
    for name, arguments in found["calls"]:
        assert name == "weather"
        assert arguments.keys() == {"city", "days"}
        assert arguments["city"] in ("Oslo", "Lima")
    assert found["last"].strip()
    assert found["completion"]
    assert "no model or profile named 'nobody'" in found["refusal"]


async def test_the_documents_program_prints_an_answer(tmp_path: Path) -> None:
    models = [gguf(name, smollm2(), context_length=1024) for name in ("small", "large")]
    async with door(tmp_path, *models) as (service, _):
        program = shown("docs/tools.md", "python", "import litellm", service.http_address)
        printed = await ran(tmp_path, "python", "-c", program)
    assert printed.strip()
