"""Limits of single fields, whatever the API that brings them.

Each takes the path of the field as its caller wrote it, and returns the value that it lets through;
anything else raises ``InvalidRequest`` under that path. What needs models, a plan or the sampler is
checked further down.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import islice

from quorate.errors import InvalidRequest
from quorate.request import ChatPrompt, Message

MAX_TOP_LOGPROBS = 100
MAX_REQUEST_ID_CHARACTERS = 128
MAX_TASK_CHARACTERS = 64
MAX_MESSAGES = 16_384
"""Of a chat. Each takes some tokens, so that no context holds more."""
MAX_STOP_STRINGS = 1024
MAX_BIASES = 262_144
"""As many as the largest vocabularies have tokens."""
MAX_TOKENS = 262_144
"""Of one call that turns them into text."""
MAX_DETOKENIZED_BYTES = 4 * 2**20
"""Of the text that they stand for."""
DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = 1000


def request_id(field: str, value: str) -> str:
    """An id that does not garble a log: not too long, and of characters that print."""
    return _printable(field, value, MAX_REQUEST_ID_CHARACTERS)


def task(field: str, value: str) -> str:
    """A tag that does not garble a table: not too long, and of characters that print."""
    return _printable(field, value, MAX_TASK_CHARACTERS)


def filled(field: str, value: str, remedy: str) -> str:
    """A text that is not empty; ``remedy`` says what to do where it is."""
    if not value:
        raise InvalidRequest(field, f"is empty; {remedy}")
    return value


def chat(field: str, messages: Iterable[Message]) -> ChatPrompt:
    """At least one message, not too many, and a role for each; a message may be empty."""
    turns = tuple(islice(messages, MAX_MESSAGES + 1))
    if len(turns) > MAX_MESSAGES:
        raise InvalidRequest(field, f"has more than {MAX_MESSAGES} messages; send fewer")
    if not turns:
        raise InvalidRequest(field, "is empty; give at least one message")
    for index, turn in enumerate(turns):
        filled(f"{field}[{index}].role", turn.role, "set system, user or assistant")
    return ChatPrompt(turns)


def positive(field: str, value: int | None) -> int | None:
    """A limit that leaves something of an answer; None is no limit."""
    if value == 0:
        raise InvalidRequest(field, "is 0; set at least 1 or leave it unset")
    return value


def not_negative(field: str, value: float | None) -> float | None:
    """An amount that can be a budget; None is no limit."""
    if value is not None and not (math.isfinite(value) and value >= 0):
        raise InvalidRequest(field, f"is {value}; give a finite number that is not negative")
    return value


def epoch_seconds(field: str, value: float | None) -> float | None:
    """A moment in UTC; None is none in particular."""
    if value is not None and not math.isfinite(value):
        raise InvalidRequest(field, f"is {value}; give seconds since 1970")
    return value


def stop_strings(field: str, stops: Iterable[str]) -> tuple[str, ...]:
    """Stop strings that can be found: not too many, none empty, and each with a UTF-8 form."""
    strings = tuple(islice(stops, MAX_STOP_STRINGS + 1))
    if len(strings) > MAX_STOP_STRINGS:
        raise InvalidRequest(field, f"has more than {MAX_STOP_STRINGS} strings; send fewer")
    for index, stop in enumerate(strings):
        filled(f"{field}[{index}]", stop, "leave it out")
        try:
            stop.encode()
        except UnicodeEncodeError:
            raise InvalidRequest(f"{field}[{index}]", "is not valid Unicode text") from None
    return strings


def top_logprobs(field: str, count: int) -> int:
    """As many candidates of each token as can be shown."""
    if count > MAX_TOP_LOGPROBS:
        raise InvalidRequest(field, f"is {count}; at most {MAX_TOP_LOGPROBS} can be shown")
    return count


def token_ids(field: str, tokens: Sequence[int]) -> Sequence[int]:
    """As many tokens as are turned into text at once; which ids there are, the vocabulary says."""
    if len(tokens) > MAX_TOKENS:
        raise InvalidRequest(field, f"has more than {MAX_TOKENS} tokens; send fewer")
    return tokens


def page_size(field: str, asked: int) -> int:
    """Rows of a page of the ledger; 0 takes the default."""
    if asked > MAX_PAGE_SIZE:
        raise InvalidRequest(field, f"is {asked}; at most {MAX_PAGE_SIZE} rows make a page")
    return asked or DEFAULT_PAGE_SIZE


def _printable(field: str, value: str, max_characters: int) -> str:
    if len(value) > max_characters:
        raise InvalidRequest(field, f"is longer than {max_characters} characters")
    if not value.isprintable():
        raise InvalidRequest(field, "has characters that do not print")
    return value
