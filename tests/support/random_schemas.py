"""Random JSON schemas whose values come to an end, whoever writes them."""

from __future__ import annotations

import random
from typing import Any

_NAMES = ("id", "name", "n", "tags", "a b", "é", 'say "hi"', "x/y")
_PATTERNS = ("^[a-c]{1,4}$", "^(on|off)$", "^[0-9]{2}-[0-9]{2}$")
_WORDS = ("red", "green", "", 'a "quote"', "naïve", "日本", "line\nbreak", 7, -1.5, None, True)


def random_schema(seed: int) -> dict[str, Any]:
    """A schema of objects, arrays, choices, references, and bounded texts and numbers."""
    draw = random.Random(seed)
    schema = _object(draw, 3)
    if draw.random() < 0.3:
        schema["$defs"] = {"part": _value(draw, 1)}
        schema["properties"]["part"] = {"$ref": "#/$defs/part"}
        schema["required"] = [*schema["required"], "part"]
    # A toy writes white space as gladly as anything else.
    return schema | {"x-guidance": {"whitespace_flexible": False}}


def _object(draw: random.Random, depth: int) -> dict[str, Any]:
    names = draw.sample(_NAMES, draw.randint(1, 4))
    return {
        "type": "object",
        "properties": {name: _value(draw, depth - 1) for name in names},
        "required": [name for name in names if draw.random() < 0.6],
        "additionalProperties": False,
    }


def _value(draw: random.Random, depth: int) -> dict[str, Any]:
    kinds = [_text, _pattern, _integer, _number, _choice, _constant, _plain]
    if depth > 0:
        kinds += [lambda one: _object(one, depth), lambda one: _array(one, depth)]
        kinds += [lambda one: {"anyOf": [_value(one, depth - 1), _value(one, depth - 1)]}]
    return draw.choice(kinds)(draw)


def _array(draw: random.Random, depth: int) -> dict[str, Any]:
    least = draw.randint(0, 2)
    items = _value(draw, depth - 1)
    return {
        "type": "array",
        "items": items,
        "minItems": least,
        "maxItems": least + draw.randint(0, 2),
    }


def _text(draw: random.Random) -> dict[str, Any]:
    least = draw.randint(0, 3)
    return {"type": "string", "minLength": least, "maxLength": least + draw.randint(0, 5)}


def _pattern(draw: random.Random) -> dict[str, Any]:
    return {"type": "string", "pattern": draw.choice(_PATTERNS)}


def _integer(draw: random.Random) -> dict[str, Any]:
    least = draw.randint(-1000, 1000)
    return {"type": "integer", "minimum": least, "maximum": least + draw.randint(0, 500)}


def _number(draw: random.Random) -> dict[str, Any]:
    least = draw.randint(-20, 20)
    return {"type": "number", "minimum": least, "exclusiveMaximum": least + 5}


def _choice(draw: random.Random) -> dict[str, Any]:
    return {"enum": draw.sample(_WORDS, draw.randint(1, 4))}


def _constant(draw: random.Random) -> dict[str, Any]:
    return {"const": draw.choice(_WORDS)}


def _plain(draw: random.Random) -> dict[str, Any]:
    return {"type": draw.choice(["boolean", "null"])}
