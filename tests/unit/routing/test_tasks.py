from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from quorate.routing.tasks import BUCKETS, train_classifier
from support.calibrations import prompts


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
