"""Limits of fields, whatever the API that brings them: how many, how long, how much together.

``LIMITS`` is the one table of all that callers may send. An API holds a request against it before
anything else is done with its fields. What follows the table checks single values: each function
takes the path of the field as its caller wrote it, and returns the value that it lets through;
anything else raises ``InvalidRequest`` under that path. What needs models, a plan or the sampler is
checked further down.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from quorate.errors import InvalidRequest
from quorate.large_texts import utf8_size
from quorate.request import ChatPrompt, ConstraintKind, Message, OutputConstraint
from quorate.request.constraints import ends_within_escape

MAX_TOP_LOGPROBS = 100
MAX_REQUEST_ID_CHARACTERS = 128
MAX_TASK_CHARACTERS = 64
MAX_NAME_BYTES = 256
"""Of models, profiles and keys."""
MAX_PROMPT_BYTES = 4 * 2**20
"""Of a prompt, or of all messages of a chat: a million tokens of English."""
MAX_CONTINUATION_BYTES = 2**20
"""Of a text that is scored, token after token."""
MAX_MESSAGES = 16_384
"""Of a chat. Each takes some tokens, so that no context holds more."""
MAX_ROLE_BYTES = 64
"""Of the role of a message."""
MAX_STOP_STRINGS = 1024
MAX_STOP_BYTES = 512
MAX_STOP_BYTES_TOGETHER = 8192
MAX_CONSTRAINT_BYTES = 65_536
"""Of a schema or a grammar, which is compiled for each answer."""
MAX_TOOLS = 128
MAX_TOOL_NAME_BYTES = 64
MAX_DESCRIPTION_BYTES = 16_384
MAX_TOOL_BYTES_TOGETHER = 4 * MAX_CONSTRAINT_BYTES
"""Of all tools of a chat, as they are sent; their schemas together are a constraint."""
MAX_CALLS = 128
"""Of one message."""
MAX_CALL_ID_BYTES = 256
MAX_ARGUMENTS_BYTES = 65_536
"""Of one call."""
MAX_BIASES = 32_768
"""As many as it takes to rule out a whole script."""
MAX_TOKENS = 262_144
"""Of one call that turns them into text."""
MAX_DETOKENIZED_BYTES = 4 * 2**20
"""Of the text that they stand for."""
MAX_MEMBERS = 64
MAX_STAGES = 16
DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = 1000
MAX_METADATA_BYTES = 8192
"""Of all headers of a call."""


_LONGEST_TRACE = 128


@dataclass(frozen=True, slots=True)
class FieldLimit:
    """What one field of a request may hold. None is no limit, since the field has no such thing.

    Attributes:
        message: The message that has the field, as the protos name it.
        field: Its name there.
        bytes: Most UTF-8 bytes of one text.
        count: Most entries of a field that repeats.
        total_bytes: Most bytes of all entries of a field that repeats, as they are sent.
        highest: Greatest number.
    """

    message: str
    field: str
    bytes: int | None = None
    count: int | None = None
    total_bytes: int | None = None
    highest: int | None = None


# A character has four bytes at most.
_ID_BYTES = 4 * MAX_REQUEST_ID_CHARACTERS
_TASK_BYTES = 4 * MAX_TASK_CHARACTERS

LIMITS: tuple[FieldLimit, ...] = (
    FieldLimit("GenerateRequest", "request_id", bytes=_ID_BYTES),
    FieldLimit("GenerateRequest", "prompt", bytes=MAX_PROMPT_BYTES),
    FieldLimit("GenerateRequest", "profile", bytes=MAX_NAME_BYTES),
    FieldLimit("GenerateRequest", "json_schema", bytes=MAX_CONSTRAINT_BYTES),
    FieldLimit("GenerateRequest", "regex", bytes=MAX_CONSTRAINT_BYTES),
    FieldLimit("GenerateRequest", "grammar", bytes=MAX_CONSTRAINT_BYTES),
    FieldLimit("GenerateRequest", "task", bytes=_TASK_BYTES),
    FieldLimit("ScoreRequest", "request_id", bytes=_ID_BYTES),
    FieldLimit("ScoreRequest", "prompt", bytes=MAX_PROMPT_BYTES),
    FieldLimit("ScoreRequest", "continuation", bytes=MAX_CONTINUATION_BYTES),
    FieldLimit("ScoreRequest", "profile", bytes=MAX_NAME_BYTES),
    FieldLimit("Chat", "messages", count=MAX_MESSAGES, total_bytes=MAX_PROMPT_BYTES),
    FieldLimit("Chat", "tools", count=MAX_TOOLS, total_bytes=MAX_TOOL_BYTES_TOGETHER),
    FieldLimit("ChatMessage", "role", bytes=MAX_ROLE_BYTES),
    FieldLimit("ChatMessage", "content", bytes=MAX_PROMPT_BYTES),
    FieldLimit("ChatMessage", "tool_calls", count=MAX_CALLS),
    FieldLimit("ChatMessage", "tool_call_id", bytes=MAX_CALL_ID_BYTES),
    FieldLimit("ChatMessage", "name", bytes=MAX_TOOL_NAME_BYTES),
    FieldLimit("Tool", "name", bytes=MAX_TOOL_NAME_BYTES),
    FieldLimit("Tool", "description", bytes=MAX_DESCRIPTION_BYTES),
    FieldLimit("Tool", "parameters", bytes=MAX_CONSTRAINT_BYTES),
    FieldLimit("ToolCall", "id", bytes=MAX_CALL_ID_BYTES),
    FieldLimit("ToolCall", "name", bytes=MAX_TOOL_NAME_BYTES),
    FieldLimit("ToolCall", "arguments", bytes=MAX_ARGUMENTS_BYTES),
    FieldLimit("ToolChoice", "name", bytes=MAX_TOOL_NAME_BYTES),
    FieldLimit("SamplingOptions", "logit_bias", count=MAX_BIASES),
    FieldLimit(
        "StoppingOptions",
        "stop",
        bytes=MAX_STOP_BYTES,
        count=MAX_STOP_STRINGS,
        total_bytes=MAX_STOP_BYTES_TOGETHER,
    ),
    FieldLimit("ResponseOptions", "top_logprobs", highest=MAX_TOP_LOGPROBS),
    FieldLimit("SinglePlan", "model", bytes=MAX_NAME_BYTES),
    FieldLimit("EnsemblePlan", "members", count=MAX_MEMBERS),
    FieldLimit("Member", "model", bytes=MAX_NAME_BYTES),
    FieldLimit("Draft", "model", bytes=MAX_NAME_BYTES),
    FieldLimit("Gate", "leader", bytes=MAX_NAME_BYTES),
    FieldLimit("CascadePlan", "stages", count=MAX_STAGES),
    FieldLimit("AnswersPlan", "members", count=MAX_MEMBERS),
    FieldLimit("GetModelRequest", "model", bytes=MAX_NAME_BYTES),
    FieldLimit("LoadModelRequest", "model", bytes=MAX_NAME_BYTES),
    FieldLimit("UnloadModelRequest", "model", bytes=MAX_NAME_BYTES),
    FieldLimit("TokenizeRequest", "model", bytes=MAX_NAME_BYTES),
    FieldLimit("TokenizeRequest", "text", bytes=MAX_PROMPT_BYTES),
    FieldLimit("DetokenizeRequest", "model", bytes=MAX_NAME_BYTES),
    FieldLimit("DetokenizeRequest", "tokens", count=MAX_TOKENS),
    FieldLimit("RateRequest", "request_id", bytes=_ID_BYTES),
    FieldLimit("GetBudgetRequest", "key", bytes=MAX_NAME_BYTES),
    FieldLimit("ChargeFilter", "key", bytes=MAX_NAME_BYTES),
    FieldLimit("ChargeFilter", "model", bytes=MAX_NAME_BYTES),
    FieldLimit("ChargeFilter", "profile", bytes=MAX_NAME_BYTES),
    FieldLimit("ChargeFilter", "request_id", bytes=_ID_BYTES),
    FieldLimit("ListChargesRequest", "page_size", highest=MAX_PAGE_SIZE),
    FieldLimit("ListChargesRequest", "page_token", bytes=256),
    FieldLimit("SummarizeSpendRequest", "group_by", count=16),
)
"""Every text and every field that repeats of every request, and the numbers that are limited."""


def table() -> tuple[FieldLimit, ...]:
    """The limits of fields, for whoever publishes them."""
    return LIMITS


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


def score(field: str, value: float | None) -> float:
    """What somebody thought of an answer, from 0 to 1."""
    if value is None:
        raise InvalidRequest(field, "is missing; give 0 to 1")
    if not 0.0 <= value <= 1.0:
        raise InvalidRequest(field, f"is {value}; give 0 to 1")
    return value


def constraint(field: str, kind: ConstraintKind, text: str) -> OutputConstraint:
    """What an answer must be, in a text that is there, not too long, and followed as it is."""
    filled(field, text, "leave it out where the answer may be any text")
    constraint_size(field, utf8_size(text))
    if kind is ConstraintKind.REGEX and ends_within_escape(text):
        raise InvalidRequest(field, "ends with a lone backslash; write two where one is meant")
    return OutputConstraint(kind, text)


def constraint_size(field: str, size: int) -> int:
    """So many bytes as what an answer must be may have, however it is written."""
    if size > MAX_CONSTRAINT_BYTES:
        raise InvalidRequest(field, f"has more than {MAX_CONSTRAINT_BYTES} bytes")
    return size


def chat(field: str, messages: Iterable[Message]) -> ChatPrompt:
    """At least one message, not too many, and a short role for each; a message may be empty."""
    turns = tuple(islice(messages, MAX_MESSAGES + 1))
    if len(turns) > MAX_MESSAGES:
        raise InvalidRequest(field, f"has more than {MAX_MESSAGES} messages; send fewer")
    if not turns:
        raise InvalidRequest(field, "is empty; give at least one message")
    for index, turn in enumerate(turns):
        role = f"{field}[{index}].role"
        filled(role, turn.role, "set system, user, assistant or tool")
        if utf8_size(turn.role) > MAX_ROLE_BYTES:
            raise InvalidRequest(role, f"has more than {MAX_ROLE_BYTES} bytes")
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
    """Stop strings that can be found: few and short, none empty, and each with a UTF-8 form."""
    strings = tuple(islice(stops, MAX_STOP_STRINGS + 1))
    if len(strings) > MAX_STOP_STRINGS:
        raise InvalidRequest(field, f"has more than {MAX_STOP_STRINGS} strings; send fewer")
    total = 0
    for index, stop in enumerate(strings):
        filled(f"{field}[{index}]", stop, "leave it out")
        try:
            size = len(stop.encode())
        except UnicodeEncodeError:
            raise InvalidRequest(f"{field}[{index}]", "is not valid Unicode text") from None
        if size > MAX_STOP_BYTES:
            raise InvalidRequest(
                f"{field}[{index}]", f"has {size} bytes; at most {MAX_STOP_BYTES} are allowed"
            )
        total += size
    if total > MAX_STOP_BYTES_TOGETHER:
        raise InvalidRequest(
            field,
            f"has {total} bytes together; at most {MAX_STOP_BYTES_TOGETHER} are allowed",
        )
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


def trace_parent(header: str | None) -> str:
    """The caller's trace, as W3C's Trace Context writes it; "" for none, and for what is none."""
    return header if header is not None and len(header) <= _LONGEST_TRACE else ""


def _printable(field: str, value: str, max_characters: int) -> str:
    if len(value) > max_characters:
        raise InvalidRequest(field, f"is longer than {max_characters} characters")
    if not value.isprintable():
        raise InvalidRequest(field, "has characters that do not print")
    return value
