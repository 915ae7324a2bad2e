"""Answers that call tools: alone, by a vote of tokens, and by one of bytes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import product
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from quorate.dispatch import Dispatcher
from quorate.errors import InvalidRequest, UnsupportedPlan
from quorate.request import (
    Alignment,
    CascadePlan,
    ChatPrompt,
    ConstraintKind,
    Delta,
    DraftMode,
    DraftOptions,
    Event,
    FailurePolicy,
    Finished,
    FinishReason,
    Message,
    OutputConstraint,
    Plan,
    PlanChoice,
    Request,
    SamplingOptions,
    Stage,
    StoppingOptions,
    Tool,
    ToolCall,
    ToolChoice,
    ToolMode,
    WeightedModel,
)
from support.dispatching import GREEDY, bare_dispatcher
from support.tool_templates import LIST_WITH_IDS, ONE_BARE_OBJECT, TAGGED

PARAMETERS = {
    "type": "object",
    "properties": {
        "n": {"type": "integer", "minimum": 0, "maximum": 99},
        "s": {"enum": ["x", "y"]},
    },
    "required": ["n", "s"],
    "additionalProperties": False,
}
COUNT = Tool("count", "Counts.", json.dumps(PARAMETERS), strict=True)
STOP = Tool("stop")
# Nobody knows how to follow it.
ODD_SCHEMA = '{"type": "object", "propertyNames": {"pattern": "^a"}, "minProperties": 3}'
ASKED = Message("user", "once upon")
CALLED = '<tool_call>\n{"name": "count", "arguments": {"n": 3, "s": "x"}}\n</tool_call>'
MODELS: dict[str, dict[str, Any]] = {
    "a": {"seed": 1},
    "b": {"seed": 2},
    "words": {"vocabulary": "words", "seed": 3},
    "says": {"say": f"I count. {CALLED} and more", "confidence": 0.99999},
    "agrees": {"say": f"I count. {CALLED}", "confidence": 0.99999, "vocabulary": "words"},
    "chats": {"say": "No call.", "confidence": 0.99999},
}
LONG = {"context_length": 4096}
REQUIRED = ToolChoice(ToolMode.REQUIRED)


def plan(*models: str, **rest: Any) -> Plan:
    return Plan(tuple(map(WeightedModel, models)), **rest)


def roomy(models: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The same with a context that holds tools as well."""
    return {name: LONG | options for name, options in models.items()}


PLANS = {"alone": plan("a"), "tokens": plan("a", "b"), "bytes": plan("a", "words")}


class Told:
    """An answer with its calls."""

    def __init__(self, events: Sequence[Event]) -> None:
        deltas = [event for event in events if isinstance(event, Delta)]
        self.text = "".join(delta.text for delta in deltas)
        self.calls: list[ToolCall] = []
        for part in (part for delta in deltas for part in delta.calls):
            if part.name:
                self.calls.append(ToolCall(part.call_id, part.name, ""))
            old = self.calls[part.index]
            self.calls[part.index] = ToolCall(old.call_id, old.name, old.arguments + part.arguments)
        assert isinstance(events[-1], Finished)
        self.reason = events[-1].reason


async def asked(
    dispatcher: Dispatcher,
    choice: PlanChoice,
    *messages: Message,
    tools: tuple[Tool, ...] = (COUNT, STOP),
    **rest: Any,
) -> Told:
    prompt = ChatPrompt(messages or (ASKED,), tools=tools)
    details = {"sampling": GREEDY, "stopping": StoppingOptions(max_tokens=250)} | rest
    request = Request(prompt, choice, **details)
    return Told([event async for event in dispatcher.generate(request)])


async def answer(choice: PlanChoice, *messages: Message, **rest: Any) -> Told:
    async with bare_dispatcher(**roomy(MODELS)) as (dispatcher, _):
        return await asked(dispatcher, choice, *messages, **rest)


@pytest.mark.parametrize("name", PLANS)
async def test_an_answer_that_must_call_is_calls_with_valid_arguments(name: str) -> None:
    modes = [DraftOptions(DraftMode.OFF), DraftOptions(DraftMode.PROMPT)]
    async with bare_dispatcher(**roomy(MODELS)) as (dispatcher, _):
        for drafts, temperature, seed in product(modes, (0.0, 1.0), (1, 2)):
            told = await asked(
                dispatcher,
                Plan(PLANS[name].members, draft=drafts),
                sampling=SamplingOptions(temperature, seed=seed),
                tool_choice=ToolChoice(ToolMode.REQUIRED, "count", parallel=False),
            )
            assert told.text == ""
            assert [call.name for call in told.calls] == ["count"]
            assert told.reason is FinishReason.TOOL_CALLS
            Draft202012Validator(PARAMETERS).validate(json.loads(told.calls[0].arguments))


