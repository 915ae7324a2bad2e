from __future__ import annotations

import pytest

from quorate.engines.encoding_budget import (
    EncodingBudget,
    EncodingCancelled,
    allowed_seconds,
    field,
    spend,
    spending,
)
from quorate.errors import InvalidRequest, PromptTooLong


class Clock:
    seconds = 5.0

    def __call__(self) -> float:
        return self.seconds


def test_without_a_budget_nothing_is_spent() -> None:
    spend(10**9)
    assert field() == "prompt"


def test_more_tokens_than_the_context_holds_are_refused_as_soon_as_they_are_there() -> None:
    with spending(EncodingBudget("chat", 10, 1.0, Clock())):
        assert field() == "chat"
        spend(6)
        spend(4)
        with pytest.raises(
            PromptTooLong, match=r"^chat: has 11 tokens or more, .* holds 10 .*shorten it"
        ):
            spend(1)
    assert field() == "prompt"


def test_time_begins_with_the_work_and_ends_it() -> None:
    clock = Clock()
    budget = EncodingBudget("prompt", 10, 2.0, clock)
    clock.seconds += 100
    with spending(budget):
        clock.seconds += 2
        spend(0)
        clock.seconds += 0.1
        with pytest.raises(InvalidRequest, match=r"^prompt: .*longer than the 2 s of CPU time"):
            spend(0)


def test_what_is_cancelled_stops_at_its_next_report_and_no_template_can_catch_it() -> None:
    budget = EncodingBudget("prompt", 10, 2.0, Clock())
    budget.cancel()
    with spending(budget), pytest.raises(EncodingCancelled):
        try:
            spend(1)
        except Exception as error:
            raise AssertionError("caught by a handler of errors") from error


def test_a_longer_context_may_take_longer() -> None:
    assert allowed_seconds(4096) < 1.2
    assert allowed_seconds(131_072) > 3.0
