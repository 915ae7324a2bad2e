from __future__ import annotations

import pytest

from quorate.remotes import RemoteSettings
from quorate.remotes.pace import Pace, PaceLimits

LIMITS = PaceLimits(
    first_seconds=8.0, between_seconds=4.0, grace_seconds=1.0, tokens_per_second=0.5
)


def test_what_is_not_set_follows_from_the_longest_silence():
    least = {"base_url": "https://api.example.com/v1", "model": "m"}
    told = {**least, "read_timeout_seconds": 7.0, "connect_timeout_seconds": 2.0}
    limits = PaceLimits.of(RemoteSettings.from_mapping(told, "remotes.far"))
    assert (limits.first_seconds, limits.between_seconds) == (9.0, 7.0)
    own = {**told, "first_event_timeout_seconds": 90.0, "progress_timeout_seconds": 30.0}
    limits = PaceLimits.of(RemoteSettings.from_mapping(own, "remotes.far"))
    assert (limits.first_seconds, limits.between_seconds) == (90.0, 30.0)


def test_pings_before_the_answer_are_no_progress():
    pace = Pace(LIMITS)
    for _ in range(3):
        pace.waited(2.0)
    assert pace.left(0) == (2.0, "sent nothing of an answer for 8 s")


def test_an_event_without_text_begins_the_answer_and_only_once():
    pace = Pace(LIMITS)
    pace.waited(3.0)
    pace.begin()
    pace.waited(3.0)
    pace.begin()
    assert pace.left(0) == (1.0, "sent nothing of the answer for 4 s")


def test_text_is_progress_until_it_comes_too_slowly():
    pace = Pace(LIMITS)
    pace.progress()
    for _ in range(3):
        pace.waited(3.0)
        pace.progress()
    # Nine seconds without the first four are worth two and a half tokens.
    assert pace.left(3) == (1.0, "sends fewer than 0.5 tokens per second")
    assert pace.left(100) == (4.0, "sent nothing of the answer for 4 s")


def test_without_a_floor_only_stalls_count():
    pace = Pace(PaceLimits(8.0, 4.0, 1.0, 0.0))
    pace.progress()
    for _ in range(1000):
        pace.waited(3.0)
        pace.progress()
    assert pace.left(1)[0] == 4.0


def test_after_the_end_there_is_one_grace_whatever_still_comes():
    pace = Pace(LIMITS)
    pace.progress()
    pace.waited(3.0)
    pace.end()
    assert pace.left(1)[0] == pytest.approx(1.0)
    pace.waited(0.75)
    pace.end()
    assert pace.left(1)[0] == pytest.approx(0.25)