async def test_the_model_decides_whether_it_calls() -> None:
    calls = await answer(plan("says"), tool_choice=ToolChoice(parallel=False))
    assert (calls.text, calls.reason) == ("I count.", FinishReason.TOOL_CALLS)
    assert calls.calls == [ToolCall(calls.calls[0].call_id, "count", '{"n": 3, "s": "x"}')]
    chats = await answer(plan("chats"))
    assert (chats.text, chats.calls) == ("No call.", [])
    assert chats.reason is FinishReason.END_OF_GENERATION


async def test_members_with_different_tokenizers_write_one_call() -> None:
    told = await answer(plan("says", "agrees"))
    assert (told.text, told.reason) == ("I count.", FinishReason.TOOL_CALLS)
    assert [(call.name, call.arguments) for call in told.calls] == [("count", '{"n": 3, "s": "x"}')]


async def test_without_a_choice_of_tools_marks_are_text() -> None:
    told = await answer(plan("agrees"), tool_choice=ToolChoice(ToolMode.NONE))
    assert (told.text, told.calls) == (f"I count. {CALLED}", [])


@pytest.mark.parametrize("name", PLANS)
async def test_json_of_a_schema_is_the_answer_where_nothing_is_called(name: str) -> None:
    form = OutputConstraint(ConstraintKind.JSON_SCHEMA, json.dumps(PARAMETERS))
    for seed in (1, 2, 3):
        told = await answer(PLANS[name], sampling=SamplingOptions(1.0, seed=seed), constraint=form)
        if told.calls:
            assert told.text == ""
        elif told.reason is FinishReason.END_OF_GENERATION:
            Draft202012Validator(PARAMETERS).validate(json.loads(told.text))
    calls = await answer(plan("agrees"), constraint=form)
    assert calls.calls == [] or calls.text == ""


async def test_where_calls_begin_like_json_they_cannot_stand_in_its_place() -> None:
    form = OutputConstraint(ConstraintKind.JSON_SCHEMA, "{}")
    async with bare_dispatcher(bare=LONG | {"template": ONE_BARE_OBJECT}) as (dispatcher, _):
        with pytest.raises(UnsupportedPlan, match="writes calls that begin like JSON"):
            await asked(dispatcher, plan("bare"), constraint=form)


async def test_every_stage_of_a_cascade_may_call() -> None:
    cascade = CascadePlan((Stage(plan("chats"), 1.0), Stage(plan("agrees"), 0.0)))
    told = await answer(cascade)
    assert [call.name for call in told.calls] == ["count"]


async def test_an_answer_goes_on_with_the_results_of_calls() -> None:
    call = ToolCall("c1", "count", '{"n": 3, "s": "x"}')
    called = Message("assistant", "", (call,))
    told = await answer(plan("chats", "a"), ASKED, called, Message("tool", "3", (), "c1", "count"))
    assert told.calls == []
    assert told.text != ""


async def test_a_strict_schema_that_cannot_be_followed_is_refused_at_its_place() -> None:
    async with bare_dispatcher(**roomy(MODELS)) as (dispatcher, cast):
        with pytest.raises(InvalidRequest) as refused:
            odd = Tool("odd", "", ODD_SCHEMA, strict=True)
            await asked(dispatcher, PLANS["tokens"], tools=(STOP, odd))
        assert refused.value.field == "chat.tools[1].parameters"
        assert all(engine.sessions_opened == 0 for engine in cast.engines.values())


async def test_another_one_has_any_object_for_arguments() -> None:
    odd = ToolChoice(ToolMode.REQUIRED, "odd", parallel=False)
    told = await answer(
        PLANS["alone"],
        tools=(Tool("odd", "", ODD_SCHEMA), COUNT),
        tool_choice=odd,
        stopping=StoppingOptions(max_tokens=60),
    )
    assert [call.name for call in told.calls] == ["odd"]
    assert told.calls[0].arguments.startswith("{")


async def test_a_call_that_is_cut_short_ends_where_it_was_cut() -> None:
    told = await answer(
        PLANS["alone"], tool_choice=REQUIRED, stopping=StoppingOptions(max_tokens=45)
    )
    assert told.reason is FinishReason.MAX_TOKENS
    assert told.text == ""


async def test_a_vote_on_few_candidates_is_refused() -> None:
    with pytest.raises(UnsupportedPlan, match="choose another alignment"):
        await answer(plan("a", "words", alignment=Alignment.UNION_TOP_K))


async def test_calls_are_written_in_the_format_of_the_first_member() -> None:
    say = '[TOOL_CALLS] [{"name": "stop", "arguments": {}, "id": "abcdefghi"}]'
    models = {
        "lists": {"template": LIST_WITH_IDS, "say": say, "confidence": 0.99999},
        "tags": {"template": TAGGED, "say": CALLED, "confidence": 0.99999},
    }
    async with bare_dispatcher(**roomy(models)) as (dispatcher, _):
        first = await asked(dispatcher, Plan((WeightedModel("lists", 9.0), WeightedModel("tags"))))
        assert [(call.name, call.arguments) for call in first.calls] == [("stop", "{}")]
        other = await asked(dispatcher, Plan((WeightedModel("tags", 9.0), WeightedModel("lists"))))
        assert [call.name for call in other.calls] == ["count"]


