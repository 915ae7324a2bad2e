"""Control tokens in the byte-exact vote: moves without bytes, summed over as cuts are."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.engines.scripted.tokenizer import IM_END, IM_START
from quorate.ensemble.alignments.bytes.alignment import ByteAlignment
from quorate.ensemble.decode import decode, score
from quorate.ensemble.ensemble import Ensemble
from quorate.ensemble.losses import Losses
from quorate.ensemble.member import Member, MemberPrompt
from quorate.ensemble.weighting import StaticWeights
from quorate.request import (
    BeamOptions,
    ChatPrompt,
    CombinationRule,
    FailurePolicy,
    FinishReason,
    NoticeKind,
)
from support.byte_predictors import VOCABULARIES, open_sessions, restarted, started, toy_engine
from support.ensembles import PROMPT, byte_ensemble, die_and_return, params_of, run_out
from support.enumeration import END, Enumeration
from support.scripted_models import scripted_engine

# Far more than any of these beams holds: what is compared is exact.
ROOM = {"context_length": 4096, "sessions": 256}
BOX: dict[str, Any] = {"say": "<|im_start|>hi <|im_end|>there", "marks": True, "control": 0.01}


@settings(max_examples=12)
@given(st.text("ab", min_size=1, max_size=3).map(str.encode), st.integers(0, 50))
@pytest.mark.parametrize("name", list(VOCABULARIES))
async def test_the_marginal_over_control_tokens_is_that_of_brute_force(
    name: str, text: bytes, seed: int
) -> None:
    control = 0.003
    options: dict[str, Any] = {
        "pieces": list(VOCABULARIES[name]),
        "seed": seed,
        "control": control,
    }
    exact = Enumeration(control_moves=3, **options)
    predictor = await started(toy_engine(**options, **ROOM), kv_tokens=4000)
    # Four moves, which brute force leaves out, may outweigh an end that is less probable than they.
    left_out = 10 * control**4
    product = 1.0
    for byte in text:
        product *= float(predictor.state.probabilities[byte])
        await predictor.feed(byte)
    assert product == pytest.approx(exact.prefix(text), rel=1e-4, abs=left_out)
    ended = product * float(predictor.state.probabilities[END])
    assert ended == pytest.approx(exact.whole(text), rel=1e-4, abs=left_out)
    predictor.close()


async def test_the_marginal_holds_where_control_tokens_are_frequent() -> None:
    options = {"pieces": ["a", "b"], "seed": 3, "control": 0.2}
    exact = Enumeration(control_moves=7, **options)
    predictor = await started(toy_engine(**options, **ROOM), kv_tokens=4000)
    assert predictor.state.probabilities == pytest.approx(exact.next_symbol(b""), abs=1e-4)
    assert predictor.state.probabilities.sum() == pytest.approx(1.0)
    predictor.close()


async def test_a_control_token_that_begins_an_answer_is_followed_before_its_first_byte() -> None:
    engine = scripted_engine("box", seed=2, **BOX)
    predictor = await started(engine, epsilon=1e-2, width=4)
    (best, begun), *_ = sorted(predictor.state.segmentations, key=lambda one: -len(one[0]))
    assert (best, begun) == ([IM_START], b"")
    assert predictor.state.probabilities[ord("h")] > 0.9
    assert predictor.length == 1
    predictor.close()


@pytest.mark.parametrize("width", [1, 4])
async def test_what_stands_in_a_box_of_control_tokens_is_the_answer(width: int) -> None:
    ensemble = await byte_ensemble((scripted_engine("box", seed=2, **BOX), 1.0), width=width)
    told = await run_out(decode(ensemble, params_of(max_tokens=40)))
    ensemble.close()
    assert told.text == "hi there"
    assert told.ended is FinishReason.END_OF_GENERATION
    assert not any(token.control for token in told.tokens)


async def test_a_member_without_the_box_votes_beside_one_with_it() -> None:
    plain = scripted_engine("plain", vocabulary="words", seed=4, say="hi there")
    boxed = scripted_engine("box", seed=2, **BOX)
    ensemble = await byte_ensemble((boxed, 0.5), (plain, 0.5))
    told = await run_out(decode(ensemble, params_of(max_tokens=40)))
    ensemble.close()
    assert told.text == "hi there"
    assert told.ended is FinishReason.END_OF_GENERATION


async def test_a_text_is_scored_whatever_control_tokens_stand_within_it() -> None:
    engine = scripted_engine("box", seed=2, **BOX)
    ensemble = await byte_ensemble((engine, 1.0), width=8, starts=False)
    tokens = await score(ensemble, CombinationRule.LINEAR, b"hi there")
    ensemble.close()
    assert math.fsum(token.logprob for token in tokens) > math.log(0.8)


async def test_endless_control_tokens_end_with_the_tokens_of_the_answer() -> None:
    endless = {"say": "<|im_start|>" * 60, "marks": True, "confidence": 0.9999}
    engine = scripted_engine("mute", seed=1, **endless)
    alignment = ByteAlignment(BeamOptions(1e-2, 4))
    prompt = MemberPrompt(await engine.encode(PROMPT), 12, margin=80)
    predictor = alignment.predictor(engine, ChatPrompt(()), prompt, 12)
    member = Member("mute", engine, prompt, predictor)
    ensemble = Ensemble(alignment, [member], Losses(FailurePolicy.AUTO), StaticWeights([1.0]))
    await ensemble.open()
    ensemble.start()
    told = await run_out(decode(ensemble, params_of(max_tokens=12)))
    assert told.ended is FinishReason.MAX_TOKENS
    assert told.text == ""
    assert (ensemble.length, predictor.forwards) == (12, 12)
    ensemble.close()
    assert open_sessions(engine) == 0


async def test_control_tokens_that_nobody_could_follow_to_an_end_still_end() -> None:
    engine = scripted_engine("mute", seed=1, control=0.999)
    ensemble = await byte_ensemble((engine, 1.0))
    told = await run_out(decode(ensemble, params_of(max_tokens=12)))
    ensemble.close()
    assert told.ended is FinishReason.MAX_TOKENS
    assert told.text == ""


async def test_a_beam_behind_control_tokens_comes_back_as_it_was() -> None:
    engine = scripted_engine("box", seed=2, **BOX)
    predictor = await started(engine, epsilon=1e-3, width=6)
    for byte in b"hi ":
        await predictor.feed(byte)
    before = predictor.state.probabilities.copy()
    assert any(IM_END in tokens for tokens, _ in predictor.state.segmentations)
    await restarted(predictor)
    assert predictor.state.probabilities == pytest.approx(before, rel=1e-9, abs=1e-12)
    predictor.close()


async def test_a_worker_lost_among_control_tokens_is_replayed() -> None:
    engine = scripted_engine("box", seed=2, **BOX)
    ensemble = await byte_ensemble((engine, 1.0))
    steps = decode(ensemble, params_of(max_tokens=40))
    told = await run_out(steps, {1: lambda: die_and_return(engine)})
    ensemble.close()
    assert told.text == "hi there"
    assert [notice.kind for notice in told.notices] == [NoticeKind.MEMBER_REPLAYED]


async def test_much_mass_that_is_cut_is_told_once() -> None:
    ensemble = await byte_ensemble((scripted_engine("cut", seed=1, masked=0.4), 1.0))
    told = await run_out(decode(ensemble, params_of(max_tokens=6)))
    ensemble.close()
    assert [(notice.kind, notice.model) for notice in told.notices] == [
        (NoticeKind.MASS_CUT, "cut")
    ]
    assert "40%" in told.notices[0].message
