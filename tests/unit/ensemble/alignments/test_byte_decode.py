"""The decode loop over bytes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.ensemble.decode import DecodeParams, decode, score
from quorate.ensemble.ensemble import Ensemble
from quorate.request import (
    CombinationRule,
    FinishReason,
    ResponseOptions,
    SamplingOptions,
    StoppingOptions,
)
from support.byte_predictors import everything_is_free
from support.ensembles import GREEDY, PROMPT, Told, byte_ensemble, params_of, run_out
from support.enumeration import END, Enumeration
from support.in_process import InProcessEngine
from support.scripted_models import scripted_engine

SAY = "sat on the mat"


def pair(**options: Any) -> tuple[InProcessEngine, InProcessEngine]:
    """Two models with different vocabularies."""
    return (
        scripted_engine("letters", vocabulary="letters", seed=1, **options),
        scripted_engine("words", vocabulary="words", seed=2, **options),
    )


async def run(ensemble: Ensemble, how: DecodeParams) -> Told:
    told = await run_out(decode(ensemble, how))
    ensemble.close()
    return told


async def answer(how: DecodeParams, **options: Any) -> Told:
    letters, words = pair(**options)
    return await run(await byte_ensemble((letters, 0.5), (words, 0.5)), how)


async def test_members_with_different_vocabularies_say_together_what_both_would_say() -> None:
    told = await answer(params_of(max_tokens=200), say=SAY)
    assert told.text == SAY
    assert told.ended is FinishReason.END_OF_GENERATION


async def test_what_is_told_are_words_without_token_ids() -> None:
    told = await answer(params_of(max_tokens=200), say=SAY)
    assert [token.piece for token in told.tokens] == [b"sat", b" on", b" the", b" mat"]
    assert {token.token_id for token in told.tokens} == {None}
    assert all(len(delta.tokens) == 1 for delta in told.deltas)


async def test_a_text_of_several_bytes_comes_in_whole_code_points() -> None:
    told = await answer(params_of(max_tokens=200), say="é€\U0001f600 über")
    assert told.text == "é€\U0001f600 über"
    assert all(delta.text.encode().decode() == delta.text for delta in told.deltas)
    assert b"".join(token.piece for token in told.tokens).decode() == told.text


async def test_the_token_limit_counts_tokens_of_the_member_that_needs_most() -> None:
    letters = scripted_engine("letters", pieces=list("sat onhem"), say=SAY)
    words = scripted_engine("words", pieces=["sat", " on", " the", " mat"], say=SAY)
    for most in (1, 3, 6):
        told = await run(
            await byte_ensemble((letters, 0.5), (words, 0.5)), params_of(max_tokens=most)
        )
        assert told.text == SAY[:most]
        assert told.ended is FinishReason.MAX_TOKENS


async def test_the_token_limit_never_cuts_a_code_point() -> None:
    engine = scripted_engine("bytes", say="€€€")
    for most in (1, 2, 3, 4, 5, 6):
        told = await run(await byte_ensemble((engine, 1.0)), params_of(max_tokens=most))
        assert told.text == "€" * math.ceil(most / 3)
        assert told.ended is FinishReason.MAX_TOKENS


@pytest.mark.parametrize(("most", "text"), [(1, "a"), (3, "a"), (4, "a€"), (5, "a€"), (7, "a€€")])
async def test_the_byte_limit_cuts_between_code_points(most: int, text: str) -> None:
    how = params_of(max_tokens=200, stopping=StoppingOptions(max_bytes=most))
    told = await answer(how, say="a€€!")
    assert (told.text, told.ended) == (text, FinishReason.MAX_BYTES)


@pytest.mark.parametrize(
    ("stop", "text"),
    [("the", "sat on "), ("t o", "sa"), ("n the m", "sat o"), ("mat", "sat on the ")],
)
async def test_a_stop_string_ends_the_answer_before_itself_also_across_words(
    stop: str, text: str
) -> None:
    how = params_of(max_tokens=200, stopping=StoppingOptions(stop=(stop,)))
    told = await answer(how, say=SAY)
    assert (told.text, told.ended) == (text, FinishReason.STOP_STRING)


async def test_a_text_held_back_for_a_stop_string_comes_at_the_end() -> None:
    how = params_of(max_tokens=200, stopping=StoppingOptions(stop=("the matter",)))
    told = await answer(how, say=SAY)
    assert (told.text, told.ended) == (SAY, FinishReason.END_OF_GENERATION)


async def test_an_answer_that_ends_at_once_is_empty() -> None:
    options = {"pieces": ["a"], "sharpness": 1e3}
    prompt = await scripted_engine(**options).encode(PROMPT)
    seed = next(
        seed
        for seed in range(100)
        if Enumeration(prompt, **options, seed=seed).next_symbol(b"")[END] > 0.9
    )
    ensemble = await byte_ensemble((scripted_engine(**options, seed=seed), 1.0))
    told = await run(ensemble, params_of())
    assert (told.deltas, told.ended) == ([], FinishReason.END_OF_GENERATION)


async def test_greedy_decoding_takes_the_best_symbol_of_the_mixture_and_tells_its_log_prob() -> (
    None
):
    told = await answer(params_of(response=ResponseOptions(top_logprobs=3)))
    for token in told.tokens:
        assert token.top[0].piece == token.piece[:1]
        assert [c.token_id for c in token.top] == [None] * 3
        assert token.logprob <= token.top[0].logprob + 1e-9


async def test_a_seed_gives_the_same_text_again_and_another_seed_another() -> None:
    hot = SamplingOptions(temperature=1.2, top_k=0, top_p=1.0, min_p=0.0)
    texts = [(await answer(params_of(sampling=hot, seed=seed))).text for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


@settings(max_examples=40)
@given(
    st.integers(0, 10**6),
    st.sampled_from(list(CombinationRule)),
    st.sampled_from([1e-2, 0.3]),
    st.sampled_from([0.0, 1.0]),
)
async def test_whatever_the_models_say_is_text(
    seed: int, rule: CombinationRule, epsilon: float, sharpness: float
) -> None:
    hot = SamplingOptions(temperature=1.5, top_k=0, top_p=1.0, min_p=0.0)
    letters = scripted_engine("letters", seed=seed, sharpness=sharpness)
    words = scripted_engine("words", vocabulary="words", seed=seed, sharpness=sharpness)
    ensemble = await byte_ensemble((letters, 0.5), (words, 0.5), epsilon=epsilon)
    told = await run(ensemble, params_of(sampling=hot, seed=seed, rule=rule, max_tokens=15))
    assert told.ended is not None
    pieces = b"".join(token.piece for token in told.tokens)
    assert pieces.decode("utf-8", errors="strict") == told.text
    assert await everything_is_free(letters)
    assert await everything_is_free(words)


async def test_members_of_partial_code_points_alone_are_kept_to_text() -> None:
    half = scripted_engine("half", vocabulary="letters", seed=8, sharpness=0.0)
    hot = SamplingOptions(temperature=1.5, top_k=0, top_p=1.0, min_p=0.0)
    for seed in range(5):
        ensemble = await byte_ensemble((half, 1.0), epsilon=0.5, width=1)
        told = await run(ensemble, params_of(sampling=hot, seed=seed, max_tokens=30))
        assert b"".join(token.piece for token in told.tokens).decode() == told.text


async def test_a_vote_is_told_for_each_word_with_what_each_member_wanted() -> None:
    letters = scripted_engine("letters", say="sat here", seed=1)
    words = scripted_engine("words", vocabulary="words", say="sat on", seed=2)
    shown = ResponseOptions(member_votes=True)
    ensemble = await byte_ensemble((letters, 0.25), (words, 0.75))
    told = await run(ensemble, params_of(max_tokens=200, response=shown))
    assert told.text == "sat on"
    agreed, parted = told.tokens
    assert [(v.model, v.piece) for v in agreed.votes] == [("letters", b"sat"), ("words", b"sat")]
    assert [(v.model, v.piece) for v in parted.votes] == [("letters", b" he"), ("words", b" on")]
    assert [vote.weight for vote in agreed.votes] == [0.25, 0.75]
    assert parted.votes[0].chosen_logprob < parted.votes[1].chosen_logprob


async def test_a_majority_that_is_tied_is_flagged() -> None:
    one = scripted_engine("a", say="yes", seed=1)
    other = scripted_engine("b", say="no", vocabulary="words", seed=2)
    ensemble = await byte_ensemble((one, 0.5), (other, 0.5))
    told = await run(ensemble, params_of(rule=CombinationRule.MAJORITY, max_tokens=3))
    assert told.tokens[0].tied
    ensemble = await byte_ensemble((one, 0.75), (other, 0.25))
    told = await run(ensemble, params_of(rule=CombinationRule.MAJORITY, max_tokens=3))
    assert told.text == "yes"
    assert not told.tokens[0].tied


async def test_a_score_repeats_what_the_stream_said() -> None:
    told = await answer(params_of(max_tokens=20))
    letters, words = pair()
    ensemble = await byte_ensemble((letters, 0.5), (words, 0.5), starts=False)
    scored = await score(ensemble, CombinationRule.LINEAR, told.text.encode())
    assert [token.piece for token in scored] == [token.piece for token in told.tokens]
    assert [token.logprob for token in scored] == [token.logprob for token in told.tokens]
    ensemble.close()


async def test_temperature_acts_on_the_choice_and_not_on_what_is_told() -> None:
    cold = await answer(params_of(sampling=SamplingOptions(temperature=1e-6, top_k=0)))
    greedy = await answer(params_of(sampling=GREEDY))
    assert cold.text == greedy.text
    assert np.isclose(cold.logprob, greedy.logprob)
