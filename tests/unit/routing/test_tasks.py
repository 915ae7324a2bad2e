from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.calibration.trial import TaggedCase, try_classifier
from quorate.routing.tasks import BUCKETS, train_classifier

_SUMS = ("add {} and {}", "what is {} plus {}?", "the sum of {} and {}")
_WORDS = ("spell the name {} {}", "which letter begins {} {}?", "write {} {} backwards")


def prompts(task: str, count: int) -> list[str]:
    rng = random.Random(task)
    if task == "sums":
        return [
            rng.choice(_SUMS).format(rng.randrange(1000), rng.randrange(1000)) for _ in range(count)
        ]
    names = ("anna", "berta", "carla", "dora", "emil", "fritz", "gustav", "hugo")
    return [rng.choice(_WORDS).format(rng.choice(names), rng.choice(names)) for _ in range(count)]


def test_kinds_of_prompts_are_told_apart_that_were_never_seen() -> None:
    sums, words = prompts("sums", 60), prompts("words", 60)
    learned = train_classifier([*sums[:40], *words[:40]], ["sums"] * 40 + ["words"] * 40)
    assert [learned.task(prompt) for prompt in sums[40:]] == ["sums"] * 20
    assert [learned.task(prompt) for prompt in words[40:]] == ["words"] * 20


def test_where_nothing_speaks_the_commonest_task_is_guessed() -> None:
    learned = train_classifier(["aaa", "bbb", "bbb"], ["a", "b", "b"])
    assert learned.task("") == "b"


@given(st.text())
def test_any_text_gets_one_of_the_tasks(text: str) -> None:
    learned = train_classifier(["add", "spell"], ["sums", "words"])
    assert learned.task(text) in learned.tasks
    assert all(len(row) == BUCKETS for row in learned.scores)


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
    trial = try_classifier(cases_of({"sums": "a", "words": "b"}))
    assert trial is not None
    assert trial.pays
    assert trial.cases == 120
    assert trial.guessed == pytest.approx(1.0, abs=0.02)
    assert trial.told == 1.0
    assert trial.tags_right == pytest.approx(1.0, abs=0.02)
    assert trial.best_single <= 0.6
    assert trial.by_prior <= 0.6
    assert trial.comparison.difference.low > 0


def test_guessing_stays_off_where_one_model_is_best_at_everything() -> None:
    trial = try_classifier(cases_of({"sums": "a", "words": "a"}))
    assert trial is not None
    assert (trial.best_single, trial.guessed) == (1.0, 1.0)
    assert not trial.pays


def test_cases_of_a_domain_are_never_learned_from_and_judged_by_at_once() -> None:
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
    trial = try_classifier(cases)
    assert trial is not None
    assert trial.tags_right < 0.7
    assert not trial.pays


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
    assert try_classifier(cases) is None
