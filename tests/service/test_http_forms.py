"""Answers of a given form over HTTP, asked for by the clients that people have."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any, Literal

import anthropic
import openai
import pytest
from pydantic import BaseModel, ConfigDict, Field

from support.gguf_files import smollm2
from support.http_door import HI, TOKEN, door
from support.repository import read
from support.whole_service import gguf


class City(BaseModel):
    """What is asked for."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(max_length=20)
    kind: Literal["capital", "town"]
    rivers: list[Literal["Seine", "Thames"]] = Field(max_length=2)


ASK: list[Any] = [{"role": "user", "content": "Describe Paris."}]


async def test_pydantic_models_are_parsed_from_answers_alone_and_by_a_vote(
    tmp_path: Path,
) -> None:
    models = [gguf(name, smollm2(), context_length=1024) for name in ("a", "b")]
    async with door(tmp_path, *models) as (_, client):
        for plan in ("a", "vote:a+b"):
            told = await client.chat.completions.parse(
                model=plan, messages=ASK, response_format=City, max_tokens=150, temperature=0.0
            )
            city = told.choices[0].message.parsed
            assert isinstance(city, City)
            assert told.choices[0].finish_reason == "stop"


async def test_the_readme_s_openai_program_prints_what_pydantic_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (block,) = re.findall(
        r"^```python\n([^`]*?from openai [^`]*?)^```", read("README.md"), re.M | re.S
    )
    models = [gguf(name, smollm2(), context_length=1024) for name in ("small", "large")]
    async with door(tmp_path, *models) as (service, _):
        program = block.replace("127.0.0.1:8080", service.http_address)
        assert program != block
        await asyncio.to_thread(exec, program, {"__name__": "readme"})
    assert capsys.readouterr().out.startswith("true=")


async def test_streamed_json_is_whole_at_its_end(tmp_path: Path) -> None:
    schema = City.model_json_schema()
    form: Any = {"type": "json_schema", "json_schema": {"name": "city", "schema": schema}}
    models = [gguf("a", smollm2(), context_length=1024)]
    async with door(tmp_path, *models) as (service, client):
        parts = [
            piece.choices[0].delta.content or ""
            async for piece in await client.chat.completions.create(
                model="a",
                messages=ASK,
                response_format=form,
                max_tokens=150,
                temperature=0.0,
                stream=True,
            )
        ]
        City.model_validate_json("".join(parts))
        other = anthropic.AsyncAnthropic(
            base_url=f"http://{service.http_address}", api_key=TOKEN, max_retries=0
        )
        async with other:
            message = await other.messages.create(
                model="a",
                messages=ASK,
                max_tokens=150,
                extra_body={"output_config": {"format": {"type": "json_schema", "schema": schema}}},
            )
        assert json.loads(message.content[0].text).keys() == {"name", "kind", "rivers"}


async def test_forms_of_other_servers_hold_as_well(tmp_path: Path) -> None:
    async with door(tmp_path) as (_, client):

        async def answer(**extra: Any) -> str:
            told = await client.chat.completions.create(
                model="vote:a+b", messages=HI, max_tokens=60, extra_body=extra
            )
            return told.choices[0].message.content or ""

        assert await answer(guided_choice=["yes", "no"]) in ("yes", "no")
        assert re.fullmatch("[xy]{3}", await answer(guided_regex="[xy]{3}"))
        assert await answer(structured_outputs={"choice": ["maybe"]}) == "maybe"
        assert await answer(quorate={"grammar": 'start: "a" "b"'}) == "ab"


@pytest.mark.parametrize(
    ("extra", "param", "told"),
    [
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "x", "schema": {"items": {"type": "frob"}}},
                }
            },
            "response_format.json_schema.schema",
            "at /items: Invalid type: frob",
        ),
        ({"guided_regex": "("}, "guided_regex", "unclosed group"),
    ],
)
async def test_what_cannot_be_held_is_told_by_the_name_it_was_given(
    tmp_path: Path, extra: dict[str, Any], param: str, told: str
) -> None:
    async with door(tmp_path) as (_, client):
        with pytest.raises(openai.BadRequestError) as refused:
            await client.chat.completions.create(model="a", messages=HI, extra_body=extra)
    assert isinstance(refused.value.body, dict)
    assert refused.value.body["param"] == param
    assert told in refused.value.body["message"]
