"""What the grammar of answers that may call tools lets through."""

from __future__ import annotations

import json

import pytest
from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper

from quorate.guides.grammars import grammar_of
from quorate.guides.tool_grammar import tool_form
from quorate.request import OutputConstraint, Tool, ToolChoice, ToolMode
from quorate.request.tool_format import ToolFormat
from support.tool_templates import FORMATS, LIST_WITH_IDS, ONE_BARE_OBJECT, SECTIONS, TAGGED

BYTES = LLTokenizer("byte")
ADD = Tool(
    "add",
    parameters=json.dumps(
        {
            "type": "object",
            "properties": {"a": {"type": "integer"}},
            "required": ["a"],
            "additionalProperties": False,
        }
    ),
)
LIST = Tool("files.list-all")
TOOLS = (ADD, LIST)
ADDS = {
    TAGGED: '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>',
    ONE_BARE_OBJECT: '{"name": "add", "parameters": {"a": 1}}',
    LIST_WITH_IDS: '[TOOL_CALLS] [{"name": "add", "arguments": {"a": 1}, "id": "abcdef123"}]',
    SECTIONS: '<|calls|><|call|>function<|sep|>add\n```json\n{"a": 1}\n```<|/call|><|/calls|>',
}
TWICE = '}\n</tool_call>\n<tool_call>\n{"name": "files.list-all", "arguments": {}'


def taken(form: OutputConstraint, text: str) -> str | None:
    """What of a text may be written; None where all of it may, and may be all."""
    matcher = LLMatcher(BYTES, grammar_of(form.kind, form.text))
    assert not matcher.is_error(), matcher.get_error()
    data = text.encode()
    size = matcher.try_consume_tokens([*data])
    return None if size == len(data) and matcher.is_accepting() else data[:size].decode()


@pytest.mark.parametrize("source", FORMATS)
def test_an_answer_is_a_text_or_calls_or_a_text_and_calls(source: str) -> None:
    form = tool_form(TOOLS, ToolChoice(), FORMATS[source])
    for answer in ("", "Hello.", ADDS[source], f"I look it up.\n\n{ADDS[source]}"):
        assert taken(form, answer) is None
    assert taken(form, ADDS[source][:-1]) == ADDS[source][:-1]
    assert taken(form, f"{ADDS[source]} done") == ADDS[source]


@pytest.mark.parametrize("source", FORMATS)
def test_what_opens_calls_begins_one_and_nothing_else(source: str) -> None:
    form, mark = tool_form(TOOLS, ToolChoice(), FORMATS[source]), FORMATS[source].mark
    assert taken(form, f"Write {mark}! to call") == f"Write {mark}"
    assert taken(form, mark[:-1]) is None


@pytest.mark.parametrize("source", FORMATS)
def test_arguments_are_valid_and_names_are_those_of_tools(source: str) -> None:
    form = tool_form(TOOLS, ToolChoice(), FORMATS[source])
    wrong_type = ADDS[source].replace("1}", '"1"}')
    assert taken(form, wrong_type) == wrong_type.partition('"1"')[0]
    assert taken(form, ADDS[source].replace("add", "adds")) is not None
    assert taken(form, ADDS[source].replace('{"a": 1}', "{}")) is not None


def test_several_calls_follow_each_other_where_the_format_and_the_caller_let_them() -> None:
    both = ADDS[TAGGED].replace("}\n</tool_call>", f"{TWICE}}}\n</tool_call>")
    assert taken(tool_form(TOOLS, ToolChoice(), FORMATS[TAGGED]), both) is None
    alone = tool_form(TOOLS, ToolChoice(parallel=False), FORMATS[TAGGED])
    assert taken(alone, both) == f"{ADDS[TAGGED]}"
    with_ids = ADDS[LIST_WITH_IDS].removesuffix("]")
    more = f'{with_ids}, {{"name": "add", "arguments": {{"a": 2}}, "id": "000000000"}}]'
    assert taken(tool_form(TOOLS, ToolChoice(), FORMATS[LIST_WITH_IDS]), more) is None


def test_an_answer_of_a_form_is_that_or_calls_and_never_both() -> None:
    schema = json.dumps({"type": "object", "properties": {"t": {"type": "string"}}})
    form = tool_form(TOOLS, ToolChoice(), FORMATS[TAGGED], schema=schema)
    for answer in ("{}", '{"t": "<tool_call>"}', ADDS[TAGGED]):
        assert taken(form, answer) is None
    assert taken(form, "Hello") == ""
    assert taken(form, f"{{}}\n{ADDS[TAGGED]}") is not None


def test_an_answer_that_must_call_says_nothing_before() -> None:
    form = tool_form(TOOLS, ToolChoice(ToolMode.REQUIRED), FORMATS[TAGGED])
    assert taken(form, "Hello") == ""
    assert taken(form, ADDS[TAGGED]) is None


def test_a_tool_that_is_named_is_the_only_one() -> None:
    form = tool_form(TOOLS, ToolChoice(name=LIST.name), FORMATS[TAGGED])
    assert taken(form, ADDS[TAGGED]) == '<tool_call>\n{"name": "'
    listed = ADDS[TAGGED].replace("add", LIST.name).replace('{"a": 1}', "{}")
    assert taken(form, listed) is None


def test_arguments_of_a_schema_that_cannot_be_followed_are_any_object() -> None:
    form = tool_form(TOOLS, ToolChoice(), FORMATS[TAGGED], loose={"add"})
    assert taken(form, ADDS[TAGGED].replace("1}", '[null, {"b": "x"}]}')) is None


def test_a_model_that_reasons_may_do_so_before() -> None:
    assert tool_form(TOOLS, ToolChoice(), FORMATS[TAGGED]).may_reason


class Symbols:
    """A few tokens, of which one is a mark without bytes."""

    bos_token_id = None
    special_token_ids = ()
    eos_token_id = 0
    tokens = (b"</s>", b"", *(bytes((one,)) for one in range(32, 127)))

    def __call__(self, text: bytes) -> list[int]:
        return [2 + one - 32 for one in text]


def test_calls_that_are_opened_by_a_control_token_begin_with_its_id() -> None:
    symbols = Symbols()
    tokenizer = LLTokenizer(TokenizerWrapper(symbols), eos_token=[0], slices=[])
    written = ToolFormat("[CALLS]", " ", "", ";")
    form = tool_form((LIST,), ToolChoice(), written, tokens={"[CALLS]": 1})
    matcher = LLMatcher(tokenizer, grammar_of(form.kind, form.text))
    rest = symbols(b"files.list-all {};")
    assert matcher.try_consume_tokens([*symbols(b"Hi. "), 1, *rest]) == 5 + len(rest)
    assert matcher.is_accepting()
    # Its letters are a text like any other.
    matcher = LLMatcher(tokenizer, grammar_of(form.kind, form.text))
    letters = symbols(b"[CALLS] are made so.")
    assert matcher.try_consume_tokens(letters) == len(letters)
    assert matcher.is_accepting()
