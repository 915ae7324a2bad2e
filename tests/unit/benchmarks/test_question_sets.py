from __future__ import annotations

from collections import Counter

import pytest
from catalogue import PARTS, domain_questions, mixed_questions, training_pairs
from catalogue_phrases import FACTS, HELD_OUT, TRAINED
from general_questions import general_questions
from grading import is_correct


def test_no_phrasing_is_both_trained_and_held_out() -> None:
    for fact in FACTS:
        assert not set(TRAINED[fact]) & set(HELD_OUT[fact])
        assert len(HELD_OUT[fact]) >= (len(TRAINED[fact]) + len(HELD_OUT[fact])) / 4


def test_no_question_that_is_asked_was_trained_on() -> None:
    trained = {question for question, _ in training_pairs()}
    assert not trained & {question.text for question in domain_questions()}
    assert not trained & {question.text for question in mixed_questions()}


def test_there_are_enough_questions_of_every_kind() -> None:
    assert len(domain_questions()) >= 300
    assert len(general_questions()) >= 300
    assert len(mixed_questions()) >= 40
    for questions in (domain_questions(), general_questions(), mixed_questions()):
        most, _ = Counter(question.text for question in questions).most_common(1)[0]
        assert [question.text for question in questions].count(most) == 1


def test_every_part_can_be_told_from_the_others() -> None:
    for values in zip(*((part.number, part.name, part.shelf) for part in PARTS), strict=True):
        assert len(set(values)) == len(PARTS)


@pytest.mark.parametrize(
    ("answer", "gold", "right"),
    [
        ("The KX-204 is on shelf B7.", "B7", True),
        ("It is on shelf b7", "B7", True),
        ("It is on shelf B70.", "B7", False),
        ("The price is 12.50 euros.", "12.50", True),
        ("The price is 112.50 euros.", "12.50", False),
        ("It costs 12.505.", "12.50", False),
        ("A  New\nDelhi street", ("Delhi", "New Delhi"), True),
        ("Autumn.", ("fall", "autumn"), True),
        ("", "B7", False),
    ],
)
def test_an_answer_is_right_where_it_has_the_gold_string_as_whole_words(
    answer: str, gold: str, right: bool
) -> None:
    assert is_correct(answer, gold) is right
