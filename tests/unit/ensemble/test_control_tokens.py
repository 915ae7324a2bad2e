"""Control tokens in votes token by token and over unions: said like any token, without text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quorate.engines.scripted.tokenizer import BOS, IM_END, IM_START
from quorate.ensemble.alignments.tokens import TokenAlignment
from quorate.ensemble.alignments.union import UnionAlignment, unite
from quorate.ensemble.decode import decode
from quorate.ensemble.plain_generation import generate, lone_predictor
from quorate.ensemble.transcript import Transcript
from quorate.ensemble.weighting import BayesianWeights
from quorate.request import (
    CombinationRule,
    Delta,
    FailurePolicy,
    FinishReason,
    NoticeKind,
    ResponseOptions,
    SamplingOptions,
    StoppingOptions,
    Token,
)
from support.ensembles import GREEDY, Told, params_of, run_out, token_ensemble, unopened
from support.in_process import InProcessEngine
from support.scripted_models import engine_sampling, fresh_row, scripted_engine

BOX: dict[str, Any] = {"say": "<|im_start|>hi <|im_end|>there", "marks": True, "control": 0.01}


async def answer(*engines: InProcessEngine, **changes: Any) -> Told:
    voting = [(engine, 1 / len(engines)) for engine in engines]
    ensemble = await token_ensemble(*voting)
    try:
        return await run_out(decode(ensemble, params_of(engines[0], max_tokens=20, **changes)))
    finally:
        ensemble.close()


async def union_answer(*engines: InProcessEngine, max_tokens: int = 20) -> Told:
    voting = [(engine, 1 / len(engines)) for engine in engines]
    ensemble = await unopened(UnionAlignment(), *voting)
    await ensemble.open()
    ensemble.start()
    try:
        return await run_out(decode(ensemble, params_of(max_tokens=max_tokens)))
    finally:
        ensemble.close()


@pytest.mark.parametrize("rule", list(CombinationRule))
async def test_control_tokens_are_voted_on_and_give_no_text(rule: CombinationRule) -> None:
    engines = [scripted_engine(f"m{seed}", seed=seed, **BOX) for seed in (1, 2, 3)]
    told = await answer(*engines, rule=rule)
    assert told.text == "hi there"
    assert told.ended is FinishReason.END_OF_GENERATION
    assert [token.token_id for token in told.tokens if token.control] == [IM_START, IM_END]
    assert [token.piece for token in told.tokens if token.control] == [b"", b""]
    assert all(token.piece for token in told.tokens if not token.control)


async def test_the_log_prob_of_a_control_token_is_that_of_the_row() -> None:
    engine = scripted_engine("box", seed=1, **BOX)
    told = await answer(engine, response=ResponseOptions(top_logprobs=2, member_votes=True))
    prompt = await engine.encode_continuation("the cat ")
    row = fresh_row([BOS, *prompt], seed=1, **BOX)
    first = told.tokens[0]
    assert (first.token_id, first.control) == (IM_START, True)
    assert first.logprob == pytest.approx(float(row[IM_START]))
    assert first.top[0].token_id == IM_START
    assert first.votes[0].chosen_logprob == pytest.approx(first.logprob)


async def test_penalties_count_control_tokens() -> None:
    engine = scripted_engine("mute", seed=1, control=0.99, sharpness=0.0)
    sampling = SamplingOptions(temperature=0.0, presence_penalty=50.0)
    ensemble = await token_ensemble((engine, 1.0))
    told = await run_out(decode(ensemble, params_of(engine, sampling=sampling, max_tokens=3)))
    ensemble.close()
    assert [token.control for token in told.tokens] == [True, True, False]


async def test_endless_control_tokens_end_with_the_tokens_of_the_answer() -> None:
    told = await answer(scripted_engine("mute", seed=1, control=0.999))
    assert told.ended is FinishReason.MAX_TOKENS
    assert (told.text, len(told.tokens)) == ("", 20)
    told = await union_answer(scripted_engine("mute", seed=1, control=0.999), max_tokens=6)
    assert (told.text, told.ended) == ("", FinishReason.MAX_TOKENS)


async def test_plain_generation_marks_control_tokens_too() -> None:
    engine = scripted_engine("box", seed=1, generate=True, **BOX)
    ensemble = await unopened(TokenAlignment(engine.vocabulary), (engine, 1.0))
    await ensemble.open()
    predictor = lone_predictor(ensemble, GREEDY, ResponseOptions())
    assert predictor is not None
    steps = generate(ensemble, predictor, params_of(engine), engine_sampling(max_tokens=20))
    told = await run_out(steps)
    ensemble.close()
    assert told.text == "hi there"
    assert [token.token_id for token in told.tokens if token.control] == [IM_START, IM_END]


async def test_a_member_takes_its_own_control_tokens_within_a_union_of_pieces() -> None:
    plain = scripted_engine("plain", vocabulary="words", seed=4, say="hi there")
    told = await union_answer(scripted_engine("box", seed=2, **BOX), plain)
    assert told.text == "hi there"
    assert told.ended is FinishReason.END_OF_GENERATION


def test_control_tokens_are_no_candidates_of_a_union() -> None:
    engine = scripted_engine("box", pieces=["a", "b"], control=0.9)
    row = fresh_row([BOS], pieces=["a", "b"], control=0.9)
    union = unite([engine.vocabulary], [row])
    assert sorted(union.pieces) == [b"", b"a", b"b"]
    ends = np.exp(row[sorted(engine.vocabulary.end_of_generation)]).sum()
    spoken = ends + np.exp(row[5:]).sum()
    assert np.exp(union.rows[0][union.pieces.index(b"")]) == pytest.approx(ends / spoken, rel=1e-4)


def test_a_code_point_and_a_stop_string_go_on_across_a_control_token() -> None:
    transcript = Transcript(StoppingOptions(stop=("ab",)))
    mark = Token(IM_END, b"", -0.1, control=True)
    begun, rest, stop = (Token(9, piece, -0.1) for piece in (b"\xe2\x82", b"\xac", b"a"))
    assert [*transcript.add(begun), *transcript.add(mark)] == []
    assert transcript.add(rest) == (Delta("€", (begun, mark, rest)),)
    assert [*transcript.add(stop), *transcript.add(mark)] == []
    told, ended = transcript.add(Token(9, b"b", -0.1))
    assert isinstance(told, Delta)
    assert told.text == ""
    assert [token.piece for token in told.tokens] == [b"", b"", b""]
    assert ended is FinishReason.STOP_STRING


def test_a_control_token_is_evidence_and_makes_nobody_forget() -> None:
    weigher = BayesianWeights([0.5, 0.5], 0.9)
    weigher.observe([-1.0, -3.0], 4)
    before = weigher.weights(())
    weigher.observe([-0.5, -0.5], 0)
    assert weigher.weights(()) == pytest.approx(before)
    weigher.observe([-3.0, -0.5], 0)
    assert weigher.weights(())[1] > before[1]


@pytest.mark.parametrize(("share", "told_of"), [(0.3, 1), (0.09, 0), (0.0, 0)])
async def test_a_mass_cut_above_a_tenth_is_told_once_for_each_member(
    share: float, told_of: int
) -> None:
    engines = [scripted_engine(name, seed=3, masked=share) for name in ("a", "b")]
    told = await answer(*engines)
    cuts = [notice.model for notice in told.notices if notice.kind is NoticeKind.MASS_CUT]
    assert cuts == ["a", "b"] * told_of


async def test_a_member_that_is_replayed_is_told_of_once() -> None:
    engine = scripted_engine("a", seed=3, masked=0.3)
    ensemble = await token_ensemble((engine, 1.0), policy=FailurePolicy.REPLAY)

    def die() -> None:
        engine.lose("killed by SIGKILL")
        engine.recover()

    told = await run_out(decode(ensemble, params_of(engine)), {3: die})
    ensemble.close()
    kinds = [notice.kind for notice in told.notices]
    assert sorted(kind.name for kind in kinds) == ["MASS_CUT", "MEMBER_REPLAYED"]
