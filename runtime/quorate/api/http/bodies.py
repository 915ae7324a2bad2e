"""From the bytes of a body to the JSON object that it is. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from quorate.access.limits import MAX_MESSAGES, MAX_TOKENS
from quorate.api.http.json_reader import count_values, read_json
from quorate.errors import InvalidRequest

MOST_VALUES = 8 * MAX_MESSAGES
"""Of one body, each of which takes memory: as many messages as a chat may have."""
MOST_VALUES_OF_TOKENS = MAX_TOKENS + 1024
"""Of one body that brings tokens."""


def json_object(data: bytes, most_values: int = MOST_VALUES) -> Mapping[str, Any]:
    """The object that a body is.

    Args:
        data: The body.
        most_values: How many values it may have.

    Raises:
        InvalidRequest: It is none, or has more values than any request needs.
    """
    values = count_values(data)
    if values > most_values:
        raise InvalidRequest("body", f"has more than {most_values} values")
    try:
        found = read_json(data, values)
    except UnicodeError:
        raise InvalidRequest("body", "is not valid Unicode text") from None
    except (ValueError, RecursionError) as error:
        where = f" at line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise InvalidRequest("body", f"is not JSON{where}; send an object") from None
    if not isinstance(found, dict):
        raise InvalidRequest("body", "is no JSON object")
    return found
