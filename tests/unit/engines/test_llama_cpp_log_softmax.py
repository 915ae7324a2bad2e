from __future__ import annotations

import math

import numpy as np
import pytest

from quorate.engines.llama_cpp.log_softmax import LogSoftmax, NonFiniteLogits


@pytest.mark.parametrize("size", [1, 5, 16, 49152, 50257])
def test_it_agrees_with_float64(size):
    logits = (np.random.default_rng(0).standard_normal(size) * 8 + 100).astype(np.float32)
    output = np.empty(size, np.float32)
    LogSoftmax(size)(logits, output)
    exact = logits.astype(np.float64)
    exact -= np.logaddexp.reduce(exact)
    np.testing.assert_allclose(output, exact, atol=4e-6, rtol=1e-6)


def test_padding_of_the_scratch_row_stays_zero_between_rows():
    normalise = LogSoftmax(3)
    output = np.empty(3, np.float32)
    for _ in range(2):
        normalise(np.zeros(3, np.float32), output)
        np.testing.assert_allclose(output, -math.log(3), rtol=1e-6)


def test_an_impossible_token_stays_impossible():
    output = np.empty(2, np.float32)
    LogSoftmax(2)(np.array([-np.inf, 3.0], np.float32), output)
    assert output.tolist() == [-math.inf, 0.0]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_logits_that_are_no_distribution_are_refused(bad):
    with pytest.raises(NonFiniteLogits):
        LogSoftmax(3)(np.array([0.0, bad, 1.0], np.float32), np.empty(3, np.float32))
    with pytest.raises(NonFiniteLogits):
        LogSoftmax(3)(np.full(3, -np.inf, np.float32), np.empty(3, np.float32))


def test_excluded_ids_are_impossible_and_the_rest_is_normalised_without_them():
    output = np.empty(3, np.float32)
    LogSoftmax(3, excluded=[1])(np.array([0.0, 90.0, 0.0], np.float32), output)
    assert output.tolist() == [pytest.approx(-math.log(2)), -math.inf, pytest.approx(-math.log(2))]


@pytest.mark.parametrize(
    ("logit", "expected"), [(0.0, 1 / 3), (math.log(8), 0.8), (-np.inf, 0.0), (5000.0, 1.0)]
)
def test_the_probability_that_excluded_ids_had_is_told(logit, expected):
    output = np.empty(3, np.float32)
    cut = LogSoftmax(3, excluded=[1])(np.array([0.0, logit, 0.0], np.float32), output)
    assert cut == pytest.approx(expected)


def test_nothing_is_cut_where_nothing_is_excluded():
    assert LogSoftmax(2)(np.zeros(2, np.float32), np.empty(2, np.float32)) == 0.0
