from __future__ import annotations

import logging
import sys

import pytest

from quorate.access.record import RequestRecord
from quorate.cli.log_formats import CleanFormatter
from quorate.foreign_text import LINE_CHARACTERS
from quorate.request import Plan, WeightedModel

FORMATTER = CleanFormatter("%(levelname)s %(name)s: %(message)s")


def formatted(message: str, *values: object, exc_info: object = None) -> str:
    record = logging.LogRecord("quorate.x", logging.WARNING, __file__, 1, message, values, exc_info)
    return FORMATTER.format(record)


def test_what_others_wrote_forges_no_line_and_reaches_no_terminal() -> None:
    line = formatted("model %s: %s", "a\nERROR quorate: forged", "\x1b[2J\x9b31m\u202e")
    assert line == ("WARNING quorate.x: model a ERROR quorate: forged: \\x1b[2J\\x9b31m\\u202e")


def test_a_line_of_megabytes_is_cut() -> None:
    assert len(formatted("%s", "x" * 10_000_000)) < LINE_CHARACTERS + 50


def test_a_traceback_keeps_its_lines_and_they_are_clean() -> None:
    try:
        raise ValueError("\x1b[2J\n2026-01-01 INFO quorate: forged\n" + "x" * 1_000_000)
    except ValueError:
        text = formatted("incident", exc_info=sys.exc_info())
    first, *rest = text.splitlines()
    assert first == "WARNING quorate.x: incident"
    assert all(line.startswith("  ") for line in rest)
    assert any("\\x1b[2J" in line for line in rest)
    assert len(text) < 10_000
    assert all(line.isprintable() for line in rest)


def test_the_line_of_a_request_names_some_models_in_part(
    caplog: pytest.LogCaptureFixture,
) -> None:
    record = RequestRecord("/x", "id")
    record.ask(Plan(tuple(WeightedModel(f"{index}{'m' * 200}") for index in range(64))))
    with caplog.at_level(logging.INFO, "quorate.requests"):
        record.log(0.1)
    assert len(record.models) == 16
    assert len(caplog.messages[0]) < 2000
