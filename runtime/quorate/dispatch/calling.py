"""How the answer of a vote calls tools: in the format of its first member."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Hashable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple

from quorate.ensemble.ensemble import Ensemble
from quorate.ensemble.tool_calls import CallReader
from quorate.errors import InvalidRequest, UnsupportedPlan
from quorate.guides.guides import Guides
from quorate.guides.tool_grammar import tool_form
from quorate.request import (
    ConstraintKind,
    OutputConstraint,
    Request,
    Tool,
    ToolChoice,
)
from quorate.request.tool_format import ToolFormat
from quorate.threads import beside_loop

_TRIAL_SECONDS = 3.0
_BEGINS_JSON = re.compile(r'\s*([{"0-9tfn-]|\[\s*[\[{"0-9tfn\]-])')


class Calling(NamedTuple):
    """How an answer calls tools.

    Attributes:
        tools: That it may call.
        written: How calls are written.
        tokens: Ids of the control tokens that are written around them, by name.
        schema: JSON schema of the answer where it makes none, as JSON; "" for a text.
    """

    tools: tuple[Tool, ...]
    choice: ToolChoice
    written: ToolFormat
    tokens: Mapping[str, int]
    schema: str

    async def form(self, guides: Guides, caller: Hashable) -> OutputConstraint:
        """What the answer must be, which was tried.

        Raises:
            QuorateError: What ``Guides.check`` raises.
        """
        # Schemas that cannot be followed, and need not be.
        loose = frozenset(tool.name for tool in self.tools if not guides.follows(_arguments(tool)))
        tried = await self._form(loose, {})
        try:
            await guides.check(tried, caller)
        except InvalidRequest as error:
            raise InvalidRequest("chat.tools", f"cannot be followed: {error.problem}") from None
        return await self._form(loose, self.tokens) if self.tokens else tried

    def reader(self) -> CallReader:
        """Reads calls out of the answer."""
        marks = {token: name for name, token in self.tokens.items()}
        names = frozenset(tool.name for tool in self.tools)
        return CallReader(self.written, names, marks, self.choice.must, apart=bool(self.schema))

    async def _form(self, loose: frozenset[str], tokens: Mapping[str, int]) -> OutputConstraint:
        # Schemas are read and written, which of many takes some milliseconds.
        return await beside_loop(
            tool_form, self.tools, self.choice, self.written, loose, tokens, self.schema
        )


async def check_forms(request: Request, guides: Guides) -> None:
    """Tries what the answer must be, as far as that is known before there is a plan.

    Schemas that need not be followed are tried for a time; those that come later are not followed.

    Raises:
        QuorateError: What ``Guides.check`` raises; of a tool it names that.
    """
    caller = caller_of(request)
    await guides.check(request.constraint, caller)
    for at, tool in enumerate(request.tools):
        if tool.strict:
            try:
                await guides.check(_arguments(tool), caller)
            except InvalidRequest as error:
                place = f"chat.tools[{at}].parameters"
                raise InvalidRequest(place, error.problem) from None
    with suppress(TimeoutError):
        async with asyncio.timeout(_TRIAL_SECONDS):
            for tool in request.tools:
                with suppress(InvalidRequest):
                    await guides.check(_arguments(tool), caller)


async def form_of(
    request: Request, guides: Guides, ensemble: Ensemble[Any]
) -> OutputConstraint | None:
    """What an answer of these members must be, None for any text; it was tried.

    Raises:
        QuorateError: What ``Guides.check`` raises.
    """
    calling = calling_of(ensemble, request)
    return request.constraint if calling is None else await calling.form(guides, caller_of(request))


def caller_of(request: Request) -> Hashable:
    """Whose grammars those of a request are."""
    return request.key or request.origin


def calling_of(ensemble: Ensemble[Any], request: Request) -> Calling | None:
    """How an answer of these members calls tools; None where it does not.

    Raises:
        UnsupportedPlan: It may be of a form instead, and calls look as if they were of it.
    """
    if not request.tools:
        return None
    vocabulary = ensemble.alignment.vocabulary
    names = {name: token for token, name in vocabulary.names.items() if name}
    written = _before_the_end(ensemble.calls, names, vocabulary.end_of_generation)
    tokens = {
        name: token
        for name, token in names.items()
        if any(name in piece for piece in written.pieces)
    }
    schema = "" if request.constraint is None else request.constraint.text
    if schema and _BEGINS_JSON.match(written.begin):
        problem = "its first model writes calls that begin like JSON; ask for a form or for tools"
        raise UnsupportedPlan("plan", problem)
    return Calling(request.tools, request.tool_choice, written, tokens, schema)


def _before_the_end(
    written: ToolFormat, names: Mapping[str, int], ends: Collection[int]
) -> ToolFormat:
    """A format without the tokens that end the answer."""
    end = written.end
    while found := next(
        (name for name, token in names.items() if token in ends and end.endswith(name)), ""
    ):
        end = end.removesuffix(found).rstrip()
    return replace(written, end=end)


def _arguments(tool: Tool) -> OutputConstraint:
    return OutputConstraint(ConstraintKind.JSON_SCHEMA, tool.parameters)
