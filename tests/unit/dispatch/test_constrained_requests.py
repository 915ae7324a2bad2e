"""Answers that must be of some form: alone, by a vote of tokens, and by one of bytes."""

from __future__ import annotations

import json
import re
from functools import partial
from itertools import product
from typing import Any

import pytest

from quorate.dispatch import Dispatcher, voting
from quorate.ensemble.drafts.costs import Guesser
from quorate.errors import InvalidRequest, UnsupportedPlan
from quorate.request import (
    Alignment,
    ChatPrompt,
    CombinationRule,
    ConstraintKind,
    Delta,
    DraftMode,
    DraftOptions,
    Finished,
    FinishReason,
    Message,
    OutputConstraint,
    Plan,
    Request,
    SamplingOptions,
    StoppingOptions,
    TextPrompt,
    WeightedModel,
)
from support.dispatching import GREEDY, Answer, bare_dispatcher
from support.drafts import FixedPace
from support.managed_engines import Cast

PROMPT = TextPrompt("once upon")
MODELS: dict[str, dict[str, Any]] = {
    "a": {"seed": 1},
    "b": {"seed": 2},
    "words": {"vocabulary": "words", "seed": 3},
}
PATTERN = r"[ab]{3}(x|yz)+ end"
SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer", "minimum": 0}, "tags": {"enum": ["x", "yes"]}},
    "required": ["n", "tags"],
    "additionalProperties": False,
}
PLANS = {
    "alone": Plan((WeightedModel("a"),)),
    "tokens": Plan((WeightedModel("a"), WeightedModel("b"))),
    "bytes": Plan((WeightedModel("a"), WeightedModel("words"))),
}


def constraint(kind: str, text: object) -> OutputConstraint:
    written = text if isinstance(text, str) else json.dumps(text)
    return OutputConstraint(ConstraintKind(kind), written)


async def asked(dispatcher: Dispatcher, plan: Plan, form: OutputConstraint, **rest: Any) -> Answer:
    details = {"sampling": GREEDY, "stopping": StoppingOptions(max_tokens=200)} | rest
    request = Request(PROMPT, plan, constraint=form, **details)
    return Answer([event async for event in dispatcher.generate(request)])


async def answer(plan: Plan, form: OutputConstraint, **rest: Any) -> Answer:
    async with bare_dispatcher(**MODELS) as (dispatcher, _):
        return await asked(dispatcher, plan, form, **rest)


def drafting(plan: Plan) -> list[Plan]:
    """The plan with nobody who guesses, by what was said before, and by its first member."""
    modes = [DraftOptions(DraftMode.OFF), DraftOptions(DraftMode.PROMPT)]
    if len(plan.members) > 1:
        modes.append(DraftOptions(model=plan.members[0].model))
    return [Plan(plan.members, draft=mode) for mode in modes]


@pytest.mark.parametrize("name", PLANS)
async def test_the_whole_text_is_of_the_form(name: str) -> None:
    plan, form = PLANS[name], constraint("regex", PATTERN)
    async with bare_dispatcher(**MODELS) as (dispatcher, _):
        for drafts, temperature in product(drafting(plan), (0.0, 1.5)):
            sampling = SamplingOptions(temperature, top_p=1.0, top_k=0, seed=3, min_p=0.0)
            told = await asked(dispatcher, drafts, form, sampling=sampling)
            if told.finished.reason is FinishReason.END_OF_GENERATION:
                assert re.fullmatch(PATTERN, told.text)
            else:
                assert told.finished.reason is FinishReason.MAX_TOKENS
                assert re.fullmatch(r"[ab]{3}[xyz]+", told.text)


@pytest.mark.parametrize("name", PLANS)
async def test_json_of_a_schema_is_valid_and_ends_by_itself(name: str) -> None:
    bias = SamplingOptions(temperature=0.7, seed=1)
    told = await answer(PLANS[name], constraint("json_schema", SCHEMA), sampling=bias)
    if told.finished.reason is FinishReason.END_OF_GENERATION:
        value = json.loads(told.text)
        assert value.keys() == {"n", "tags"}
        assert value["n"] >= 0 and value["tags"] in ("x", "yes")
    else:
        assert told.text.lstrip().startswith("{")


@pytest.mark.parametrize("name", PLANS)
async def test_with_drafts_the_text_is_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    form = constraint("grammar", 'start: ("a" | "th" | "the ")~15..19 "."')
    async with bare_dispatcher(**MODELS) as (dispatcher, _):
        plain, *drafted = drafting(PLANS[name])
        text = (await asked(dispatcher, plain, form)).text
        assert re.fullmatch(r"(a|th|the ){15,19}\.", text)
        for plan in drafted:
            guesser = Guesser.MEMBER if plan.draft.model else Guesser.LOOKUP
            monkeypatch.setattr(voting, "Pace", partial(_fixed, guesser))
            told = await asked(dispatcher, plan, form)
            assert told.text == text
            assert told.finished.usage.drafted_tokens > 0


