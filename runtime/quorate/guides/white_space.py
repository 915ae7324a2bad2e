"""How much white space JSON of a schema may have. Pure."""

from __future__ import annotations

from typing import Any

_GUIDANCE = "x-guidance"
# White space without end is what small models write where a grammar keeps them from all they like.
# So much is enough for JSON in a line and for JSON that is indented.
_WHITE_SPACE = r"\x20|\x0A\x20{0,20}"


def with_white_space(schema: Any) -> Any:
    """A schema that says so, as llguidance reads it, unless it says something of its own."""
    if not isinstance(schema, dict):
        return schema
    options = schema.get(_GUIDANCE, {})
    if not isinstance(options, dict) or "whitespace_flexible" in options:
        return schema
    return schema | {_GUIDANCE: {"whitespace_pattern": _WHITE_SPACE} | options}
