"""Calls of tools, read out of an answer while it grows."""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from contextlib import aclosing
from dataclasses import replace

from quorate.ensemble.decode import Step
from quorate.request import CallPart, Delta, FinishReason
from quorate.request.tool_format import ID_CHARACTERS, ID_SLOT, ToolFormat

# Halves of surrogate pairs, which decoded text never has.
_NO_CHARACTER = 0xD800
_TELLING = re.compile(r'[{}\[\]"\\]')


def new_call_id() -> str:
    """An id that no other call has."""
    return f"call_{uuid.uuid4().hex[:24]}"


async def telling_calls(
    steps: AsyncGenerator[Step, None], reader: CallReader
) -> AsyncGenerator[Step, None]:
    """The same steps, with the calls in them told apart."""
    async with aclosing(steps):
        async for step in steps:
            if isinstance(step, Delta):
                yield reader.read(step)
            elif isinstance(step, FinishReason):
                if rest := reader.finish():
                    yield Delta(rest, ())
                calls = reader.count and step is FinishReason.END_OF_GENERATION
                yield FinishReason.TOOL_CALLS if calls else step
            else:
                yield step


class CallReader:
    """Tells calls from text in an answer that keeps to the grammar of ``guides.tool_grammar``.

    What a model writes around names and arguments is neither, nor is white space before calls. An
    answer that was cut short ends with a call as far as it is there.

    Args:
        written: How calls are written.
        names: Of the tools that may be called.
        marks: Names of control tokens by their ids, with which calls are written.
        must: Whether the answer begins with calls, whatever it looks like.
        apart: Whether it is either calls or a text, in which nothing is looked for.
        new_id: Makes up the id of a call.

    Attributes:
        count: Calls that have begun.
    """

    def __init__(
        self,
        written: ToolFormat,
        names: Collection[str],
        marks: Mapping[int, str],
        must: bool = False,
        apart: bool = False,
        new_id: Callable[[], str] = new_call_id,
    ) -> None:
        self.count = 0
        # No text has them, so that letters of a name are not taken for the token.
        spelt = {name: chr(_NO_CHARACTER + at) for at, name in enumerate(marks.values())}
        self._written = ToolFormat(*(_spelling(one, spelt) for one in written.pieces))
        self._mark = _spelling(written.mark, spelt)
        self._names = names
        self._marks = {token: spelt[name] for token, name in marks.items()}
        self._new_id = new_id
        self._rest = ""
        self._shown = ""
        self._parts: list[CallPart] = []
        self._arguments = _ObjectEnd()
        # Each takes what it can of the rest; whether there may be something for the next one.
        self._state = self._begin if must else self._either if apart else self._text

    def read(self, delta: Delta) -> Delta:
        """A piece of the answer, with what it has of calls."""
        if delta.reasoning is not None:
            return delta
        self._rest += self._spelt(delta)
        while self._state():
            pass
        text, calls = self._shown, tuple(self._parts)
        self._shown, self._parts = "", []
        return replace(delta, text=text, calls=calls)

    def finish(self) -> str:
        """Text that was held back, where the answer has ended."""
        return self._rest if self._state in (self._text, self._either) else ""

    def _spelt(self, delta: Delta) -> str:
        """Its text, with something for the control tokens where these stand."""
        if not any(token.token_id in self._marks for token in delta.tokens):
            return delta.text
        # What of the text is of no token here was there before them.
        behind = delta.text
        spelt = ""
        for token in reversed(delta.tokens):
            size = len(token.piece.decode(errors="replace"))
            behind, own = behind[: len(behind) - size], behind[len(behind) - size :]
            mark = "" if token.token_id is None else self._marks.get(token.token_id, "")
            spelt = mark + own + spelt
        return behind + spelt

    def _text(self) -> bool:
        at = self._rest.find(self._mark)
        if at >= 0:
            self._shown += self._rest[:at].rstrip()
            self._rest = self._rest[at:]
            self._state = self._begin
            return True
        kept = _held(self._rest, self._mark)
        self._shown += self._rest[: len(self._rest) - kept]
        self._rest = self._rest[len(self._rest) - kept :]
        return False

    def _either(self) -> bool:
        found = self._rest.lstrip()
        if not found.startswith(self._mark[: len(found)]):
            self._state = self._words
        elif len(found) >= len(self._mark):
            self._state = self._begin
        else:
            return False
        return True

    def _words(self) -> bool:
        """Text in which nothing is looked for, as where what seemed a call was none."""
        shown = self._rest.encode(errors="ignore").decode()
        self._shown, self._rest = self._shown + shown, ""
        return False

    def _begin(self) -> bool:
        self._rest = self._rest.lstrip()
        return self._take(self._written.begin.lstrip(), self._name)

    def _name(self) -> bool:
        between = self._written.between.partition(ID_SLOT)[0]
        at = self._rest.find(between or "{")
        if at < 0:
            return False
        if self._rest[:at] not in self._names:
            self._state = self._words
            return True
        self._parts.append(CallPart(self.count, self._new_id(), self._rest[:at]))
        self.count += 1
        self._rest = self._rest[at:]
        self._state = self._between
        return True

    def _between(self) -> bool:
        self._arguments = _ObjectEnd()
        return self._take(self._written.between, self._object)

    def _object(self) -> bool:
        size = self._arguments.find(self._rest)
        if size:
            self._parts.append(CallPart(self.count - 1, arguments=self._rest[:size]))
            self._rest = self._rest[size:]
        if self._arguments.found:
            self._state = self._following
        return self._arguments.found

    def _following(self) -> bool:
        following = self._written.following
        return bool(following) and self._take(following, self._name, self._nothing)

    def _nothing(self) -> bool:
        """Behind the last call there is nothing that is told."""
        return False

    def _take(
        self,
        literal: str,
        then: Callable[[], bool],
        otherwise: Callable[[], bool] | None = None,
    ) -> bool:
        """Takes what stands around a call, once all of it is there."""
        size = len(literal) + (ID_CHARACTERS - 1) * literal.count(ID_SLOT)
        if len(self._rest) < size:
            return False
        if _spells(self._rest[:size], literal):
            self._rest = self._rest[size:]
            self._state = then
        else:
            self._state = otherwise or self._words
        return True


