"""How a chat template shows tools and writes calls, found out by rendering a few chats.

What stands around a call is what is left of a rendered chat without what it shares with the same
chat whose assistant says a text; llama.cpp learns formats from such differences as well
(``common/chat-auto-parser.h``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product, takewhile
from typing import NamedTuple

from quorate.engines.chat.template import AS_GIVEN, CallStyle
from quorate.request import Message, Tool, ToolCall
from quorate.request.prompts import ASSISTANT, TOOL, USER
from quorate.request.tool_format import ID_CHARACTERS, ID_SLOT, LONGEST_PIECE, ToolFormat

Render = Callable[[Sequence[Message], Sequence[Tool], CallStyle], str | None]
"""Renders messages with tools; None where that is refused."""

_SHOWN = Tool("qztoolzq", "qztoldzq", '{"type": "object", "properties": {"qzkeyzq": {}}}')
_ASKED = Message(USER, "qzaskedzq")
_ANSWERED = "qzansweredzq"
_RESULT = "qzresultzq"
_LONG_IDS = ("qzlongidazq", "qzlongidbzq")
_SHORT_IDS = ("qzidazq11", "qzidbzq22")


@dataclass(frozen=True, slots=True)
class ToolUse:
    """How tools are given to a template.

    Attributes:
        format: How it writes calls; empty where it is of no use for tools.
        style: How it wants to be given calls.
        short_ids: Whether it refuses ids of calls that are not of nine letters and digits.
    """

    format: ToolFormat = field(default_factory=ToolFormat)
    style: CallStyle = AS_GIVEN
    short_ids: bool = False


class _Sample(NamedTuple):
    """A call whose name and arguments occur nowhere else."""

    call: ToolCall
    arguments: re.Pattern[str]


class _Pieces(NamedTuple):
    """What stands around one call."""

    before: str
    between: str
    behind: str


def tool_use(render: Render) -> ToolUse:
    """Renders some chats with tools, and tells what came of them."""
    shown = render((_ASKED,), (_SHOWN,), AS_GIVEN)
    if shown is None or _SHOWN.name not in shown or "qzkeyzq" not in shown:
        return ToolUse()
    for as_text, null, ids in product((False, True), (False, True), (_LONG_IDS, _SHORT_IDS)):
        style = CallStyle(as_text, null)
        found = _format(render, ids, style)
        if found is not None:
            return ToolUse(found, style, ids is _SHORT_IDS)
    return ToolUse()


def _format(render: Render, ids: tuple[str, str], style: CallStyle) -> ToolFormat | None:
    """How calls with such ids are written; None where they are not."""
    first, second = _sample("a", ids[0]), _sample("b", ids[1])

    def rendered(*messages: Message) -> str | None:
        return render((_ASKED, *messages), (_SHOWN,), style)

    one = rendered(Message(ASSISTANT, "", (first.call,)))
    text = rendered(Message(ASSISTANT, _ANSWERED))
    result = Message(TOOL, _RESULT, (), first.call.call_id, first.call.name)
    answered = rendered(Message(ASSISTANT, "", (first.call,)), result)
    if one is None or text is None or _ANSWERED not in text or _RESULT not in (answered or ""):
        return None
    pieces = _pieces(one, first)
    if pieces is None:
        return None
    head, _, tail = text.partition(_ANSWERED)
    begin = pieces.before[_shared(head, pieces.before) :]
    shared = _shared(tail[::-1], pieces.behind[::-1])
    end = pieces.behind[: len(pieces.behind) - shared].rstrip()
    two = rendered(Message(ASSISTANT, "", (first.call, second.call)))
    found = ToolFormat(
        begin=_with_slots(begin, first),
        between=_with_slots(pieces.between, first),
        following=_following(two, first, second),
        end=_with_slots(end, first),
    )
    return found if found.begin.strip() and _short(found) else None


def _following(two: str | None, first: _Sample, second: _Sample) -> str:
    """What stands from the arguments of a call to the name of the next; "" for no next one."""
    if two is None or (pieces := _pieces(two, first)) is None:
        return ""
    following, name, _ = pieces.behind.partition(second.call.name)
    if not name or _pieces(two, second) is None:
        return ""
    return _with_slots(_with_slots(following, first), second)


def _sample(letter: str, call_id: str) -> _Sample:
    key, value = f"qzkey{letter}zq", f"qzvalue{letter}zq"
    call = ToolCall(call_id, f"qzcall{letter}zq", f'{{"{key}": "{value}"}}')
    return _Sample(call, re.compile(rf'\{{\s*"{key}"\s*:\s*"{value}"\s*\}}'))


def _pieces(rendered: str, sample: _Sample) -> _Pieces | None:
    """What stands around a call; None where it is not there, or its arguments are no JSON."""
    before, name, rest = rendered.partition(sample.call.name)
    arguments = sample.arguments.search(rest)
    if not name or arguments is None or sample.call.name in rest:
        return None
    return _Pieces(before, rest[: arguments.start()], rest[arguments.end() :])


def _with_slots(text: str, sample: _Sample) -> str:
    call_id = sample.call.call_id
    # Some write the end of a longer one.
    return text.replace(call_id, ID_SLOT).replace(call_id[-ID_CHARACTERS:], ID_SLOT)


def _shared(one: str, other: str) -> int:
    """How many characters two texts begin with alike."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _short(found: ToolFormat) -> bool:
    texts = (found.begin, found.between, found.following, found.end)
    return max(map(len, texts)) <= LONGEST_PIECE
