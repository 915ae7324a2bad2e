from __future__ import annotations

import pytest

from quorate.cli.commands.spend import parse_moment
from quorate.errors import SettingsError

NOW = 1_000_000_000.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7d", 604_800), ("12h", 43_200), ("1.5m", 90), ("30s", 30), ("2w", 1_209_600)],
)
def test_a_span_is_so_long_ago(text: str, seconds: float) -> None:
    assert parse_moment(text, "--since", NOW) == NOW - seconds


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("1970-01-02", 86_400.0),
        ("1970-01-01T01:00", 3600.0),
        ("1970-01-01T01:00+01:00", 0.0),
        ("1970-01-01T00:00:10Z", 10.0),
    ],
)
def test_a_date_without_an_offset_is_one_of_utc(text: str, moment: float) -> None:
    assert parse_moment(text, "--since", NOW) == moment


@pytest.mark.parametrize("text", ["yesterday", "7", "d", "-7d", "", "2026-13-01"])
def test_what_is_neither_is_refused_with_the_option(text: str) -> None:
    with pytest.raises(SettingsError, match="--until: must be so long ago"):
        parse_moment(text, "--until", NOW)


def test_a_span_longer_than_time_is_the_beginning() -> None:
    assert parse_moment("9999w", "--since", NOW) == 0.0