class _ObjectEnd:
    """Finds the end of a JSON object.

    Attributes:
        found: Whether it was there.
    """

    def __init__(self) -> None:
        self.found = False
        self._depth = 0
        self._quoted = False
        self._escaped = False

    def find(self, text: str) -> int:
        """How many characters of a text that goes on with the object are of it."""
        at = 0
        if self._escaped and text:
            self._escaped = False
            at = 1
        while (telling := _TELLING.search(text, at)) is not None:
            at = telling.end()
            one = telling[0]
            if one == "\\":
                if self._quoted:
                    self._escaped = at == len(text)
                    at += 1
            elif one == '"':
                self._quoted = not self._quoted
            elif not self._quoted:
                self._depth += 1 if one in "{[" else -1
                if not self._depth:
                    self.found = True
                    return at
        return len(text)


def _spells(text: str, literal: str) -> bool:
    """Whether a text is what stands around a call, with an id in each place for one."""
    at = 0
    for part in literal.split(ID_SLOT):
        if not text.startswith(part, at):
            return False
        at += len(part) + ID_CHARACTERS
    return True


def _spelling(text: str, spelt: Mapping[str, str]) -> str:
    """A piece of a format in which names of control tokens stand for these; the longest first."""
    for name in sorted(spelt, key=len, reverse=True):
        text = text.replace(name, spelt[name])
    return text


def _held(text: str, mark: str) -> int:
    """How many of its last characters may be the beginning of calls: of the mark, or before it."""
    most = min(len(text), len(mark) - 1)
    begun = next((size for size in range(most, 0, -1) if mark.startswith(text[-size:])), 0)
    before = text[: len(text) - begun]
    return len(text) - len(before.rstrip())
