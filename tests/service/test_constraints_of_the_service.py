"""Answers of a given form, over gRPC: real models, real processes, and what is refused."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from support.gguf_files import smollm2, stories260k
from support.streams import Stream, refused
from support.whole_service import gguf, scripted, whole_service

CITY = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 20},
        "capital": {"type": "boolean"},
        "rivers": {"type": "array", "items": {"enum": ["Seine", "Thames"]}, "maxItems": 2},
    },
    "required": ["city", "capital", "rivers"],
    "additionalProperties": False,
}
MESSAGES = [("user", "Describe Paris.")]

pytestmark = pytest.mark.usefixtures("nothing_is_left")


async def test_real_models_answer_in_json_alone_and_together(tmp_path: Path) -> None:
    models = [gguf(name, smollm2(), context_length=512) for name in ("a", "b")]
    async with whole_service(tmp_path, *models) as (_, client):
        for plan in ({"model": "a"}, {"models": ["a", "b"]}):
            text = await client.complete(
                messages=MESSAGES, json_schema=CITY, temperature=0.0, max_tokens=120, **plan
            )
            value = json.loads(text)
            assert value.keys() == {"city", "capital", "rivers"}
            assert isinstance(value["capital"], bool)


async def test_models_with_different_tokenizers_keep_to_a_pattern_byte_by_byte(
    tmp_path: Path,
) -> None:
    models = [gguf("smol", smollm2(), context_length=512), gguf("stories", stories260k())]
    async with whole_service(tmp_path, *models) as (_, client):
        text = await client.complete(
            "Once upon a time",
            models=["smol", "stories"],
            regex=", (there|he|she) was an? (little|big) (girl|boy|dog)\\.",
            temperature=0.0,
            max_tokens=40,
        )
    assert text.startswith(", ") and text.endswith(".")
    assert text.split()[-1] in ("girl.", "boy.", "dog.")


@pytest.mark.parametrize(
    ("options", "field", "told"),
    [
        ({"json_schema": {"items": {"type": "frob"}}}, "json_schema", "at /items: Invalid type"),
        ({"regex": "("}, "regex", "unclosed group"),
        ({"grammar": "start: x"}, "grammar", 'unknown name: "x"'),
        ({"regex": "ab\\"}, "regex", "ends with a lone backslash"),
        ({"regex": ""}, "regex", "is empty"),
        ({"regex": "a" * 70_000}, "regex", "at most 65536 are allowed"),
    ],
    ids=["schema", "regex", "grammar", "escape", "empty", "long"],
)
async def test_a_form_that_cannot_be_held_is_refused_with_its_field(
    tmp_path: Path, options: dict[str, object], field: str, told: str
) -> None:
    async with whole_service(tmp_path, scripted("a")) as (_, client):
        refusal = await refused(client.complete("x", model="a", **options))
    assert refusal.status == "INVALID_ARGUMENT"
    assert field in refusal.message and told in refusal.message


async def test_an_answer_outlives_the_process_that_follows_its_grammar(tmp_path: Path) -> None:
    model = scripted("a", step_delay_ms=20.0)
    async with whole_service(tmp_path, model) as (service, client):
        stream = Stream(client, "", model="a", regex="[ab]{60}", temperature=1.0, max_tokens=200)
        await stream.until(lambda heard: len(heard.tokens) >= 5)
        pids = [guide.pid for guide in service.fleet.guides._guides.values()]
        for pid in pids:
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
        await stream.whole()
    assert len(stream.text) == 60 and {*stream.text} <= {"a", "b"}
    assert stream.notices == []
