from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.engines.contract import LogProbs
from quorate.errors import Internal, InvalidRequest
from quorate.request import SamplingOptions
from quorate.sampling.options import validate
from quorate.sampling.sampler import Sampler
from support.distributions import normalised, random_row, rows
from support.reference_sampler import ReferenceSampler, TooClose

UNTRUNCATED = SamplingOptions(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0)


def maybe(strategy: st.SearchStrategy[float]) -> st.SearchStrategy[float | None]:
    return st.none() | strategy


@st.composite
def options(draw: st.DrawFn, size: int) -> SamplingOptions:
    return SamplingOptions(
        temperature=draw(maybe(st.sampled_from([0.0, 0.3, 1.0, 2.0]) | st.floats(0.01, 5))),
        top_k=draw(maybe(st.integers(0, size + 2))),
        top_p=draw(maybe(st.sampled_from([1.0]) | st.floats(0.01, 1))),
        min_p=draw(maybe(st.sampled_from([0.0]) | st.floats(0, 1))),
        repetition_penalty=draw(maybe(st.floats(0.5, 2))),
        presence_penalty=draw(maybe(st.floats(-2, 2))),
        frequency_penalty=draw(maybe(st.floats(-2, 2))),
        logit_bias=draw(st.dictionaries(st.integers(0, size - 1), st.floats(-9, 9), max_size=3)),
    )


def assert_equals_reference(
    chosen: SamplingOptions, mixtures: list[LogProbs], seed: int, prompt: list[int]
) -> None:
    sampler = Sampler(chosen, len(mixtures[0]), seed, prompt)
    reference = ReferenceSampler(chosen, seed, prompt)
    for mixture in mixtures:
        try:
            expected = reference.sample(mixture)
        except TooClose:
            return
        assert sampler.sample(mixture) == expected


@given(st.data(), rows(6, least=2), st.integers(0, 2**63 - 1))
def test_every_step_equals_the_naive_sampler(
    data: st.DataObject, mixtures: list[LogProbs], seed: int
) -> None:
    size = len(mixtures[0])
    chosen = data.draw(options(size))
    prompt = data.draw(st.lists(st.integers(0, size - 1), max_size=70))
    assert_equals_reference(chosen, mixtures, seed, prompt)


@given(st.data(), st.integers(0, 2**32), st.sampled_from([0.3, 2.5, 9.0]))
def test_every_step_equals_the_naive_sampler_over_thousands_of_tokens(
    data: st.DataObject, seed: int, scale: float
) -> None:
    mixtures = [random_row(5000, seed + step, scale) for step in range(4)]
    assert_equals_reference(data.draw(options(5000)), mixtures, seed, [1, 2, 3])


@pytest.mark.parametrize(
    ("chosen", "kept", "temperature"),
    [
        (UNTRUNCATED, 8, 1.0),
        (SamplingOptions(temperature=0.8, top_k=4, top_p=1.0, min_p=0.0), 4, 0.8),
        (SamplingOptions(temperature=1.7, top_k=0, top_p=1.0, min_p=0.0), 8, 1.7),
    ],
)
def test_draws_follow_the_distribution(
    chosen: SamplingOptions, kept: int, temperature: float
) -> None:
    probabilities = np.array([0.3, 0.2, 0.16, 0.12, 0.1, 0.06, 0.04, 0.02])
    sampler = Sampler(chosen, 8, seed=7)
    row = normalised(np.log(probabilities))
    draws = 20_000
    counts = Counter(sampler.sample(row) for _ in range(draws))
    expected = probabilities[:kept] ** (1 / temperature)
    expected = draws * expected / expected.sum()
    assert set(counts) == set(range(kept))
    chi_square = sum((counts[i] - expected[i]) ** 2 / expected[i] for i in range(kept))
    quantile_999 = {8: 24.32, 4: 16.27}[kept]
    assert chi_square < quantile_999


def test_temperature_zero_takes_the_best_token_and_the_lowest_id_among_equals() -> None:
    sampler = Sampler(SamplingOptions(temperature=0.0), 4, seed=1)
    assert sampler.sample(normalised([0, 2, 1, 2])) == 1


