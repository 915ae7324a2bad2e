"""Limits of single fields, whatever the protocol that brings them.

Each function takes the path of the field as its caller wrote it, for the message, and returns the
value that it lets through. What needs models, a plan or the sampler is checked further down.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from quorate.errors import InvalidRequest
from quorate.request import ChatPrompt, Message

MAX_TOP_LOGPROBS = 100
MAX_REQUEST_ID_CHARACTERS = 128
MAX_TASK_CHARACTERS = 64
DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = 1000


def request_id(field: str, value: str) -> str:
    """Refuses ids that would garble a log: too long, or with characters that do not print.

    Raises:
        InvalidRequest: The id is one of those.
    """
    return _printable(field, value, MAX_REQUEST_ID_CHARACTERS)


def task(field: str, value: str) -> str:
    """Refuses tags that would garble a table: too long, or with characters that do not print.

    Raises:
        InvalidRequest: The tag is one of those.
    """
    return _printable(field, value, MAX_TASK_CHARACTERS)


def filled(field: str, value: str, remedy: str) -> str:
    """Refuses a text that is empty.

    Raises:
        InvalidRequest: It is; ``remedy`` says what to do.
    """
    if not value:
        raise InvalidRequest(field, f"is empty; {remedy}")
    return value


def chat(field: str, messages: Iterable[Message]) -> ChatPrompt:
    """Refuses a chat without messages, and messages without a role.

    Raises:
        InvalidRequest: Names the message, where there is one.
    """
    turns = tuple(messages)
    if not turns:
        raise InvalidRequest(field, "is empty; give at least one message")
    for index, turn in enumerate(turns):
        filled(f"{field}[{index}].role", turn.role, "set system, user or assistant")
    return ChatPrompt(turns)


def positive(field: str, value: int | None) -> int | None:
    """Refuses a limit of 0, which would leave no answer; None is no limit.

    Raises:
        InvalidRequest: It is 0.
    """
    if value == 0:
        raise InvalidRequest(field, "is 0; set at least 1 or leave it unset")
    return value


def not_negative(field: str, value: float | None) -> float | None:
    """Refuses what cannot be a budget: negative, infinite or no number; None is no limit.

    Raises:
        InvalidRequest: The value is one of those.
    """
    if value is not None and not (math.isfinite(value) and value >= 0):
        raise InvalidRequest(field, f"is {value}; give a finite number that is not negative")
    return value


def epoch_seconds(field: str, value: float | None) -> float | None:
    """Refuses what is no moment; None is none in particular.

    Raises:
        InvalidRequest: It is infinite or no number.
    """
    if value is not None and not math.isfinite(value):
        raise InvalidRequest(field, f"is {value}; give seconds since 1970")
    return value


def stop_strings(field: str, stops: Iterable[str]) -> tuple[str, ...]:
    """Refuses stop strings that cannot be found: empty ones, and what has no UTF-8 form.

    Raises:
        InvalidRequest: Names the first of them.
    """
    strings = tuple(stops)
    for index, stop in enumerate(strings):
        filled(f"{field}[{index}]", stop, "leave it out")
        try:
            stop.encode()
        except UnicodeEncodeError:
            raise InvalidRequest(f"{field}[{index}]", "is not valid Unicode text") from None
    return strings


def top_logprobs(field: str, count: int) -> int:
    """Refuses more candidates for each token than can be shown.

    Raises:
        InvalidRequest: There are more.
    """
    if count > MAX_TOP_LOGPROBS:
        raise InvalidRequest(field, f"is {count}; at most {MAX_TOP_LOGPROBS} can be shown")
    return count


def page_size(field: str, asked: int) -> int:
    """Rows of a page of the ledger; 0 takes the default.

    Raises:
        InvalidRequest: More than a page may have.
    """
    if asked > MAX_PAGE_SIZE:
        raise InvalidRequest(field, f"is {asked}; at most {MAX_PAGE_SIZE} rows make a page")
    return asked or DEFAULT_PAGE_SIZE


def _printable(field: str, value: str, max_characters: int) -> str:
    if len(value) > max_characters:
        raise InvalidRequest(field, f"is longer than {max_characters} characters")
    if not value.isprintable():
        raise InvalidRequest(field, "has characters that do not print")
    return value
