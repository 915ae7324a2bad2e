"""Reasoning is told apart from the answer, by the tokens that are chosen."""

from __future__ import annotations

from typing import Any

import pytest

from quorate.engines.scripted.tokenizer import IM_END, IM_START
from quorate.ensemble.assembly import assemble
from quorate.ensemble.decode import decode
from quorate.ensemble.losses import Attendance, Losses
from quorate.ensemble.plain_generation import generate, lone_predictor
from quorate.ensemble.reasoning import Reasoning, ReasoningTranscript, begins_within, reasoning_of
from quorate.request import (
    Alignment,
    ChatPrompt,
    CombinationRule,
    Decision,
    Delta,
    FailurePolicy,
    FinishReason,
    Message,
    Prompt,
    ResponseOptions,
    StoppingOptions,
    TextPrompt,
    Token,
    Vote,
    WeightedModel,
    Weighting,
)
from support.ensembles import GREEDY, Told, params_of, run_out
from support.scripted_models import engine_sampling, scripted_engine
from support.vocabularies import family, id_of

THINKER: dict[str, Any] = {
    "say": "<|im_start|>why<|im_end|>so",
    "marks": True,
    "thinks": True,
    "confidence": 0.9999,
}
CHAT = ChatPrompt((Message("user", "x"),))
MARKS = Reasoning(frozenset({IM_START}), frozenset({IM_END}), within=False)


async def answer(prompt: Prompt, *names: str, alone: bool = False, **options: Any) -> Told:
    engines = [
        scripted_engine(name, seed=1, generate=alone, **THINKER, **options) for name in names
    ]
    decision = Decision(
        members=tuple(WeightedModel(name, 1 / len(names)) for name in names),
        rule=CombinationRule.LINEAR,
        alignment=Alignment.SAME_VOCABULARY,
        weighting=Weighting.STATIC,
        on_failure=FailurePolicy.AUTO,
        context_tokens=512,
        seed=0,
    )
    there = Attendance({one.model_id: one for one in engines}, Losses(decision.on_failure))
    ensemble = await assemble(decision, there, prompt, 20)
    await ensemble.open()
    try:
        if alone:
            predictor = lone_predictor(ensemble, GREEDY, ResponseOptions())
            assert predictor is not None
            sampling = engine_sampling(max_tokens=20)
            return await run_out(generate(ensemble, predictor, params_of(engines[0]), sampling))
        ensemble.start()
        return await run_out(decode(ensemble, params_of(engines[0], max_tokens=20)))
    finally:
        ensemble.close()


def reasoning(told: Told) -> str:
    return "".join(delta.reasoning or "" for delta in told.deltas)


@pytest.mark.parametrize("alone", [False, True], ids=["vote", "plain generation"])
async def test_reasoning_and_answer_come_apart(alone: bool) -> None:
    told = await answer(CHAT, "a", alone=alone)
    assert (reasoning(told), told.text) == ("why", "so")
    within = [delta.reasoning is not None for delta in told.deltas if delta.tokens]
    # Both marks belong to the reasoning.
    assert within == [True] * (len(within) - within.count(False)) + [False] * within.count(False)
    assert told.tokens[0].token_id == IM_START
    assert told.ended is FinishReason.END_OF_GENERATION


async def test_several_members_reason_as_one() -> None:
    told = await answer(CHAT, "a", "b")
    assert (reasoning(told), told.text) == ("why", "so")


async def test_of_a_raw_prompt_everything_is_the_answer() -> None:
    told = await answer(TextPrompt("x"), "a")
    assert (reasoning(told), told.text) == ("", "whyso")
    assert all(delta.reasoning is None for delta in told.deltas)


def spoken(transcript: ReasoningTranscript, *tokens: Token) -> list[Delta | FinishReason]:
    return [told for token in tokens for told in transcript.add(token)]


def texts(told: list[Delta | FinishReason]) -> list[tuple[str, str | None]]:
    return [(one.text, one.reasoning) for one in told if isinstance(one, Delta)]


def test_what_was_held_back_is_told_before_a_mark_and_nothing_goes_on_across_it() -> None:
    transcript = ReasoningTranscript(StoppingOptions(stop=("abc",)), MARKS)
    told = spoken(
        transcript,
        Token(IM_START, b"", 0.0, control=True),
        Token(9, b"xab", 0.0),
        Token(IM_END, b"", 0.0, control=True),
        Token(9, b"c\xe2\x82", 0.0),
    )
    assert texts(told) == [("", ""), ("", "x"), ("", "ab"), ("", ""), ("c", None)]
    assert transcript.ended is None
    assert texts([*transcript.end(FinishReason.END_OF_GENERATION)]) == [("", None)]


def test_a_stop_string_ends_the_answer_also_within_its_reasoning() -> None:
    transcript = ReasoningTranscript(StoppingOptions(stop=("b",)), MARKS)
    told = spoken(transcript, Token(IM_START, b"", 0.0), Token(9, b"ab", 0.0))
    assert texts(told) == [("", ""), ("", "a")]
    assert told[-1] is FinishReason.STOP_STRING


def test_an_answer_whose_template_began_the_reasoning_begins_within_it() -> None:
    thinking = family(marks=("<think>", "</think>"))
    begin, end = id_of(thinking, "<think>"), id_of(thinking, "</think>")
    space, letter = ord("\n"), ord("a")
    pairs = [(begin, end)]
    assert begins_within([letter, begin], pairs, thinking)
    assert begins_within([begin, space, space], pairs, thinking)
    assert not begins_within([begin, space, space, end, space], pairs, thinking)
    assert not begins_within([begin, letter], pairs, thinking)
    assert not begins_within([begin, 600], pairs, thinking)
    assert not begins_within([], pairs, thinking)
    found = reasoning_of([pairs], [[begin, space]], [thinking])
    assert found is not None
    assert found.within
    transcript = ReasoningTranscript(StoppingOptions(), found)
    told = spoken(transcript, Token(letter, b"a", 0.0), Token(end, b"", 0.0), Token(98, b"b", 0.0))
    assert texts(told) == [("", "a"), ("", ""), ("b", None)]


def test_marks_that_are_other_tokens_in_another_member_are_none() -> None:
    thinking, other = family(marks=("<think>", "</think>")), family(marks=("<x>", "</think>"))
    pairs = [(id_of(thinking, "<think>"), id_of(thinking, "</think>"))]
    assert reasoning_of([pairs, ()], [[], []], [thinking, other]) is None
    assert reasoning_of([pairs, ()], [[], []], [thinking, family(marks=())]) is not None
    assert reasoning_of([(), ()], [[], []], [thinking, other]) is None


def test_a_mark_that_is_ordinary_text_to_the_vocabulary_is_no_text_of_the_answer() -> None:
    transcript = ReasoningTranscript(StoppingOptions(), MARKS)
    told = spoken(
        transcript,
        Token(IM_START, b"<think>", 0.0, votes=(Vote("a", b"<think>", -0.1, 1.0, -0.1),)),
        Token(9, b"why", 0.0),
        Token(IM_END, b"</think>", 0.0),
        Token(9, b"so", 0.0),
    )
    assert texts(told) == [("", ""), ("", "why"), ("", ""), ("so", None)]
    tokens = [token for one in told if isinstance(one, Delta) for token in one.tokens]
    assert b"".join(token.piece for token in tokens) == b"whyso"
    assert tokens[0].votes[0].is_for(tokens[0])