def test_greedy_heeds_penalties() -> None:
    sampler = Sampler(SamplingOptions(temperature=0.0, presence_penalty=1.0), 3, seed=1)
    row = normalised([0.5, 0.2, 0.0])
    assert [sampler.sample(row) for _ in range(4)] == [0, 1, 2, 0]


def test_the_tiniest_temperature_is_greedy() -> None:
    sampler = Sampler(SamplingOptions(temperature=5e-324, top_k=0, top_p=1.0, min_p=0.0), 500, 1)
    row = random_row(500, 3)
    assert {sampler.sample(row) for _ in range(20)} == {int(row.argmax())}


def test_equal_seeds_give_equal_tokens_and_others_do_not() -> None:
    row = random_row(64, 2, 0.5)

    def text(seed: int) -> list[int]:
        sampler = Sampler(UNTRUNCATED, 64, seed)
        return [sampler.sample(row) for _ in range(30)]

    assert text(5) == text(5)
    assert text(5) != text(6)


def test_the_mixture_is_not_modified() -> None:
    row = random_row(64, 2)
    before = row.copy()
    chosen = SamplingOptions(repetition_penalty=1.3, logit_bias={1: 4.0}, temperature=0.5)
    Sampler(chosen, 64, 1, [1, 2]).sample(row)
    np.testing.assert_array_equal(row, before)


def test_the_defaults_are_those_of_llama_cpp() -> None:
    row = random_row(200, 9, 0.2)
    unset = Sampler(SamplingOptions(), 200, seed=3)
    written = SamplingOptions(temperature=0.8, top_k=40, top_p=0.95, min_p=0.05)
    explicit = Sampler(written, 200, seed=3)
    assert [unset.sample(row) for _ in range(50)] == [explicit.sample(row) for _ in range(50)]


def test_bias_and_penalties_that_leave_no_token_are_refused() -> None:
    chosen = SamplingOptions(logit_bias={0: -1e300})
    sampler = Sampler(chosen, 2, seed=1)
    with pytest.raises(InvalidRequest, match=r"sampling\.logit_bias: .*rule out every token"):
        sampler.sample(normalised([0.0, -math.inf]))


@pytest.mark.parametrize("broken", [math.nan, -math.inf])
def test_a_mixture_without_any_token_is_a_defect(broken: float) -> None:
    row = np.full(4, broken, np.float32)
    with pytest.raises(Internal, match="no probable token"):
        Sampler(SamplingOptions(), 4, seed=1).sample(row)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("temperature", -0.1),
        ("top_p", 0.0),
        ("top_p", 1.01),
        ("top_p", math.nan),
        ("min_p", -0.01),
        ("min_p", 1.5),
        ("min_p", math.nan),
        ("top_k", -1),
        ("seed", -1),
        ("repetition_penalty", 0.0),
        ("repetition_penalty", -1.0),
        ("repetition_penalty", math.inf),
        ("presence_penalty", math.nan),
        ("frequency_penalty", -math.inf),
    ],
)
def test_a_value_that_cannot_be_served_names_its_field(field: str, value: float) -> None:
    with pytest.raises(InvalidRequest) as caught:
        validate(SamplingOptions(**{field: value}))
    assert caught.value.field == f"sampling.{field}"
    assert str(value) in caught.value.problem


@pytest.mark.parametrize(("token", "bias"), [(8, 1.0), (-1, 1.0), (3, math.nan), (3, math.inf)])
def test_a_bias_that_cannot_be_served_names_its_token(token: int, bias: float) -> None:
    chosen = SamplingOptions(logit_bias={token: bias})
    with pytest.raises(InvalidRequest) as caught:
        validate(chosen)
        Sampler(chosen, 8, seed=1)
    assert caught.value.field == f"sampling.logit_bias[{token}]"


def test_the_extremes_of_every_range_are_served() -> None:
    for chosen in (
        SamplingOptions(top_p=1.0, min_p=1.0, top_k=0, temperature=1e30),
        SamplingOptions(
            top_p=1e-9, min_p=0.0, top_k=10**9, repetition_penalty=1e-3, seed=2**53 - 1
        ),
    ):
        validate(chosen)
        assert 0 <= Sampler(chosen, 8, 1, [1]).sample(random_row(8, 1)) < 8
