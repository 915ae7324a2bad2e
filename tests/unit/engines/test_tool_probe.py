"""How templates want to be given tools, and how they write calls."""

from __future__ import annotations

import pytest

from quorate.engines.chat.probe import TemplateUse, probe
from quorate.engines.chat.template import CallStyle, ChatTemplate
from quorate.request.tool_format import ToolFormat
from support import tool_templates as families

PLAIN = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def found(source: str) -> TemplateUse:
    return probe(ChatTemplate(source, {"bos_token": "<s>", "eos_token": "</s>"}, "tiny"))


@pytest.mark.parametrize("source", families.FORMATS)
def test_calls_are_written_as_the_family_writes_them(source: str) -> None:
    facts = found(source).facts
    assert facts.tool_format == families.FORMATS[source]
    assert (facts.tools, facts.calls) == (True, facts.tool_format)


@pytest.mark.parametrize(
    ("source", "format"),
    [
        (
            families.TAGS_ALIKE,
            ToolFormat(
                '<|START_ACTION|>[{"tool": "', '", "with": ', '}, {"tool": "', "}]<|END_ACTION|>"
            ),
        ),
        (
            families.ANOTHER_END,
            ToolFormat("<function=", ">", "</function><function=", "</function>"),
        ),
        (families.COUNTED, ToolFormat("<|call|>", ":0<|with|>", "", "<|/call|>")),
    ],
    ids=["tags alike", "another end", "counted"],
)
def test_tags_are_whole_and_calls_put_together_are_those_that_were_rendered(
    source: str, format: ToolFormat
) -> None:
    assert found(source).facts.tool_format == format


def test_templates_are_given_calls_as_they_want_them() -> None:
    assert found(families.TAGGED).tools.style == CallStyle()
    assert found(families.SECTIONS).tools.style == CallStyle(arguments_as_text=True, no_text=True)
    assert found(families.LIST_WITH_IDS).tools.short_ids
    assert not found(families.TAGGED).tools.short_ids


def test_a_template_that_refuses_a_second_call_has_one_at_most() -> None:
    assert not found(families.ONE_BARE_OBJECT).facts.parallel_calls
    assert found(families.TAGGED).facts.parallel_calls


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (PLAIN, "it shows no tools"),
        (families.XML, "its arguments are no JSON"),
        (families.BRACED, "its objects are no JSON, and it takes texts as they are"),
        (families.MARK_EVERYWHERE, "what opens calls stands before texts as well"),
        (families.TAGGED.replace("{{ m.content }}", ""), "it leaves results out"),
        (families.TAGGED.replace("tools | tojson", "'a tool'"), "it names no tool"),
        (families.TAGGED.replace("<tool_call>", "<tool_call>" * 60), "it writes a page"),
    ],
)
def test_a_template_whose_calls_cannot_be_read_knows_no_tools(source: str, why: str) -> None:
    facts = found(source).facts
    assert (facts.tools, facts.tool_format) == (False, ToolFormat()), why
    assert facts.problem == ""


@pytest.mark.parametrize(
    ("source", "mark"),
    [
        (families.TAGGED, "<tool_call>"),
        (families.LIST_WITH_IDS, "[TOOL_CALLS]"),
        (families.SECTIONS, "<|calls|>"),
        (families.ONE_BARE_OBJECT, '{"name": "'),
    ],
)
def test_the_tag_that_opens_calls_marks_them_or_all_that_stands_there(
    source: str, mark: str
) -> None:
    assert found(source).facts.tool_format.mark == mark
