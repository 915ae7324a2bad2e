"""From the constraint of a request to a grammar as llguidance reads it, and what is wrong with one.

Runs in the guide's process.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

from llguidance import LLMatcher, LLParserLimits

from quorate.guides.white_space import with_white_space
from quorate.request.constraints import ConstraintKind, ends_within_escape

LIMITS = LLParserLimits(
    verbose_errors=False, precompute_large_lexemes=False, max_lexer_states=50_000
)
"""The library's own, in steps of its parser: a mask takes at most some tens of milliseconds. The
states of its lexer take a kilobyte or two each. They are made when they are needed, so that what it
takes to compile a grammar does not depend on the vocabulary."""

# Members choose how a text that must come is cut: the library's way needs their tokenizers.
_OPTIONS = json.dumps({"no_forcing": True})
# Schemas that are tried to find out which part of one is wrong.
_MOST_TRIED = 400
# Keywords whose value is a schema, a list of schemas, or schemas by name.
_ONE = ("items", "additionalProperties", "not", "contains", "propertyNames", "if", "then", "else")
_MANY = ("anyOf", "oneOf", "allOf", "prefixItems")
_NAMED = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")


class BrokenPattern(ValueError):
    """A pattern of a schema is none."""


def grammar_of(kind: ConstraintKind, text: str) -> str:
    """The grammar of a constraint, in the library's JSON.

    Raises:
        BrokenPattern: The library would pass over a part of a pattern.
        ValueError: The text is no JSON, or no schema.
    """
    match kind:
        case ConstraintKind.JSON_SCHEMA:
            schema = json.loads(text)
            if any(map(ends_within_escape, _patterns(schema))):
                raise BrokenPattern("a pattern ends with a lone backslash; write two for one")
            part = {"json_schema": with_white_space(schema)}
        case ConstraintKind.REGEX:
            (regex,) = json.loads(LLMatcher.grammar_from_regex(text))["grammars"]
            part = {"lark_grammar": regex["lark_grammar"]}
        case ConstraintKind.GRAMMAR:
            part = {"lark_grammar": text}
    whole = {"name": "answer", "lark_grammar": f"%llguidance {_OPTIONS}\nstart: @given"}
    return json.dumps({"grammars": [whole, {"name": "given", **part}]})


def place_of_problem(schema: object, problem_of: Callable[[object], str]) -> tuple[str, str]:
    """Where a schema is wrong, as a JSON pointer, and what is wrong there.

    Args:
        schema: One with a problem.
        problem_of: What is wrong with a schema, or "".
    """
    shared = {}
    if isinstance(schema, dict):
        shared = {name: schema[name] for name in ("$defs", "definitions") if name in schema}
    place, problem, tried = "", problem_of(schema), 0
    narrower = True
    while narrower and tried < _MOST_TRIED:
        narrower = False
        for step, part in _parts(schema):
            if not isinstance(part, dict):
                # True and false are schemas that are right wherever they stand.
                continue
            tried += 1
            found = problem_of({**shared, **part})
            if found:
                place, problem, schema, narrower = f"{place}/{step}", found, part, True
                break
            if tried >= _MOST_TRIED:
                break
    return place, problem


def _parts(schema: object) -> Iterator[tuple[str, object]]:
    """The schemas within one, with the way to each."""
    if not isinstance(schema, dict):
        return
    for name in _ONE:
        if name in schema:
            yield name, schema[name]
    for name in _MANY:
        if isinstance(schema.get(name), list):
            for index, part in enumerate(schema[name]):
                yield f"{name}/{index}", part
    for name in _NAMED:
        if isinstance(schema.get(name), dict):
            for key, part in schema[name].items():
                yield f"{name}/{_escaped(key)}", part


def _escaped(key: str) -> str:
    """A name within a JSON pointer (RFC 6901)."""
    return key.replace("~", "~0").replace("/", "~1")


def _patterns(schema: object) -> Iterator[str]:
    """All patterns of a schema, and what looks like them."""
    waiting = [schema]
    while waiting:
        found = waiting.pop()
        if isinstance(found, list):
            waiting += found
        elif isinstance(found, dict):
            waiting += found.values()
            if isinstance(pattern := found.get("pattern"), str):
                yield pattern
            if isinstance(named := found.get("patternProperties"), dict):
                yield from named
