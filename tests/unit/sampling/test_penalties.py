from __future__ import annotations

import numpy as np
import pytest

from quorate.request import SamplingOptions
from quorate.sampling.penalties import Penalties
from support.distributions import normalised

ROW = normalised(np.log([0.4, 0.3, 0.2, 0.1]))


def test_nothing_asked_for_returns_the_very_row() -> None:
    penalties = Penalties(SamplingOptions(repetition_penalty=1.0, presence_penalty=0.0), [0, 1])
    penalties.accept(2)
    assert penalties.idle
    assert penalties.apply(ROW) is ROW


def test_a_bias_is_added_in_nats_and_the_row_stays() -> None:
    before = ROW.copy()
    adjusted = Penalties(SamplingOptions(logit_bias={3: 2.5, 0: -1}), []).apply(ROW)
    np.testing.assert_allclose(adjusted - ROW, [-1, 0, 0, 2.5], atol=1e-6)
    np.testing.assert_array_equal(ROW, before)


def test_repetition_raises_the_probability_to_a_power_in_prompt_and_answer() -> None:
    penalties = Penalties(SamplingOptions(repetition_penalty=1.5), [1, 1])
    penalties.accept(3)
    np.testing.assert_allclose(
        np.exp(penalties.apply(ROW)), [0.4, 0.3**1.5, 0.2, 0.1**1.5], rtol=1e-6
    )


def test_repetition_looks_at_the_last_64_tokens() -> None:
    penalties = Penalties(SamplingOptions(repetition_penalty=2.0), [0] + [1] * 63)
    assert penalties.apply(ROW)[0] == pytest.approx(2 * ROW[0])
    penalties.accept(1)
    assert penalties.apply(ROW)[0] == ROW[0]


def test_repetition_divides_what_a_bias_made_positive() -> None:
    options = SamplingOptions(repetition_penalty=2.0, logit_bias={0: 3.0})
    adjusted = Penalties(options, [0]).apply(ROW)
    assert adjusted[0] == pytest.approx((ROW[0] + 3) / 2, rel=1e-6)


def test_presence_counts_once_and_only_what_was_generated() -> None:
    penalties = Penalties(SamplingOptions(presence_penalty=0.5), [0, 0])
    for token in (1, 1, 1):
        penalties.accept(token)
    np.testing.assert_allclose(ROW - penalties.apply(ROW), [0, 0.5, 0, 0], atol=1e-6)


def test_frequency_counts_every_occurrence() -> None:
    penalties = Penalties(SamplingOptions(frequency_penalty=0.25, presence_penalty=-0.1), [0])
    for token in (1, 1, 1, 2):
        penalties.accept(token)
    np.testing.assert_allclose(ROW - penalties.apply(ROW), [0, 0.65, 0.15, 0], atol=1e-6)


def test_absurd_values_rule_out_or_favour_and_never_overflow() -> None:
    options = SamplingOptions(logit_bias={0: -1e300, 1: 1e300}, frequency_penalty=-1e308)
    penalties = Penalties(options, [])
    for _ in range(9):
        penalties.accept(2)
    adjusted = penalties.apply(ROW)
    assert adjusted[0] == -np.inf
    assert np.isfinite(adjusted[1:]).all()


def test_an_impossible_token_stays_impossible() -> None:
    row = normalised([0.0, 0.0, -np.inf])
    options = SamplingOptions(logit_bias={2: 50.0}, repetition_penalty=0.5, presence_penalty=-2.0)
    penalties = Penalties(options, [2])
    penalties.accept(2)
    assert penalties.apply(row)[2] == -np.inf
