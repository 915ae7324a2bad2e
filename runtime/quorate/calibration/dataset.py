"""Labelled questions: one JSON object on each line of a file."""

from __future__ import annotations

import codecs
import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quorate.calibration.grading import Case, Match
from quorate.comparing import numbers_in
from quorate.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Dataset:
    """A file of labelled questions.

    Attributes:
        sha256: Of its bytes, in hexadecimal.
    """

    name: str
    sha256: str
    cases: tuple[Case, ...]

    def spread(self, limit: int | None) -> tuple[Case, ...]:
        """At most ``limit`` cases, taken at even distances over the whole file."""
        count = len(self.cases)
        if limit is None or limit >= count:
            return self.cases
        return tuple(self.cases[index * count // limit] for index in range(limit))


def read_dataset(path: Path, task_field: str) -> Dataset:
    """Reads and checks all lines; empty lines are passed over. A line's tag is in ``task_field``.

    Raises:
        SettingsError: It cannot be read, has no line, or a line is wrong; names file and line.
    """
    try:
        data = path.read_bytes().removeprefix(codecs.BOM_UTF8)
    except (OSError, ValueError) as error:
        cause = error.strerror if isinstance(error, OSError) else error
        raise SettingsError(f"{path}: cannot be read: {cause}") from None
    cases: list[Case] = []
    lines: dict[str, int] = {}
    for number, line in enumerate(data.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            case = _case(_fields(line), number, task_field)
            if case.id in lines:
                raise ValueError(f"id {case.id!r} is that of line {lines[case.id]} as well")
        except ValueError as error:
            raise SettingsError(f"{path}: line {number}: {error}") from None
        lines[case.id] = number
        cases.append(case)
    if not cases:
        raise SettingsError(f"{path}: has no question; write one JSON object on each line")
    return Dataset(path.name, hashlib.sha256(data).hexdigest(), tuple(cases))


def _fields(line: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8 text: byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON: {error.msg} at column {error.colno}") from None
    except RecursionError:
        raise ValueError("is nested too deep") from None
    if not isinstance(fields, dict):
        raise ValueError("is no JSON object; write it in braces")
    return fields


def _case(fields: dict[str, Any], number: int, task_field: str) -> Case:
    match = _match(fields)
    name = fields.get("id", f"line {number}")
    if isinstance(name, bool) or not isinstance(name, str | int):
        raise ValueError("id must be a text or a whole number")
    messages, prompt = _asked(fields)
    return Case(
        id=str(name),
        messages=messages,
        prompt=prompt,
        answers=_answers(fields, match),
        match=match,
        tolerance=_tolerance(fields),
        task=_tag(fields, task_field),
        domain=_tag(fields, "domain"),
    )


def _asked(fields: dict[str, Any]) -> tuple[tuple[tuple[str, str], ...], str]:
    if ("prompt" in fields) == ("messages" in fields):
        raise ValueError("must have either prompt or messages")
    if "prompt" in fields:
        return (), _text(fields["prompt"], "prompt")
    turns = fields["messages"]
    if not isinstance(turns, list) or not turns:
        raise ValueError("messages must be a list with at least one message")
    return tuple(_message(turn, f"messages[{index}]") for index, turn in enumerate(turns)), ""


def _message(turn: Any, where: str) -> tuple[str, str]:
    if not isinstance(turn, dict):
        raise ValueError(f"{where} must have a role and a content")
    return _text(turn.get("role"), f"{where}.role"), _text(turn.get("content"), f"{where}.content")


def _match(fields: dict[str, Any]) -> Match:
    value = fields.get("match")
    if not isinstance(value, str) or value not in {one.value for one in Match}:
        choices = ", ".join(one.value for one in Match)
        given = f"is {value!r}" if "match" in fields else "is missing"
        raise ValueError(f"match {given}; give one of {choices}")
    return Match(value)


def _answers(fields: dict[str, Any], match: Match) -> tuple[str, ...]:
    given = fields.get("answer")
    listed = given if isinstance(given, list) else [given]
    if not listed:
        raise ValueError("answer must be a text, or a list with at least one")
    return tuple(_answer(one, match) for one in listed)


def _answer(given: Any, match: Match) -> str:
    if match is Match.NUMERIC and isinstance(given, int | float) and not isinstance(given, bool):
        given = str(given)
    text = _text(given, "answer")
    if match is Match.CHOICE and not (len(text.strip()) == 1 and text.strip().isalpha()):
        raise ValueError(f"answer must be a single letter where match is choice, not {text!r}")
    if match is Match.NUMERIC and len(numbers_in(text)) != 1:
        raise ValueError(f"answer must be a number where match is numeric, not {text!r}")
    return text


def _tolerance(fields: dict[str, Any]) -> float | None:
    value = fields.get("tolerance")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("tolerance must be a number")
    if not (math.isfinite(value) and value >= 0):
        raise ValueError("tolerance must be finite and not negative")
    return float(value)


def _tag(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if value is None:
        return ""
    return _text(value, name)


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{name} must be a text that is not empty")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(f"{name} is not valid Unicode text") from None
    return value