async def test_a_model_thinks_before_it_calls() -> None:
    model = {
        "thinks": True,
        "marks": True,
        "say": f"<|im_start|>hm<|im_end|>{CALLED}",
        "confidence": 0.99999,
        "template": "{% for one in messages %}{{ one.content }}{% endfor %}",
    }
    async with bare_dispatcher(a=LONG | model) as (dispatcher, _):
        for choice in (ToolChoice(), REQUIRED):
            request = Request(
                ChatPrompt((ASKED,), tools=(COUNT,)),
                plan("a"),
                GREEDY,
                StoppingOptions(max_tokens=250),
                tool_choice=choice,
            )
            events = [event async for event in dispatcher.generate(request)]
            thoughts = [one.reasoning or "" for one in events if isinstance(one, Delta)]
            assert "".join(thoughts) == "hm"
            assert [call.name for call in Told(events).calls] == ["count"]


async def test_of_a_choice_that_need_not_be_made_a_name_leaves_one_tool() -> None:
    named = ToolChoice(ToolMode.AUTO, "count")
    assert (await answer(plan("chats"), tool_choice=named)).text == "No call."
    told = await answer(plan("agrees"), tool_choice=named)
    assert [call.name for call in told.calls] == ["count"]
    told = await answer(plan("agrees"), tool_choice=ToolChoice(ToolMode.AUTO, "stop"))
    assert [call.name for call in told.calls] in ([], ["stop"])


async def test_members_of_near_equal_vocabularies_call_with_control_tokens() -> None:
    template = TAGGED.replace("<|im_start|>", "<turn>").replace("<|im_end|>", "</turn>")
    template = template.replace("<tool_call>", "<|im_start|>").replace("</tool_call>", "<|im_end|>")
    say = '<|im_start|>\n{"name": "stop", "arguments": {}}\n<|im_end|>'
    pieces = [*map(chr, range(32, 127)), "\n", *(f"w{number}" for number in range(100))]
    said = {"say": say, "marks": True, "confidence": 0.99999, "template": template}
    models = {"a": {**said, "pieces": pieces}, "b": {**said, "pieces": [*pieces, "end"]}}
    async with bare_dispatcher(**roomy(models)) as (dispatcher, _):
        for choice in (plan("a"), plan("a", "b")):
            told = await asked(dispatcher, choice, tool_choice=ToolChoice(parallel=False))
            assert [(call.name, call.arguments) for call in told.calls] == [("stop", "{}")]
            assert told.reason is FinishReason.TOOL_CALLS


async def test_members_that_vote_on_bytes_call_with_letters_where_the_first_has_a_token() -> None:
    template = TAGGED.replace("<|im_start|>", "<turn>").replace("<|im_end|>", "</turn>")
    marked = template.replace("<tool_call>", "<|im_start|>")
    models = {
        "marked": {"template": marked, "say": CALLED, "confidence": 0.99999},
        "other": {"vocabulary": "words", "say": CALLED, "confidence": 0.99999},
    }
    async with bare_dispatcher(**roomy(models)) as (dispatcher, _):
        told = await asked(dispatcher, plan("marked", "other"))
    assert (told.text, [call.name for call in told.calls]) == ("", ["count"])


async def test_a_model_that_wants_turns_to_alternate_takes_several_results() -> None:
    alternates = (
        "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('turns alternate') }}{% endif %}<{{ m.role }}>{{ m.content }}"
        "{% endfor %}"
    )
    model = {"template": alternates, "say": "Both.", "confidence": 0.99999}
    calls = tuple(ToolCall(f"c{at}", "stop", "{}") for at in range(2))
    results = [Message("tool", "done", (), call.call_id, "stop") for call in calls]
    async with bare_dispatcher(**roomy({"a": model})) as (dispatcher, _):
        told = await asked(dispatcher, plan("a"), ASKED, Message("assistant", "", calls), *results)
    assert told.text == "Both."


async def test_calls_are_read_as_they_were_asked_for_whoever_is_lost_meanwhile() -> None:
    bare = {"template": ONE_BARE_OBJECT, "say": CALLED, "confidence": 0.99999}
    tags = {"template": TAGGED, "say": CALLED, "confidence": 0.99999}
    async with bare_dispatcher(**roomy({"tags": tags, "bare": bare})) as (dispatcher, cast):
        engine = cast.engines["tags"]
        opened = dispatcher._fleet.guides.open

        async def open_and_lose(*given: Any) -> Any:
            session = await opened(*given)
            engine.lose("it was killed")
            return session

        dispatcher._fleet.guides.open = open_and_lose  # type: ignore[method-assign]
        told = await asked(dispatcher, plan("tags", "bare", on_failure=FailurePolicy.CONTINUE))
    assert [call.name for call in told.calls] == ["count"]
    assert "<tool_call>" not in told.text
