"""From the bytes of a body to the JSON object that it is. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from quorate.access.limits import MAX_MESSAGES, MAX_TOKENS
from quorate.errors import InvalidRequest

MOST_VALUES = 2 * MAX_TOKENS + 16 * MAX_MESSAGES
"""Of one body: a prompt of tokens, or as many messages as a chat may have. Each takes memory."""

_TEXTS = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_BEGINS = re.compile(rb"[,\[{]")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def json_object(data: bytes) -> Mapping[str, Any]:
    """The object that a body is.

    Raises:
        InvalidRequest: It is none, or has more values than any request needs.
    """
    # Values are told apart by commas and brackets outside of texts.
    values = sum(1 for _ in _BEGINS.finditer(_TEXTS.sub(b"", data)))
    if values > MOST_VALUES:
        raise InvalidRequest("body", f"has more than {MOST_VALUES} values")
    try:
        found = json.loads(data, parse_constant=_refuse_constant)
        if _SURROGATE.search(data):
            # Half a pair is a text that has no bytes.
            json.dumps(found, ensure_ascii=False).encode("utf-8")
    except (UnicodeDecodeError, UnicodeEncodeError):
        raise InvalidRequest("body", "is not valid Unicode text") from None
    except (ValueError, RecursionError) as error:
        where = f" at line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise InvalidRequest("body", f"is not JSON{where}; send an object") from None
    if not isinstance(found, dict):
        raise InvalidRequest("body", "is no JSON object")
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
