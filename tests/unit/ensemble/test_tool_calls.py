"""Calls are read out of an answer, however it is cut into pieces."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Collection, Sequence
from itertools import count, pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from quorate.ensemble.decode import Step
from quorate.ensemble.tool_calls import CallReader, telling_calls
from quorate.request import Delta, FinishReason, Token
from quorate.request.tool_format import ID_SLOT, ToolFormat
from support.tool_templates import FORMATS, LIST_WITH_IDS, TAGGED

END = FinishReason.END_OF_GENERATION
formats = st.sampled_from([*FORMATS.values()])
names = st.from_regex(r"[A-Za-z0-9_.-]{1,12}", fullmatch=True)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=6,
)
arguments = st.dictionaries(st.text(max_size=8), values, max_size=3)
calls = st.lists(st.tuples(names, arguments), min_size=1, max_size=3)


def written(form: ToolFormat, made: Sequence[tuple[str, object]]) -> str:
    """Calls as a model writes them."""
    pieces = [form.begin.lstrip()]
    for at, (name, given_arguments) in enumerate(made):
        behind = form.end if at == len(made) - 1 else form.following
        pieces += [name, form.between, json.dumps(given_arguments, ensure_ascii=False), behind]
    return "".join(pieces).replace(ID_SLOT, "abcdef123")


def reader(
    form: ToolFormat,
    *,
    names: Collection[str] = ("add", "sub"),
    must: bool = False,
    apart: bool = False,
    marks: dict[int, str] | None = None,
) -> CallReader:
    numbers = count(1)
    return CallReader(form, names, marks or {}, must, apart, lambda: f"id {next(numbers)}")


async def told(found: CallReader, *steps: Step) -> list[Step]:
    async def given_steps() -> AsyncGenerator[Step, None]:
        for step in steps:
            yield step

    return [step async for step in telling_calls(given_steps(), found)]


def put_together(steps: Sequence[Step]) -> tuple[str, list[tuple[str, str, str]]]:
    """The text of an answer, and its calls: ids, names and arguments."""
    text = ""
    made: dict[int, list[str]] = {}
    for step in steps:
        if isinstance(step, Delta):
            assert not (step.text and made), "text behind calls"
            text += step.text
            for part in step.calls:
                made.setdefault(part.index, ["", "", ""])
                for at, piece in enumerate((part.call_id, part.name, part.arguments)):
                    made[part.index][at] += piece
    return text, [(made[at][0], made[at][1], made[at][2]) for at in sorted(made)]


@given(formats, st.text(max_size=20), calls, st.data())
async def test_however_an_answer_is_cut_its_calls_are_those_that_were_made(
    form: ToolFormat, before: str, made: list[tuple[str, object]], data: st.DataObject
) -> None:
    assume(form.mark not in before + form.mark[:-1])
    if not form.following:
        made = made[:1]
    answer = before + written(form, made)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(answer)), max_size=12)))
    borders = [0, *cuts, len(answer)]
    pieces = [answer[a:b] for a, b in pairwise(borders)]
    found = reader(form, names={name for name, _ in made})
    steps = await told(found, *(Delta(piece, ()) for piece in pieces), END)
    text, read = put_together(steps)
    assert text == before.rstrip()
    assert [(name, json.loads(given_arguments)) for _, name, given_arguments in read] == made
    assert [call_id for call_id, *_ in read] == [f"id {at + 1}" for at in range(len(made))]
    assert steps[-1] is FinishReason.TOOL_CALLS


@pytest.mark.parametrize("text", ["no calls", "a <tool_", "ends with a space \n", "<tool_call", ""])
async def test_text_that_only_begins_like_a_call_is_told_whole(text: str) -> None:
    pieces = [Delta(one, ()) for one in text]
    steps = await told(reader(FORMATS[TAGGED]), *pieces, END)
    assert put_together(steps) == (text, [])
    assert steps[-1] is END


async def test_text_is_told_as_it_comes_and_held_back_only_where_a_call_may_begin() -> None:
    found = reader(FORMATS[TAGGED])
    assert found.read(Delta("see ", ())).text == "see"
    assert found.read(Delta("<to", ())).text == ""
    assert found.read(Delta("ols>", ())).text == " <tools>"


async def test_arguments_are_told_as_they_grow() -> None:
    found = reader(FORMATS[TAGGED])
    found.read(Delta('<tool_call>\n{"name": "add", "arguments": ', ()))
    grown = [found.read(Delta(piece, ())).calls for piece in ('{"a"', ": 1", "}}\n</tool")]
    assert [[part.arguments for part in parts] for parts in grown] == [['{"a"'], [": 1"], ["}"]]


async def test_a_call_that_was_cut_short_is_told_as_far_as_it_is_there() -> None:
    answer = written(FORMATS[TAGGED], [("add", {"a": 1})])
    for size in range(len("<tool_call>"), len(answer)):
        steps = await told(
            reader(FORMATS[TAGGED]), Delta(answer[:size], ()), FinishReason.MAX_TOKENS
        )
        text, read = put_together(steps)
        assert text == ""
        assert '{"a": 1}'.startswith("".join(one for *_, one in read))
        assert steps[-1] is FinishReason.MAX_TOKENS


async def test_an_answer_that_must_call_begins_with_one_though_it_has_no_mark_of_its_own() -> None:
    form = ToolFormat("call ", ": ", "", ".")
    steps = await told(reader(form, must=True), Delta('call add: {"a": 2}.', ()), END)
    assert put_together(steps) == ("", [("id 1", "add", '{"a": 2}')])


@pytest.mark.parametrize("size", [1, 3, 100])
async def test_json_in_place_of_calls_is_text_whatever_is_in_it(size: int) -> None:
    call = written(FORMATS[TAGGED], [("add", {"a": 1})])
    for answer, text, made in (
        (json.dumps({"t": call}), json.dumps({"t": call}), 0),
        (call, "", 1),
    ):
        pieces = [Delta(answer[at : at + size], ()) for at in range(0, len(answer), size)]
        told_text, read = put_together(
            await told(reader(FORMATS[TAGGED], apart=True), *pieces, END)
        )
        assert (told_text, len(read)) == (text, made)


async def test_reasoning_is_passed_on_whatever_is_in_it() -> None:
    thought = Delta("", (), "shall I <tool_call>?")
    found = reader(FORMATS[TAGGED])
    assert found.read(thought) is thought
    assert found.count == 0


async def test_a_control_token_stands_for_its_name_at_its_place_among_the_others() -> None:
    form = FORMATS[LIST_WITH_IDS]
    call = written(form, [("add", {"a": 1})]).removeprefix("[TOOL_CALLS]")
    tokens = (Token(1, b"Hi.", 0.0), Token(7, b"", 0.0, control=True), Token(2, call.encode(), 0.0))
    found = reader(form, marks={7: "[TOOL_CALLS]"})
    steps = await told(found, Delta(f"Hi.{call}", tokens), END)
    assert put_together(steps) == ("Hi.", [("id 1", "add", '{"a": 1}')])
    assert isinstance(steps[0], Delta) and steps[0].tokens == tokens


@pytest.mark.parametrize("size", [1, 4, 100])
async def test_the_letters_of_a_control_token_begin_no_call(size: int) -> None:
    text = written(FORMATS[LIST_WITH_IDS], [("add", {"a": 1})]) + " is how one calls."
    found = reader(FORMATS[LIST_WITH_IDS], marks={7: "[TOOL_CALLS]"})
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    steps = await told(found, *(Delta(one, (Token(1, one.encode(), 0.0),)) for one in pieces), END)
    assert put_together(steps) == (text, [])
    assert steps[-1] is END


async def test_what_names_no_tool_stays_text() -> None:
    call = written(FORMATS[TAGGED], [("rm", {"all": True})])
    text, read = put_together(await told(reader(FORMATS[TAGGED]), Delta(f"Hi. {call}", ()), END))
    assert read == []
    assert text.startswith("Hi.") and 'rm", "arguments": {"all": true}' in text