def _fixed(guesser: Guesser, *_: Any, **__: Any) -> FixedPace:
    """Guesses whenever it can, whatever that takes."""
    return FixedPace(guesser, 4)


async def test_what_is_told_of_a_token_is_what_the_mixture_gave_it() -> None:
    form = constraint("regex", "z")
    told = await answer(PLANS["alone"], form)
    (token,) = told.tokens
    assert token.piece == b"z"
    assert -30.0 < token.logprob < -1.0


async def test_a_wrong_form_is_refused_before_anything_begins() -> None:
    async with bare_dispatcher(**MODELS) as (dispatcher, cast):
        request = Request(PROMPT, PLANS["tokens"], constraint=constraint("regex", "("))
        with pytest.raises(InvalidRequest) as refused:
            async for _ in dispatcher.generate(request):
                pass
        assert refused.value.field == "regex"
        assert all(engine.sessions_opened == 0 for engine in cast.engines.values())


async def test_a_vocabulary_that_cannot_spell_what_must_come_is_refused() -> None:
    async with bare_dispatcher(few={"pieces": ["a", "b"]}) as (dispatcher, _):
        request = Request(
            TextPrompt("ab"), Plan((WeightedModel("few"),)), constraint=constraint("regex", "x+")
        )
        with pytest.raises(UnsupportedPlan, match="no token for what must come"):
            async for _ in dispatcher.generate(request):
                pass


async def test_a_vote_on_few_candidates_is_refused() -> None:
    plan = Plan(PLANS["bytes"].members, alignment=Alignment.UNION_TOP_K)
    with pytest.raises(UnsupportedPlan, match="choose another alignment"):
        await answer(plan, constraint("regex", "a+"))


async def test_sessions_of_guides_end_with_their_answers() -> None:
    async with bare_dispatcher(**MODELS) as (dispatcher, cast):
        assert isinstance(cast, Cast)
        guides = dispatcher._fleet.guides
        request = Request(PROMPT, PLANS["tokens"], constraint=constraint("regex", "[ab]+"))
        events = dispatcher.generate(request)
        await anext(events)
        assert sum(guide.sessions for guide in guides._guides.values()) == 1
        await events.aclose()
        assert sum(guide.sessions for guide in guides._guides.values()) == 0


async def test_members_of_a_majority_vote_among_what_may_come() -> None:
    plan = Plan(PLANS["tokens"].members, rule=CombinationRule.MAJORITY)
    alone = await answer(PLANS["alone"], constraint("regex", "[a-z]{8}"))
    twins = {"a": {"seed": 1}, "b": {"seed": 1}}
    async with bare_dispatcher(**twins) as (dispatcher, _):
        told = await asked(dispatcher, plan, constraint("regex", "[a-z]{8}"))
    assert told.text == alone.text


@pytest.mark.parametrize("begun", [True, False], ids=["by its template", "by itself"])
async def test_a_form_holds_behind_what_a_model_thinks_and_has_no_marks_in_it(begun: bool) -> None:
    written = "{% for one in messages %}{{ one.content }}{% endfor %}"
    say = "hm<|im_end|>yes" if begun else "<|im_start|>hm<|im_end|>yes"
    model = {
        "thinks": True,
        "marks": True,
        "say": say,
        "confidence": 0.9999,
        "template": f"{written}<|im_start|>" if begun else written,
    }
    async with bare_dispatcher(a=model) as (dispatcher, _):
        request = Request(
            ChatPrompt((Message("user", "x"),)),
            PLANS["alone"],
            GREEDY,
            StoppingOptions(max_tokens=40),
            constraint=constraint("regex", "(yes|no)"),
        )
        events = [event async for event in dispatcher.generate(request)]
    deltas = [event for event in events if isinstance(event, Delta)]
    assert "".join(one.reasoning or "" for one in deltas) == ("hm" if begun else "")
    assert "".join(one.text for one in deltas) in ("yes", "no")
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert finished.reason is FinishReason.END_OF_GENERATION


async def test_members_with_near_equal_vocabularies_keep_to_a_form() -> None:
    pieces = ["x", "y", "z", "xy"]
    models = {"a": {"pieces": pieces}, "b": {"pieces": [*pieces, "yz"], "seed": 2}}
    async with bare_dispatcher(**models) as (dispatcher, _):
        plan = Plan((WeightedModel("a"), WeightedModel("b")))
        request = Request(
            TextPrompt("x"),
            plan,
            SamplingOptions(temperature=1.0, seed=5),
            constraint=constraint("regex", "(xyz)+"),
            stopping=StoppingOptions(max_tokens=30),
        )
        told = Answer([event async for event in dispatcher.generate(request)])
    assert told.text.startswith("xyz"[: len(told.text)])
    assert set(told.text) <= set("xyz")
