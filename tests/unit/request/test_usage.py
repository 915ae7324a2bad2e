from __future__ import annotations

from quorate.request import Energy, EnergyTier, ModelUsage, Usage
from quorate.request.usage import total_usage

FIRST = ModelUsage("a", 7, 3, 5, 40.0, Energy(1.5, EnergyTier.MEASURED))
SECOND = ModelUsage("b", 9, 0, 4, 60.0)


def test_a_usage_keeps_what_each_member_spent_in_their_order() -> None:
    usage = total_usage([SECOND, FIRST], 5, 12.5, 100.0)
    assert usage.models == (SECOND, FIRST)


def test_the_prompt_counts_once_in_the_first_members_tokens() -> None:
    assert total_usage([FIRST, SECOND], 5, 12.5, 100.0).prompt_tokens == 7
    assert total_usage([SECOND, FIRST], 5, 12.5, 100.0).prompt_tokens == 9


def test_an_answer_counts_once_however_many_members_voted() -> None:
    usage = total_usage([FIRST, SECOND], 5, 12.5, 100.0)
    assert usage == Usage(7, 5, 12.5, 100.0, (FIRST, SECOND), cached_prompt_tokens=3)


def test_an_answer_without_a_token_has_no_time_to_it() -> None:
    assert total_usage([FIRST], 0, None, 3.0).time_to_first_token_ms is None


def test_nothing_spent_is_a_usage_too() -> None:
    assert total_usage([], 0, None, 0.5) == Usage(0, 0, None, 0.5, ())


def test_energy_that_is_not_known_stays_unknown() -> None:
    usage = total_usage([FIRST, SECOND], 5, 12.5, 100.0)
    assert [model.energy.joules for model in usage.models] == [1.5, None]
