"""The grammar of answers that may call tools, in Lark's syntax.

An answer is a text, or calls, or a text and calls behind it. What opens calls occurs nowhere in the
text, so that it always begins a call that is written to its end. An answer of a form is either that
or calls.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from quorate.guides.lark import literal, pattern
from quorate.guides.white_space import with_white_space
from quorate.request.constraints import ConstraintKind, OutputConstraint
from quorate.request.tool_format import ID_CHARACTERS, ID_SLOT, ToolFormat
from quorate.request.tools import Tool, ToolChoice

_ANYTHING = "(?s:.*)"
_NO_TOKENS: Mapping[str, int] = MappingProxyType({})


def tool_form(
    tools: Sequence[Tool],
    choice: ToolChoice,
    written: ToolFormat,
    loose: Collection[str] = (),
    tokens: Mapping[str, int] = _NO_TOKENS,
    schema: str = "",
) -> OutputConstraint:
    """What an answer must be that may call some of these tools.

    Args:
        tools: At least one.
        choice: Which of them, and whether it must; one that is named is called once.
        written: How calls are written.
        loose: Names of tools whose schemas cannot be followed: arguments may be any object.
        tokens: Ids of control tokens by their names, which stand for these wherever calls are
            written with them.
        schema: JSON schema of what the answer is where it makes no calls, as JSON; "" for a text,
            behind which there may be calls.
    """
    return _Form(written, tokens).of(tools, choice, loose, schema)


class _Form:
    """Writes grammars for one way to write calls."""

    def __init__(self, written: ToolFormat, tokens: Mapping[str, int]) -> None:
        self._written = written
        self._tokens = tokens
        # The longest name first, where one begins with another.
        names = sorted((ID_SLOT, *tokens), key=len, reverse=True)
        self._apart = re.compile(f"({'|'.join(map(re.escape, names))})")

    def of(
        self, tools: Sequence[Tool], choice: ToolChoice, loose: Collection[str], schema: str
    ) -> OutputConstraint:
        may = [tool for tool in tools if choice.name in ("", tool.name)]
        lines = [
            *(self._must() if choice.must else self._or(schema) if schema else self._may()),
            *self._calls(choice.parallel and not choice.name),
            *self._tools(may, loose),
        ]
        return OutputConstraint(ConstraintKind.GRAMMAR, "\n".join(lines), may_reason=True)

    def _must(self) -> Iterator[str]:
        yield f"start: {self._literals(self._written.begin)} calls"

    def _or(self, schema: str) -> Iterator[str]:
        yield f"start: form | {self._literals(self._written.begin.lstrip())} calls"
        yield f"form: {_json(json.loads(schema))}"

    def _may(self) -> Iterator[str]:
        mark = self._written.mark
        rest = self._literals(self._written.begin.lstrip().removeprefix(mark))
        if mark in self._tokens:
            yield f"start: TEXT | TEXT {self._literals(mark)} {rest} calls"
            yield f"TEXT: /{_ANYTHING}/"
            return
        yield f"start: TEXT | opening {rest} calls"
        yield f"opening[lazy]: /{_ANYTHING}{pattern(mark)}/"
        yield f"TEXT: /{_ANYTHING}/ & ~/{_ANYTHING}{pattern(mark)}{_ANYTHING}/"

    def _calls(self, parallel: bool) -> Iterator[str]:
        following = self._written.following
        more = f"({self._literals(following)} call)*" if parallel and following else ""
        yield f"calls: call {more} {self._literals(self._written.end)}"
        yield f"ID: /[A-Za-z0-9]{{{ID_CHARACTERS}}}/"

    def _tools(self, tools: Sequence[Tool], loose: Collection[str]) -> Iterator[str]:
        between = self._written.between
        named = [f"{self._literals(tool.name + between)} a{at}" for at, tool in enumerate(tools)]
        yield f"call: {' | '.join(named)}"
        for at, tool in enumerate(tools):
            schema = {"type": "object"} if tool.name in loose else json.loads(tool.parameters)
            yield f"a{at}: {_json(schema)}"

    def _literals(self, text: str) -> str:
        return " ".join(self._literal(part) for part in self._apart.split(text) if part)

    def _literal(self, part: str) -> str:
        if part == ID_SLOT:
            return "ID"
        token = self._tokens.get(part)
        return literal(part) if token is None else f"<[{token}]>"


def _json(schema: Any) -> str:
    return f"%json {json.dumps(with_white_space(schema))}"
