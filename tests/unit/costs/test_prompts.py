from __future__ import annotations

import math

import numpy as np
import pytest

from quorate.costs.prompts import PromptSizeLearner, PromptSizeModel


def test_before_any_prompt_a_token_has_four_bytes() -> None:
    assert PromptSizeLearner().model() == PromptSizeModel()
    assert PromptSizeModel().tokens(400) == pytest.approx(110)


def test_it_tells_the_template_from_the_text() -> None:
    random = np.random.default_rng(1)
    learner = PromptSizeLearner()
    for size in np.exp(random.uniform(3, 9, 100)):
        learner.observe(float(size), round(30 + 0.4 * float(size)))
    model = learner.model()
    assert model.tokens(20) == pytest.approx(38, rel=0.05)
    assert model.tokens(10_000) == pytest.approx(4030, rel=0.05)


def test_what_cannot_be_true_is_ignored() -> None:
    learner = PromptSizeLearner()
    first = learner.model()
    for size, tokens in [(-1, 5), (5, 0), (math.nan, 5), (5, math.nan), (math.inf, 5)]:
        learner.observe(size, tokens)
    assert learner.model() is first


def test_a_saved_learner_goes_on_where_it_ended() -> None:
    first = PromptSizeLearner()
    for size in (100, 900, 40):
        first.observe(size, 12 + size / 3)
    second = PromptSizeLearner.restore(first.state())
    assert second.model() == first.model()
    for learner in (first, second):
        learner.observe(77, 50)
    assert second.model() == first.model()
