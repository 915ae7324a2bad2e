"""Guesses change what an answer costs, and nothing of the answer."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.engines.contract import LogProbs
from quorate.engines.scripted.tokenizer import BOS, IM_START, NAMES
from quorate.engines.shared_rows import BLOCK_ROWS
from quorate.ensemble.alignments.contract import AlignmentStrategy
from quorate.ensemble.alignments.near_tokens import NearTokenAlignment, NearTokenPredictor
from quorate.ensemble.alignments.token_union import unite_tokens
from quorate.ensemble.alignments.tokens import TokenAlignment, TokenPredictor
from quorate.ensemble.alignments.union import UnionAlignment
from quorate.ensemble.decode import score
from quorate.ensemble.ensemble import Ensemble
from quorate.ensemble.weighting import BayesianWeights, ConfidentWeights, StaticWeights, Weigher
from quorate.errors import WorkerLost
from quorate.request import CombinationRule, FailurePolicy, Token
from support.distributions import maxima_of
from support.ensembles import die_and_return, unopened
from support.in_process import InProcessEngine
from support.scripted_models import scripted_engine

PROMPT = (BOS, 9, 10)
PIECES = ["a", "b", "c", "t", "h", "e", " ", "th", "the", "he"]
TEXT = "the cat that ate the bat at the beach taught the cheetah to eat the tea " * 2

tokens_of_the_toy = st.integers(5, 14)


async def started(engine: InProcessEngine, kv_tokens: int = 64) -> TokenPredictor:
    predictor = TokenPredictor(engine, PROMPT, kv_tokens)
    await predictor.open()
    await predictor.start()
    return predictor


async def rows_of(predictor: TokenPredictor, fed: Sequence[tuple[int, Sequence[int]]]) -> list[Any]:
    rows = []
    for token, ahead in fed:
        row = await predictor.feed(token, ahead)
        # They belong to the row that was answered, whatever was computed ahead of it.
        np.testing.assert_array_equal(predictor.maxima, maxima_of(row))
        rows.append(row.tolist())
    return rows


@given(
    st.lists(
        st.tuples(tokens_of_the_toy, st.integers(0, 9), st.lists(tokens_of_the_toy, max_size=3)),
        min_size=1,
        max_size=12,
    )
)
async def test_every_row_is_the_one_that_is_given_without_guesses(
    steps: list[tuple[int, int, list[int]]],
) -> None:
    chosen = [token for token, _, _ in steps]
    # Right for some tokens, and then anything.
    fed = [
        (token, [*chosen[at + 1 : at + 1 + right], *wrong])
        for at, (token, right, wrong) in enumerate(steps)
    ]
    plain, guessing = await started(scripted_engine()), await started(scripted_engine())
    expected = await rows_of(plain, [(token, ()) for token in chosen])
    assert await rows_of(guessing, fed) == expected
    assert guessing.length == plain.length == len(chosen)
    guessing.close()
    assert guessing.forwards == len(chosen) + guessing.wasted
    assert guessing.looked_ahead >= guessing.wasted
    assert plain.forwards == len(chosen)
    assert (plain.looked_ahead, plain.wasted) == (0, 0)


async def test_a_right_guess_is_answered_without_waiting_and_a_wrong_one_costs_what_it_took() -> (
    None
):
    predictor = await started(scripted_engine())
    await predictor.feed(7, (8, 9, 10))
    assert (predictor.forwards, predictor.looked_ahead, predictor.wasted) == (4, 3, 0)
    for token in (8, 9):
        assert ready(predictor.feed(token)) is not None
    assert (predictor.forwards, predictor.length) == (4, 3)
    assert ready(predictor.feed(11)) is None
    assert (predictor.forwards, predictor.looked_ahead, predictor.wasted) == (5, 3, 1)
    predictor.close()


def ready(pending: Awaitable[LogProbs]) -> LogProbs | None:
    """The row where it is there at once."""
    steps = pending.__await__()
    try:
        next(steps)
    except StopIteration as done:
        row: LogProbs = done.value
        return row
    return None


async def test_what_is_computed_ahead_stays_within_what_was_reserved() -> None:
    engine = scripted_engine()
    predictor = await started(engine, kv_tokens=len(PROMPT) + 4)
    plain = await started(scripted_engine(), kv_tokens=len(PROMPT) + 4)
    for token in (7, 8, 9, 10):
        row = await predictor.feed(token, (8, 9, 10, 11, 12, 13))
        assert row.tolist() == (await plain.feed(token)).tolist()
    assert (predictor.forwards, predictor.wasted) == (4, 0)
    predictor.close()


async def test_a_block_has_no_more_rows_than_the_engine_gives() -> None:
    engine = scripted_engine(context_length=256)
    predictor = await started(engine, kv_tokens=128)
    await predictor.feed(7, [8] * 100)
    assert predictor.looked_ahead == predictor.reach == engine.facts.block_rows - 1
    predictor.close()


async def test_a_model_that_cannot_rewind_computes_nothing_ahead() -> None:
    predictor = await started(scripted_engine(rewind=False))
    plain = await started(scripted_engine(rewind=False))
    assert predictor.reach == 0
    fed = [(7, (8, 9)), (9, (8,)), (8, ())]
    assert await rows_of(predictor, fed) == await rows_of(plain, fed)
    assert (predictor.forwards, predictor.looked_ahead) == (3, 0)
    predictor.close()


async def test_a_member_that_drafts_alone_keeps_what_it_made_of_its_drafts() -> None:
    plain, drafting = await started(scripted_engine()), await started(scripted_engine())
    expected = await rows_of(plain, [(token, ()) for token in (7, 8, 9, 11)])
    first = (await drafting.feed(7)).copy()
    drafts = [await drafting.guess(token) for token in (8, 9, 10)]
    assert [first.tolist(), *(row.tolist() for row in drafts[:2])] == expected[:3]
    assert (drafting.length, drafting.forwards) == (1, 4)
    assert [ready(drafting.feed(token)) is row for token, row in zip((8, 9), drafts, strict=False)]
    assert (await drafting.feed(11)).tolist() == expected[3]
    assert (drafting.forwards, drafting.wasted, drafting.looked_ahead) == (5, 1, 0)
    drafting.close()


async def test_a_guess_can_stand_behind_what_was_computed_ahead() -> None:
    plain, drafting = await started(scripted_engine()), await started(scripted_engine())
    expected = await rows_of(plain, [(token, ()) for token in (7, 8, 9, 10)])
    await drafting.feed(7, (8, 9))
    await drafting.guess(10)
    assert await rows_of(drafting, [(8, ()), (9, ()), (10, ())]) == expected[1:]
    assert (drafting.forwards, drafting.wasted) == (4, 0)
    drafting.close()


async def test_what_was_cut_from_a_row_is_told_of_the_row_that_was_given() -> None:
    predictor = await started(scripted_engine(masked=0.25))
    await predictor.feed(7, (8, 9))
    assert predictor.masked_mass == pytest.approx(0.25)
    await predictor.feed(8)
    assert predictor.masked_mass == pytest.approx(0.25)
    predictor.close()


async def test_a_worker_that_dies_in_mid_block_is_lost_when_it_is_waited_for() -> None:
    engine = scripted_engine()
    predictor = await started(engine)
    pending = predictor.feed(7, (8, 9))
    die_and_return(engine)
    with pytest.raises(WorkerLost):
        await pending
    predictor.close()
    await predictor.open()
    plain = await started(scripted_engine())
    await plain.feed(7)
    expected = (await plain.feed(8)).tolist()
    await predictor.start()
    assert (await predictor.feed(8)).tolist() == expected
    assert (predictor.length, predictor.wasted) == (2, 2)


async def test_a_worker_that_dies_with_guesses_is_lost_when_the_wrong_ones_are_rewound() -> None:
    engine = scripted_engine()
    predictor = await started(engine)
    await predictor.feed(7, (8, 9))
    die_and_return(engine)
    pending = predictor.feed(10)
    with pytest.raises(WorkerLost):
        await pending
    predictor.close()


async def scored(
    alignment: str,
    rule: CombinationRule,
    weigher: str,
    lost_at: int | None = None,
    policy: FailurePolicy = FailurePolicy.AUTO,
    written: str = TEXT,
    **options: Any,
) -> tuple[list[Token], Ensemble[Any]]:
    """The score of a text by three members, of which one may be lost behind so many symbols."""
    pieces = [PIECES, [*PIECES, "cat"] if alignment == "near" else PIECES, PIECES]
    engines = [
        scripted_engine(f"m{seed}", pieces=pieces[seed], seed=seed, context_length=512, **options)
        for seed in range(3)
    ]
    strategy = alignment_of(alignment, engines)
    ensemble = await unopened(strategy, *((one, 1 / 3) for one in engines), policy=policy)
    ensemble.weigher = weigher_of(weigher)
    text = await engines[1].encode_continuation(written)
    symbols = strategy.symbols(written, text, engines[1].vocabulary)
    await ensemble.open()
    if lost_at is not None:
        lose_behind(ensemble, engines[0], lost_at)
    tokens = await score(ensemble, rule, symbols)
    ensemble.close()
    return tokens, ensemble


def alignment_of(name: str, engines: Sequence[InProcessEngine]) -> AlignmentStrategy[Any]:
    if name == "near":
        return NearTokenAlignment([one.vocabulary for one in engines])
    return UnionAlignment() if name == "union" else TokenAlignment(engines[0].vocabulary)


def weigher_of(name: str) -> Weigher:
    even = [1 / 3] * 3
    if name == "bayesian":
        return BayesianWeights(even, 0.9)
    return ConfidentWeights(even) if name == "confidence" else StaticWeights(even)


def lose_behind(ensemble: Ensemble[Any], engine: InProcessEngine, count: int) -> None:
    """Has a worker die while what follows a symbol is computed, by its number; 0 is the prompt."""
    predictor = ensemble.members[0].predictor
    feed, start, fed = predictor.feed, predictor.start, list[Any]()

    def dying_at_once(ahead: Sequence[Any] = ()) -> Awaitable[LogProbs]:
        pending = start(ahead)
        fed.append(ahead)
        if len(fed) == 1:
            die_and_return(engine)
        # It is fed the same again, by which it is known what it may have died of.
        assert fed[0] == ahead
        return pending

    def dying(symbol: Any, ahead: Sequence[Any] = ()) -> Awaitable[LogProbs]:
        pending = feed(symbol, ahead)
        fed.append(symbol)
        if len(fed) == count:
            die_and_return(engine)
        return pending

    if count:
        predictor.feed = dying  # type: ignore[method-assign]
    else:
        predictor.start = dying_at_once  # type: ignore[method-assign]


def logprobs(tokens: Sequence[Token]) -> list[float]:
    return [token.logprob for token in tokens]


@pytest.mark.parametrize("alignment", ["tokens", "near", "union"])
@pytest.mark.parametrize("rule", list(CombinationRule))
@pytest.mark.parametrize("weigher", ["static", "bayesian", "confidence"])
async def test_a_score_by_blocks_is_the_score_step_by_step(
    alignment: str, rule: CombinationRule, weigher: str
) -> None:
    blocks, ensemble = await scored(alignment, rule, weigher)
    steps, plain = await scored(alignment, rule, weigher, rewind=False)
    assert logprobs(blocks) == pytest.approx(logprobs(steps), abs=1e-6)
    assert [one.piece for one in blocks] == [one.piece for one in steps]
    for member, alone in zip(ensemble.members, plain.members, strict=True):
        assert member.logprob == pytest.approx(alone.logprob, abs=1e-5)
        assert (member.forwards, alone.forwards) == (member.predictor.length,) * 2
        assert member.predictor.looked_ahead > 0.9 * member.forwards
        assert member.work.decode < 0.1 * alone.work.decode == 0.1 * alone.forwards
        assert member.work.prefill + member.work.decode == alone.work.prefill + alone.work.decode


@pytest.mark.parametrize("alignment", ["tokens", "near", "union"])
async def test_a_short_text_is_scored_in_the_call_that_reads_the_prompt(alignment: str) -> None:
    _, ensemble = await scored(alignment, CombinationRule.LINEAR, "static", written="the cat the")
    for member in ensemble.members:
        assert member.work.decode == 0 < member.forwards == member.predictor.looked_ahead
        assert member.work.prefill == len(member.prompt.tokens) + member.forwards


@pytest.mark.parametrize("lost_at", [0, 1, 2, 32, 33, 50])
@pytest.mark.parametrize("policy", [FailurePolicy.CONTINUE, FailurePolicy.REPLAY])
async def test_a_member_lost_in_mid_block_is_missed_where_its_rows_end(
    lost_at: int, policy: FailurePolicy
) -> None:
    how = ("tokens", CombinationRule.LINEAR, "bayesian")
    blocks, ensemble = await scored(*how, lost_at, policy)
    # What was computed already counts: the loss is noticed with the next block.
    missed_at = lost_at + -lost_at % BLOCK_ROWS
    steps, _ = await scored(*how, missed_at, policy, rewind=False)
    assert logprobs(blocks) == pytest.approx(logprobs(steps), abs=1e-6)
    assert len(ensemble.members) == (2 if policy is FailurePolicy.CONTINUE else 3)
    assert len(ensemble.take_notices()) == 1


async def test_a_symbol_that_leaves_no_trace_in_a_member_is_no_wrong_guess() -> None:
    boxed, other = scripted_engine("boxed", seed=1), scripted_engine("other", seed=2)
    names = {**dict(enumerate(NAMES)), IM_START: "<|other|>"}
    other.vocabulary = replace(other.vocabulary, names=names)
    union = unite_tokens([boxed.vocabulary, other.vocabulary])
    rows = {}
    for looks in (True, False):
        predictor = NearTokenPredictor(other, PROMPT, 64, union)
        await predictor.open()
        await predictor.start()
        symbols = (9, IM_START, 10, IM_START, IM_START, 11)
        rows[looks] = [
            (await predictor.feed(one, symbols[at + 1 :] if looks else ())).tolist()
            for at, one in enumerate(symbols)
        ]
        assert (predictor.length, predictor.forwards, predictor.wasted) == (3, 3, 0)
        assert predictor.looked_ahead == (2 if looks else 0)
        predictor.close()
    assert rows[True] == rows[False]
