from __future__ import annotations

from quorate.engines.worker_log import WARNINGS_AT_ONCE, WarningFilter


def test_a_worker_that_warns_without_end_is_heard_once_a_second_with_what_was_left_out() -> None:
    now = [0.0]
    warnings = WarningFilter(lambda: now[0])
    heard = [line for index in range(1000) for line in warnings.let_through(str(index))]
    assert heard == [str(index) for index in range(WARNINGS_AT_ONCE)]
    now[0] = 1.0
    left_out = 1000 - WARNINGS_AT_ONCE
    assert warnings.let_through("x") == [f"{left_out} further warnings were left out", "x"]
    assert warnings.let_through("y") == []
    now[0] = 1e6
    assert warnings.let_through("z") == ["1 further warnings were left out", "z"]
