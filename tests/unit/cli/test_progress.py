from __future__ import annotations

from quorate.cli.views.progress import every_seconds


def test_what_is_quick_is_not_told_and_what_takes_long_now_and_then() -> None:
    now, told = [0.0], []
    progress = every_seconds(5.0, lambda done, total: told.append((done, total)), lambda: now[0])
    for second in range(13):
        now[0] = float(second)
        progress(second, 100)
    assert told == [(5, 100), (10, 100)]
