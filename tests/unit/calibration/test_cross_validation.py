from __future__ import annotations

import pytest

from quorate.calibration.cross_validation import TaggedCase, cross_validate_classifier
from support.calibrations import prompts


def cases_of(best: dict[str, str], count: int = 60, domains: bool = False) -> list[TaggedCase]:
    return [
        TaggedCase(
            prompt=prompt,
            task=task,
            right={model: best[task] == model for model in ("a", "b")},
            group=f"{task} {index % 3}" if domains else prompt,
        )
        for task in ("sums", "words")
        for index, prompt in enumerate(prompts(task, count))
    ]


def test_guessing_pays_where_each_model_is_good_at_something_else() -> None:
    found = cross_validate_classifier(cases_of({"sums": "a", "words": "b"}))
    assert found is not None
    assert found.pays
    assert found.cases == 120
    assert found.guessed == pytest.approx(1.0, abs=0.02)
    assert found.told == 1.0
    assert found.tags_right == pytest.approx(1.0, abs=0.02)
    assert found.best_single <= 0.6
    assert found.by_prior <= 0.6
    assert found.comparison.difference.low > 0


def test_guessing_stays_off_where_one_model_is_best_at_everything() -> None:
    found = cross_validate_classifier(cases_of({"sums": "a", "words": "a"}))
    assert found is not None
    assert (found.best_single, found.guessed) == (1.0, 1.0)
    assert not found.pays


def test_cases_of_a_domain_are_never_trained_on_and_held_out_at_once() -> None:
    """The tag follows from a word of the domain alone, so that it cannot be guessed elsewhere."""
    cases = [
        TaggedCase(
            f"zz{domain} question {index}",
            tag,
            {"a": tag == "x", "b": tag == "y"},
            f"domain {domain}",
        )
        for domain in range(6)
        for index in range(10)
        for tag in (("x", "y")[domain % 2],)
    ]
    found = cross_validate_classifier(cases)
    assert found is not None
    assert found.tags_right < 0.7
    assert not found.pays


@pytest.mark.parametrize(
    "cases",
    [
        [],
        cases_of({"sums": "a", "words": "b"}, count=19),
        [case for case in cases_of({"sums": "a", "words": "b"}) if case.task == "sums"],
    ],
    ids=["none", "few", "one task"],
)
def test_too_little_is_not_tried(cases: list[TaggedCase]) -> None:
    assert cross_validate_classifier(cases) is None
