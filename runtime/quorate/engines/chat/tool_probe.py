"""How a chat template shows tools and writes calls, found out by rendering a few chats.

What stands around a call is what is left of a rendered chat without what it shares with the same
chat whose assistant says a text; llama.cpp learns formats from such differences as well
(``common/chat-auto-parser.h``). A format counts where it writes the very calls that were rendered.
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
from quorate.request.tool_format import ID_CHARACTERS, ID_SLOT, LONGEST_PIECE, TAG, ToolFormat

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
    texts: tuple[str, ...]

    def told_in(self, rendered: str) -> bool:
        """Whether all of it stands there, as JSON or not."""
        return all(text in rendered for text in self.texts)


class _Pieces(NamedTuple):
    """What stands around one call, and its arguments as they are written."""

    before: str
    between: str
    arguments: str
    behind: str


def tool_use(render: Render) -> ToolUse:
    """Renders some chats with tools, and tells what came of them."""
    shown = render((_ASKED,), (_SHOWN,), AS_GIVEN)
    if shown is None or _SHOWN.name not in shown or "qzkeyzq" not in shown:
        return ToolUse()
    for as_text, null, ids in product((False, True), (False, True), (_LONG_IDS, _SHORT_IDS)):
        style = CallStyle(as_text, null)
        attempt = _Attempt(render, ids, style)
        found = attempt.format()
        if found is not None:
            return ToolUse(found, style, ids is _SHORT_IDS)
        if attempt.told:
            # It takes arguments like that, and writes them otherwise than as JSON.
            return ToolUse()
    return ToolUse()


class _Attempt:
    """Renders calls in one style.

    Attributes:
        told: Whether a call was written at all.
    """

    def __init__(self, render: Render, ids: tuple[str, str], style: CallStyle) -> None:
        self._render = render
        self._style = style
        self._first, self._second = _sample("a", ids[0]), _sample("b", ids[1])
        self.told = False

    def format(self) -> ToolFormat | None:
        """How calls are written; None where they are not, or in no way that can be read."""
        first, second = self._first, self._second
        one = self._rendered(Message(ASSISTANT, "", (first.call,)))
        self.told = one is not None and first.told_in(one)
        text = self._rendered(Message(ASSISTANT, _ANSWERED))
        result = Message(TOOL, _RESULT, (), first.call.call_id, first.call.name)
        answered = self._rendered(Message(ASSISTANT, "", (first.call,)), result)
        if one is None or text is None or _RESULT not in (answered or ""):
            return None
        plain = self._render((_ASKED, Message(ASSISTANT, _ANSWERED)), (), self._style)
        found = _around(one, text, first)
        if found is None or found.mark in (plain or ""):
            return None
        two = self._rendered(Message(ASSISTANT, "", (first.call, second.call))) or ""
        several = _with_following(found, two, first, second)
        return several if _writes(several, two, first, second) else found

    def _rendered(self, *messages: Message) -> str | None:
        return self._render((_ASKED, *messages), (_SHOWN,), self._style)


def _around(one: str, text: str, sample: _Sample) -> ToolFormat | None:
    """What stands around a call, by a chat with that and one with a text in its place."""
    pieces = _pieces(one, sample)
    if pieces is None or _ANSWERED not in text:
        return None
    head, _, tail = text.partition(_ANSWERED)
    found = ToolFormat(
        begin=_with_slots(pieces.before[_beginning(head, pieces.before) :], sample),
        between=_with_slots(pieces.between, sample),
        end=_with_slots(pieces.behind[: _ending(tail, pieces.behind)].rstrip(), sample),
    )
    if len(found.mark) < 2 or ID_SLOT in found.mark or not _short(found):
        return None
    return found if _writes(found, one, sample) else None


def _beginning(head: str, before: str) -> int:
    """Where calls begin that stand behind what a text stands behind as well."""
    at = _shared(head, before)
    tag = _tag_around(before, at)
    return at if tag is None else tag.start()


def _ending(tail: str, behind: str) -> int:
    """Where calls end, before what stands behind a text as well.

    A last tag that is another one behind calls than behind a text ends the turn all the same.
    """
    at = len(behind) - _shared(tail[::-1], behind[::-1])
    tag = _tag_around(behind, at)
    if tag is None:
        return at
    return tag.end() if behind[tag.end() :].strip() else tag.start()


def _tag_around(text: str, at: int) -> re.Match[str] | None:
    """The tag that a place is within."""
    return next((tag for tag in TAG.finditer(text) if tag.start() < at < tag.end()), None)


def _with_following(found: ToolFormat, two: str, first: _Sample, second: _Sample) -> ToolFormat:
    """The same with what stands from the arguments of a call to the name of the next."""
    pieces = _pieces(two, first)
    following = "" if pieces is None else pieces.behind.partition(second.call.name)[0]
    slots = _with_slots(_with_slots(following, first), second)
    return ToolFormat(found.begin, found.between, slots, found.end)


def _writes(found: ToolFormat, rendered: str, *samples: _Sample) -> bool:
    """Whether these calls, put together as the format says, are what was rendered."""
    if len(samples) > 1 and not found.following:
        return False
    written, around = "", found.begin
    for sample in samples:
        pieces = _pieces(rendered, sample)
        if pieces is None:
            return False
        written += f"{around}{sample.call.name}{found.between}{pieces.arguments}"
        around = found.following
    pattern = ID_SLOT.join(map(re.escape, f"{written}{found.end}".split(ID_SLOT)))
    return re.search(pattern.replace(ID_SLOT, "[A-Za-z0-9]+"), rendered) is not None


def _sample(letter: str, call_id: str) -> _Sample:
    key, value = f"qzkey{letter}zq", f"qzvalue{letter}zq"
    call = ToolCall(call_id, f"qzcall{letter}zq", f'{{"{key}": "{value}"}}')
    pattern = re.compile(rf'\{{\s*"{key}"\s*:\s*"{value}"\s*\}}')
    return _Sample(call, pattern, (call.name, key, value))


def _pieces(rendered: str, sample: _Sample) -> _Pieces | None:
    """What stands around a call; None where it is not there, or its arguments are no JSON."""
    before, name, rest = rendered.partition(sample.call.name)
    arguments = sample.arguments.search(rest)
    if not name or arguments is None or sample.call.name in rest:
        return None
    between = rest[: arguments.start()]
    if between.rstrip().endswith("{"):
        return None
    return _Pieces(before, between, arguments[0], rest[arguments.end() :])


def _with_slots(text: str, sample: _Sample) -> str:
    call_id = sample.call.call_id
    # Some write the end of a longer one.
    return text.replace(call_id, ID_SLOT).replace(call_id[-ID_CHARACTERS:], ID_SLOT)


def _shared(one: str, other: str) -> int:
    """How many characters two texts begin with alike."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _short(found: ToolFormat) -> bool:
    return max(map(len, found.pieces)) <= LONGEST_PIECE
