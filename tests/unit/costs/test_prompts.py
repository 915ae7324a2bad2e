from __future__ import annotations

import numpy as np
import pytest

from quorate.costs.prompts import PromptSizeLearner, PromptSizeModel


def test_before_any_prompt_a_token_has_four_bytes() -> None:
    assert PromptSizeModel().tokens(400) == pytest.approx(110)


def test_it_tells_the_template_from_the_text() -> None:
    random = np.random.default_rng(1)
    learner = PromptSizeLearner()
    for size in np.exp(random.uniform(3, 9, 100)):
        learner.observe(float(size), round(30 + 0.4 * float(size)))
    model = learner.model()
    assert model.tokens(20) == pytest.approx(38, rel=0.05)
    assert model.tokens(10_000) == pytest.approx(4030, rel=0.05)
