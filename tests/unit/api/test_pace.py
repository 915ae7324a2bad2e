from __future__ import annotations

import pytest

from quorate.api.pace import Pace


def test_some_refusals_come_at_once_and_more_of_them_at_a_pace() -> None:
    now = [0.0]
    pace = Pace(lambda: now[0])
    delays = [pace.delay_seconds("a") for _ in range(40)]
    assert delays[:20] == pytest.approx([0.0] * 20)
    assert delays[20:] == pytest.approx([0.05 * number for number in range(1, 21)])
    assert pace.delay_seconds("b") == 0.0
    now[0] = 30.0
    assert pace.delay_seconds("a") == 0.0


def test_nobody_waits_for_longer_than_the_longest() -> None:
    pace = Pace(lambda: 0.0)
    assert max(pace.delay_seconds("a") for _ in range(10_000)) == 10.0


def test_callers_who_have_paid_are_forgotten() -> None:
    now = [0.0]
    pace = Pace(lambda: now[0])
    for number in range(10_000):
        now[0] += 0.1
        pace.delay_seconds(str(number))
    assert len(pace._due) <= 4097
