"""Domain errors as HTTP statuses, with bodies in OpenAI's shape. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from quorate.api.faults import status_name
from quorate.errors import (
    BudgetSpent,
    InvalidRequest,
    NotFound,
    Overloaded,
    QuorateError,
    Unavailable,
)
from quorate.foreign_text import one_line

STATUSES: Mapping[str, int] = MappingProxyType(
    {
        "INVALID_ARGUMENT": 400,
        "FAILED_PRECONDITION": 400,
        "UNAUTHENTICATED": 401,
        "PERMISSION_DENIED": 403,
        "NOT_FOUND": 404,
        "ABORTED": 408,
        "RESOURCE_EXHAUSTED": 429,
        "INTERNAL": 500,
        "UNAVAILABLE": 503,
        "DEADLINE_EXCEEDED": 504,
    }
)
"""HTTP's status for each of ``faults.STATUS_OF``."""

_TYPES: Mapping[int, str] = MappingProxyType(
    {
        401: "authentication_error",
        403: "permission_error",
        404: "not_found_error",
        429: "rate_limit_error",
    }
)
# Fields of the body stand in groups elsewhere.
_GROUPS = ("sampling.", "stopping.", "response.", "chat.")
_NAMES = {"profile": "model", "plan": "model", "input": "messages", "chat": "messages"}
_NO_NAMES: Mapping[str, str] = MappingProxyType({})
_NAME = re.compile(r"[^.\[]*")
_MOST_CHARACTERS = 2000


def http_status(error: QuorateError) -> int:
    """The status that an error is told with."""
    return STATUSES[status_name(error)]


def error_body(
    error: QuorateError, request_id: str, names: Mapping[str, str] = _NO_NAMES
) -> dict[str, Any]:
    """The body that an error is told with.

    Args:
        error: The error.
        request_id: By which the request is known.
        names: What the caller calls a field that has another name here.
    """
    status = http_status(error)
    kind = "invalid_request_error" if status < 500 else "server_error"
    told: dict[str, Any] = {
        "message": _line(_message(error, names)),
        "type": _TYPES.get(status, kind),
        "param": field_of(error.field, names) if isinstance(error, InvalidRequest) else None,
        "code": error.reason.lower(),
        "request_id": request_id,
    }
    if isinstance(error, NotFound) and error.nearest:
        told["nearest"] = list(map(_line, error.nearest))
    if isinstance(error, InvalidRequest) and error.also:
        told["also"] = [
            {"param": field_of(one.field, names), "message": _line(one.problem)}
            for one in error.also
        ]
    return {"error": told}


def error_headers(error: QuorateError) -> dict[str, str]:
    """The headers that an error is told with."""
    if isinstance(error, Overloaded | Unavailable | BudgetSpent):
        seconds = error.retry_after_seconds
        if math.isfinite(seconds):
            return {"retry-after": str(max(1, math.ceil(seconds)))}
    if http_status(error) == 401:
        return {"www-authenticate": "Bearer"}
    return {}


def field_of(field: str, names: Mapping[str, str] = _NO_NAMES) -> str:
    """A field as the caller of this API knows it."""
    if field in names:
        return names[field]
    for group in _GROUPS:
        field = field.removeprefix(group)
    if field.startswith("plan."):
        return "model"
    name = _NAME.match(field)
    assert name is not None
    known = names.get(name[0]) or _NAMES.get(name[0], name[0])
    return known + field[name.end() :]


def _message(error: QuorateError, names: Mapping[str, str]) -> str:
    if not isinstance(error, InvalidRequest):
        return error.message
    others = ", ".join(dict.fromkeys(field_of(one.field, names) for one in error.also))
    told = f"{field_of(error.field, names)}: {error.problem}"
    return f"{told}; also wrong: {others}" if others else told


def _line(text: str) -> str:
    text = text[: 2 * _MOST_CHARACTERS].encode("utf-8", errors="replace").decode("utf-8")
    line = one_line(" ".join(text.split()))
    return line if len(line) <= _MOST_CHARACTERS else f"{line[: _MOST_CHARACTERS - 1]}…"
