from __future__ import annotations

import pytest
from intervals import difference_interval, mean_interval
from texts import interleave, texts


def test_texts_are_interleaved_sentence_by_sentence() -> None:
    mixed = interleave("One. Two. Three.", "a = 1\nb = 2\n")
    assert mixed == "One. a = 1\nTwo. b = 2\nThree. "


def test_defaults_are_never_chosen_on_the_texts_that_are_reported() -> None:
    tuning, reported = texts("tuning"), texts("reported")
    assert tuning.keys() == reported.keys()
    for kind in tuning:
        assert not set(tuning[kind]) & set(reported[kind])


def test_an_interval_holds_its_mean_and_narrows_with_more_cases() -> None:
    few, many = mean_interval([0.0, 1.0] * 20), mean_interval([0.0, 1.0] * 200)
    assert few.low < 0.5 < few.high
    assert few.value == many.value == 0.5
    assert many.high - many.low < (few.high - few.low) / 2


def test_differences_are_resampled_by_case() -> None:
    ours, theirs = [1.0, 0.0, 1.0] * 30, [1.0, 0.0, 0.0] * 30
    gap = difference_interval(ours, theirs)
    assert gap.value == pytest.approx(1 / 3)
    assert 0.2 < gap.low < 1 / 3 < gap.high < 0.5
