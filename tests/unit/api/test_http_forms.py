"""What bodies of the HTTP API say of the form of an answer, in the words of all protocols."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from llguidance import LLMatcher, LLTokenizer

from quorate import large_texts
from quorate.access import limits
from quorate.api.http import fields
from quorate.api.http.anthropic.messages import message_asked
from quorate.api.http.asking import Asked, Context
from quorate.api.http.openai.chats import chat_asked
from quorate.api.http.openai.texts import text_asked
from quorate.errors import InvalidRequest
from quorate.guides.grammars import grammar_of
from quorate.request import ConstraintKind, OutputConstraint

CONTEXT = Context(models=("a",), profiles=(), request_id="r")
HI = [{"role": "user", "content": "hi"}]
SCHEMA = {"type": "object", "properties": {"é": {"type": "integer"}}}


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(depth):
        schema = {"not": schema}
    return schema


def asked(body: dict[str, Any]) -> Asked:
    return chat_asked({"messages": HI, **body}, CONTEXT)


def form(body: dict[str, Any]) -> OutputConstraint | None:
    return asked(body).requests[0].constraint


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "x", "strict": True, "schema": SCHEMA},
                }
            },
            "response_format.json_schema.schema",
        ),
        (
            {"response_format": {"type": "json_object", "schema": SCHEMA}},
            "response_format.schema",
        ),
        (
            {"output_format": {"type": "json_schema", "schema": SCHEMA}},
            "output_format.schema",
        ),
        (
            {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
            "output_config.format.schema",
        ),
        ({"json_schema": SCHEMA}, "json_schema"),
        ({"guided_json": SCHEMA}, "guided_json"),
        ({"guided_json": json.dumps(SCHEMA)}, "guided_json"),
        ({"structured_outputs": {"json": SCHEMA}}, "structured_outputs.json"),
        ({"quorate": {"json_schema": SCHEMA}}, "quorate.json_schema"),
    ],
)
def test_a_schema_is_read_whatever_it_is_called_and_told_by_that_name(
    body: dict[str, Any], path: str
) -> None:
    found = form(body)
    assert found is not None and found.kind is ConstraintKind.JSON_SCHEMA
    assert json.loads(found.text) == SCHEMA
    assert asked(body).names["json_schema"] == path


@pytest.mark.parametrize(
    ("body", "kind", "text"),
    [
        ({"guided_regex": "a+"}, "regex", "a+"),
        ({"structured_outputs": {"regex": "a+"}}, "regex", "a+"),
        ({"quorate": {"regex": "a+"}}, "regex", "a+"),
        ({"quorate": {"grammar": 'start: "a"'}}, "grammar", 'start: "a"'),
        ({"guided_grammar": 'start: "a"'}, "grammar", 'start: "a"'),
        ({"guided_choice": ["yes", 'no "way"']}, "grammar", 'start: "yes" | "no \\"way\\""'),
        ({"guided_choice": ["a\x7fé"]}, "grammar", 'start: "a\\u007fé"'),
        ({"guided_regex": "a\\\\"}, "regex", "a\\\\"),
        ({"structured_outputs": {"choice": ["a"]}}, "grammar", 'start: "a"'),
        ({"response_format": {"type": "json_object"}}, "json_schema", '{"type": "object"}'),
        ({"structured_outputs": {"json_object": True}}, "json_schema", '{"type": "object"}'),
    ],
)
def test_other_forms_are_read(body: dict[str, Any], kind: str, text: str) -> None:
    assert form(body) == OutputConstraint(ConstraintKind(kind), text)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"response_format": {"type": "text"}},
        {"response_format": None},
        {"output_config": {"effort": "low"}},
        {"guided_regex": None, "guided_choice": None, "structured_outputs": {}},
    ],
)
def test_what_asks_for_no_form_has_none(body: dict[str, Any]) -> None:
    assert form(body) is None


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("response_format.type", {"response_format": {"type": "yaml"}}),
        ("response_format.json_schema.schema", {"response_format": {"type": "json_schema"}}),
        (
            "response_format.json_schema.schema",
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}},
        ),
        ("guided_choice[1]", {"guided_choice": ["a", 3]}),
        ("guided_choice", {"guided_choice": [str(at) for at in range(2000)]}),
        ("guided_choice", {"guided_choice": []}),
        ("guided_choice", {"guided_choice": ["a" * 40_000, "b" * 40_000]}),
        ("structured_outputs.choice", {"structured_outputs": {"choice": []}}),
        ("guided_regex", {"guided_regex": "a" * 70_000}),
        ("guided_regex", {"guided_regex": ""}),
        ("guided_regex", {"guided_regex": "ab\\"}),
        ("quorate.regex", {"quorate": {"regex": "a\\\\\\"}}),
        ("guided_grammar", {"guided_grammar": ""}),
        ("guided_json", {"guided_json": {"enum": ["a"] * 70_000}}),
        ("guided_json", {"guided_json": {"description": "a" * 70_000}}),
        ("guided_json", {"guided_json": nested(8000)}),
        ("guided_json", {"guided_json": {"maximum": float("inf")}}),
        ("guided_json", {"guided_regex": "a", "guided_json": SCHEMA}),
        ("quorate.regex", {"quorate": {"regex": 3}}),
        ("structured_outputs.structural_tag", {"structured_outputs": {"structural_tag": "x"}}),
        ("structured_outputs.jsno", {"structured_outputs": {"jsno": SCHEMA}}),
        ("grammar", {"grammar": 'root ::= "a"'}),
    ],
)
def test_what_cannot_be_held_is_refused_by_its_path(field: str, body: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        asked(body)
    assert field in (caught.value.field, caught.value.problem.split()[1])


def test_choices_of_any_characters_are_a_grammar_of_just_these() -> None:
    every = "".join(map(chr, [*range(0x100), 0x2028, 0xFEFF, 0xFFFF, 0x1F600]))
    found = form({"guided_choice": [every, "\x7f"]})
    assert found is not None
    tokenizer = LLTokenizer("byte")
    for text in (every, "\x7f"):
        matcher = LLMatcher(tokenizer, grammar_of(found.kind, found.text))
        assert matcher.consume_tokens([*text.encode()]), matcher.get_error()
        assert matcher.is_accepting()


@pytest.mark.parametrize("value", [{"enum": ["a"] * 1_000_000}, {"description": "é" * 8_000_000}])
def test_of_a_schema_of_megabytes_only_the_beginning_is_written(
    value: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []

    def noted(given: Any) -> Iterator[bytes]:
        for piece in large_texts.json_pieces(given):
            written.append(len(piece))
            yield piece

    monkeypatch.setattr(fields, "json_pieces", noted)
    with pytest.raises(InvalidRequest):
        asked({"guided_json": value})
    assert max(written) <= 3 * large_texts.SLICE
    assert sum(written) <= limits.MAX_CONSTRAINT_BYTES + max(written)


def test_texts_and_messages_have_forms_too() -> None:
    body = {"quorate": {"regex": "a"}}
    (text,) = text_asked({"prompt": "x", **body}, CONTEXT).requests
    (message,) = message_asked({"messages": HI, "max_tokens": 3, **body}, CONTEXT).requests
    assert text.constraint == message.constraint == OutputConstraint(ConstraintKind.REGEX, "a")
