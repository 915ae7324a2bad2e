from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.engines.contract import LogProbs
from quorate.ensemble.fusion import Fuser
from quorate.ensemble.mixture import Mixture
from quorate.errors import Internal
from quorate.request import CombinationRule, SamplingOptions
from quorate.sampling.candidates import largest
from quorate.sampling.peaks import count_of_maxima
from quorate.sampling.sampler import Sampler
from quorate.sampling.shortlist import NO_IDS, Shortlist
from support.distributions import (
    linear_reference,
    maxima_of,
    normalised,
    random_row,
    rows,
    shares,
)

SIZE = 6000


def never(rows: Sequence[LogProbs], weights: Sequence[float]) -> LogProbs:
    raise AssertionError("the whole row was mixed")


def reference(members: Sequence[LogProbs], weights: Sequence[float]) -> LogProbs:
    """Rounded as the product rounds, since rounding can make ties."""
    return np.minimum(linear_reference(members, weights), 0).astype(np.float32)


def chosen(listed: Shortlist, count: int) -> list[int]:
    """The most probable ones of a shortlist, in descending order."""
    return [listed.id_of(position) for position in largest(listed.logprobs, count).tolist()]


@st.composite
def members(draw: st.DrawFn, count: int) -> list[LogProbs]:
    """Rows over thousands of tokens: peaked, flat, with ties, with zeros, alike and unlike."""
    seed = draw(st.integers(0, 2**32))
    drawn = []
    for index in range(count):
        scale = draw(st.sampled_from([0.0, 0.3, 2.5, 9.0]))
        logits = np.random.default_rng(seed + draw(st.integers(0, index))).normal(size=SIZE) * scale
        logits = logits.round(draw(st.sampled_from([0, 1, 9])))
        logits[: draw(st.sampled_from([0, 5, SIZE // 2]))] = -np.inf
        drawn.append(normalised(logits))
    return drawn


@given(rows(3), shares(3), st.integers(1, 13))
def test_a_shortlist_holds_what_is_most_probable_of_small_rows(
    drawn: list[LogProbs], weights: list[float], count: int
) -> None:
    expected = reference(drawn, weights)
    listed = Mixture(drawn, weights, reference).shortlist(count)
    assert chosen(listed, count) == largest(expected, count).tolist()


@given(members(3), shares(3), st.sampled_from([1, 2, 40, 500]))
def test_a_shortlist_holds_what_is_most_probable_of_a_whole_vocabulary(
    drawn: list[LogProbs], weights: list[float], count: int
) -> None:
    expected = reference(drawn, weights)
    listed = Mixture(drawn, weights, reference).shortlist(count)
    assert chosen(listed, count) == largest(expected, count).tolist()
    told = Mixture(drawn, weights, reference, [*map(maxima_of, drawn)])
    for mixture in (Mixture(drawn, weights, reference), told):
        assert chosen(mixture.best(), 1) == [int(expected.argmax())]
    assert chosen(told.shortlist(count), count) == largest(expected, count).tolist()


@pytest.mark.parametrize("told", [-math.inf, math.nan, -50.0, 0.0, 7.0])
@pytest.mark.parametrize("options", [SamplingOptions(), SamplingOptions(temperature=0.0)])
def test_maxima_that_are_not_those_of_the_rows_give_a_worse_choice_and_nothing_else(
    told: float, options: SamplingOptions
) -> None:
    drawn = [random_row(SIZE, seed) for seed in range(2)]
    lies = [np.full(count_of_maxima(SIZE), told, np.float32)] * 2
    mixture = Fuser(CombinationRule.LINEAR).fuse(drawn, [0.5, 0.5], lies)
    token = Sampler(options, SIZE, seed=1).sample(mixture)
    assert 0 <= token < SIZE
    assert mixture.logprob(token) > -math.inf


def test_a_member_without_weight_takes_its_maxima_with_it() -> None:
    drawn = [random_row(SIZE, seed) for seed in range(3)]
    fused = Fuser(CombinationRule.LINEAR).fuse(drawn, [0.4, 0.0, 0.6], [*map(maxima_of, drawn)])
    ids, _ = Mixture([drawn[0], drawn[2]], [0.4, 0.6], never).shortlist(40)
    listed = fused.shortlist(40)
    assert ids is not None and listed.ids is not None
    assert listed.ids.tolist() == ids.tolist()


@given(members(2), shares(2), st.lists(st.integers(0, SIZE - 1), max_size=30), st.integers(1, 60))
def test_a_shortlist_holds_enough_whatever_becomes_of_the_symbols_it_has_always(
    drawn: list[LogProbs], weights: list[float], touched: list[int], count: int
) -> None:
    expected = reference(drawn, weights).copy()
    always = np.array(sorted({*touched, *largest(expected, 3).tolist()}), np.intp)
    ids, logprobs = Mixture(drawn, weights, reference).shortlist(count, always)
    assert ids is not None
    assert set(always.tolist()) <= set(ids.tolist())
    expected[always] = -np.inf
    logprobs[np.searchsorted(ids, always)] = -np.inf
    assert ids[largest(logprobs, count)].tolist() == largest(expected, count).tolist()


def test_little_of_a_vocabulary_is_mixed_where_its_best_are_asked_for() -> None:
    drawn = [random_row(150_000, seed) for seed in range(2)]
    mixture = Mixture(drawn, [0.7, 0.3], never)
    assert len(mixture.best().logprobs) < 10
    assert len(mixture.shortlist(40).logprobs) < 1000


def test_what_all_members_find_most_probable_is_not_looked_for() -> None:
    row = random_row(150_000, 1)
    ids, logprobs = Mixture([row, row, row], [0.2, 0.3, 0.5], never).best()
    assert ids is not None
    assert ids.tolist() == [int(row.argmax())]
    assert logprobs[0] == pytest.approx(row.max(), abs=1e-6)


@given(rows(3), shares(3), st.data())
def test_the_log_prob_of_one_symbol_is_the_one_in_a_shortlist_and_close_to_the_whole_row(
    drawn: list[LogProbs], weights: list[float], data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(drawn[0]) - 1))
    mixture = Fuser(CombinationRule.LINEAR).fuse(drawn, weights)
    everything = Mixture(drawn, weights, reference).shortlist(len(drawn[0]))
    assert Mixture(drawn, weights, never).logprob(index) == everything.logprobs[index]
    assert mixture.logprob(index) == pytest.approx(everything.logprobs[index], rel=1e-6, abs=2e-6)


@pytest.mark.parametrize("count", [1, 5])
def test_a_shortlist_of_one_row_is_cut_from_it(count: int) -> None:
    row = random_row(SIZE, 4)
    ids, logprobs = Mixture.of(row).shortlist(count, np.array([7], np.intp))
    assert ids is not None
    assert 7 in ids
    assert len(ids) < 400
    np.testing.assert_array_equal(logprobs, row[ids])
    assert Mixture.of(row).row is row


@given(
    members(2),
    shares(2),
    st.sampled_from([0.0, 0.8]),
    st.sampled_from([1, 40, 0]),
    st.sampled_from([1.0, 1.3, 0.7]),
    st.sampled_from([0.0, 0.5, -0.5]),
    st.dictionaries(st.integers(0, SIZE - 1), st.floats(-20, 20), max_size=5),
)
def test_a_sampler_chooses_from_few_symbols_what_it_chooses_from_all(
    drawn: list[LogProbs],
    weights: list[float],
    temperature: float,
    top_k: int,
    repetition: float,
    presence: float,
    bias: dict[int, float],
) -> None:
    options = SamplingOptions(
        temperature=temperature,
        top_k=top_k,
        repetition_penalty=repetition,
        presence_penalty=presence,
        logit_bias=bias,
    )
    few, all_of_them = (Sampler(options, SIZE, seed=5, prompt=range(50)) for _ in range(2))
    whole = Mixture.of(reference(drawn, weights))
    for _ in range(3):
        # One row, whole, is what the laws of the sampler are tested with.
        assert few.sample(Mixture(drawn, weights, reference)) == all_of_them.sample(whole)


def test_a_sampler_of_a_default_request_mixes_no_whole_row() -> None:
    drawn = [random_row(SIZE, seed) for seed in range(2)]
    for options in (SamplingOptions(), SamplingOptions(temperature=0.0)):
        token = Sampler(options, SIZE, seed=1).sample(Mixture(drawn, [0.5, 0.5], never))
        assert 0 <= token < SIZE


@pytest.mark.parametrize("options", [SamplingOptions(), SamplingOptions(temperature=0.0)])
def test_rows_that_are_no_numbers_are_refused_and_not_looked_over(
    options: SamplingOptions,
) -> None:
    broken = np.full(SIZE, math.nan, np.float32)
    for drawn in ([broken, random_row(SIZE, 1)], [random_row(SIZE, 1), broken]):
        mixture = Fuser(CombinationRule.LINEAR).fuse(drawn, [0.5, 0.5])
        with pytest.raises(Internal):
            Sampler(options, SIZE, seed=1).sample(mixture)


def test_a_mixture_of_few_symbols_is_mixed_at_once() -> None:
    drawn = [random_row(257, seed) for seed in range(2)]
    fuser = Fuser(CombinationRule.LINEAR)
    mixture = fuser.fuse(drawn, [0.5, 0.5])
    assert mixture.row is mixture.row
    assert mixture.logprob(3) == mixture.row[3]
    assert mixture.shortlist(257, NO_IDS).ids is None
