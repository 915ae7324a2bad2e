"""Whose results the messages of tools are.

Templates write results one after the other, most without ids, so that a model takes the first one
for that of the first call.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from quorate.errors import InvalidRequest
from quorate.foreign_text import one_line
from quorate.request import Message, ToolCall
from quorate.request.prompts import TOOL, USER

_SHOWN = 64


def in_order_of_calls(field: str, messages: Iterable[Message], ids: str = "") -> Iterator[Message]:
    """Messages whose results stand in the order of their calls, with the names of their tools.

    A result without an id is that of the first call that has none yet, and stands for itself where
    no call was made.

    Args:
        field: The list of messages.
        messages: As they were sent.
        ids: What the field of a message is called that has the call's id; "" where what was sent is
            no list of such messages.

    Raises:
        InvalidRequest: A result of no call, or of one that has a result; two calls in one message
            with the same id; calls of which some have no result.
    """
    calls = _Calls()
    for at, message in enumerate(messages):
        place = f"{field}[{at}]" if ids else field
        if message.role == TOOL and (calls or message.tool_call_id):
            calls.answer(f"{place}.{ids}" if ids else field, message)
            continue
        yield from calls.results()
        if message.role == USER or message.tool_calls:
            calls.check_done(place)
        if message.tool_calls:
            calls = _Calls(message.tool_calls)
            calls.check_ids(place)
        yield message
    yield from calls.results()
    if calls.answered:
        calls.check_done(field)


class _Calls:
    """The calls of one message, and their results so far."""

    def __init__(self, calls: tuple[ToolCall, ...] = ()) -> None:
        self._calls = calls
        self._answered = [False] * len(calls)
        self._results: dict[int, Message] = {}

    def __bool__(self) -> bool:
        return bool(self._calls)

    @property
    def answered(self) -> bool:
        """Whether any of them has a result."""
        return any(self._answered)

    def answer(self, place: str, message: Message) -> None:
        """Takes a result."""
        at = self._called(place, message.tool_call_id)
        self._answered[at] = True
        name = message.name or self._calls[at].name
        self._results[at] = replace(message, name=name)

    def results(self) -> Iterator[Message]:
        """The results that came since it was last asked, in the order of their calls."""
        taken, self._results = self._results, {}
        yield from (taken[at] for at in sorted(taken))

    def check_ids(self, place: str) -> None:
        """No two of them are taken for one."""
        ids = [call.call_id for call in self._calls if call.call_id]
        for at, one in enumerate(ids):
            if one in ids[:at]:
                raise InvalidRequest(place, f"has two calls with the id {_shown(one)}")

    def check_done(self, place: str) -> None:
        """All of them have results."""
        for call, answered in zip(self._calls, self._answered, strict=True):
            if not answered:
                told = f"the id {_shown(call.call_id)}" if call.call_id else f"tool {call.name}"
                problem = f"comes before the result of the call with {told}; give that first"
                raise InvalidRequest(place, problem)

    def _called(self, place: str, call_id: str) -> int:
        open_calls = [at for at, answered in enumerate(self._answered) if not answered]
        ids = [call.call_id for call in self._calls]
        if call_id in ids and call_id:
            at = ids.index(call_id)
            if at not in open_calls:
                raise InvalidRequest(place, f"is {_shown(call_id)}, which has a result already")
            return at
        # Who gives no ids means the order.
        for at in open_calls:
            if not call_id or not ids[at]:
                return at
        if call_id:
            raise InvalidRequest(place, f"is {_shown(call_id)}, and no call before it has that id")
        raise InvalidRequest(place, "is missing, and all calls before it have their results")


def _shown(call_id: str) -> str:
    return repr(one_line(call_id, _SHOWN))
