"""Which tokens a model reasons between: by its template and its vocabulary together."""

from __future__ import annotations

import pytest

from quorate.engines.reasoning import reasoning_marks
from support.vocabularies import family, id_of

THINKS = "{{ '<think>' }}{% if '</think>' in content %}"
MARKED = family(marks=("<think>", "</think>"))
SPELLED = family(added=(b"<think>", b"</think>"))


@pytest.mark.parametrize("vocabulary", [MARKED, SPELLED], ids=["control tokens", "text"])
def test_marks_that_the_template_knows_and_the_vocabulary_has_are_a_pair(vocabulary) -> None:
    pair = (id_of(vocabulary, "<think>"), id_of(vocabulary, "</think>"))
    assert reasoning_marks(THINKS, vocabulary) == (pair,)


def test_of_a_model_whose_template_knows_no_reasoning_nothing_is_told_apart() -> None:
    assert reasoning_marks(None, MARKED) == ()
    assert reasoning_marks("{{ messages }}", MARKED) == ()
    assert reasoning_marks("{{ '<think>' }}", MARKED) == ()


def test_marks_that_are_several_tokens_are_text() -> None:
    assert reasoning_marks(THINKS, family()) == ()
    assert reasoning_marks(THINKS, family(marks=("<think>",))) == ()
