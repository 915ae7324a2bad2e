"""Chats as tokens, with user text kept from forging special tokens, and none of it lost."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property, partial
from itertools import islice

from markupsafe import escape

from quorate.engines.chat.makeshift_tools import as_texts
from quorate.engines.chat.probe import TemplateUse
from quorate.engines.chat.special_tokens import SpecialTokens
from quorate.engines.chat.template import ChatTemplate
from quorate.engines.chat.tools import (
    numbered,
    shielded_tool,
    shielded_turn,
    speaks_of_tools,
    texts_of,
    with_short_ids,
)
from quorate.engines.chat.turns import goes_on, place_system
from quorate.errors import InvalidRequest, TemplateRefused
from quorate.request import Message, Tool
from quorate.request.prompts import ASSISTANT
from quorate.request.tool_format import AS_TEMPLATE, ToolFormat

# A shorter text may stand in a prompt by chance, as a word of the template itself.
_TELLING = 24
_NUMBERED = re.compile(r"qz([matc]\d+)zq")
_SHOWN = 40


class ChatEncoder:
    """Turns chats into tokens.

    Args:
        use: What the template can do, and how it is to be used.
        specials: The tokens that user text must not be able to write.
        encode_run: Tokenises text in which nothing is special, as the model does after a special
            token.
        bos: Id put before every prompt, or None.
        max_characters: A longer rendered chat is refused before it is tokenised: what a template
            writes need not have anything to do with how much it was given.
    """

    def __init__(
        self,
        template: ChatTemplate,
        use: TemplateUse,
        specials: SpecialTokens,
        encode_run: Callable[[str], list[int]],
        bos: int | None,
        max_characters: int,
    ) -> None:
        self._template = template
        self._use = use
        self._specials = specials
        self._encode_run = encode_run
        self._bos = bos
        self._max_characters = max_characters

    def encode(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool] = (),
        calls: ToolFormat = AS_TEMPLATE,
    ) -> list[int]:
        """Renders and tokenises a chat, with exactly one BOS where the model wants one.

        System text that the template has no place for goes where ``turns`` puts it. Where the last
        message is the assistant's, the prompt ends with its text, so that the answer goes on there.

        Args:
            messages: In their order.
            tools: That the answer may call. Where the template knows none, writes calls otherwise
                or does not take the chat with them, they are told of as ``makeshift_tools`` does.
            calls: How they are to be written; empty as the template does.

        Raises:
            TemplateRefused: The template refuses these messages, or leaves some of them out.
            PromptTooLong: It makes more of them than a prompt can be.
        """
        if messages and messages[-1].tool_calls:
            problem = "the last message calls tools; send the results of its calls behind it"
            raise TemplateRefused("chat.messages", problem)
        if not speaks_of_tools(messages, tools):
            return self._encoded(messages)
        if self._takes(calls):
            # What it refuses or loses, such as a text beside calls, it takes in words.
            with suppress(TemplateRefused):
                return self._encoded(messages, tools)
        return self._encoded(as_texts(messages, tools, calls or self._use.facts.calls))

    def _encoded(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> list[int]:
        turns = place_system(messages, self._use.facts)
        texts = (text for turn in turns for text in texts_of(turn))
        shown = (text for tool in tools for text in tool.texts)
        # One breaks special tokens, the other marks where the answer goes on.
        absent = self._specials.absent_characters(self._template.source, *texts, *shown)
        sentinel, end = islice(absent, 2)
        roles = {
            role: self._specials.shield_role(role, sentinel)
            for role in {turn.role for turn in turns}
        }
        shield = partial(self._specials.shield, sentinel=sentinel)
        if self._use.tools.short_ids:
            turns = [with_short_ids(turn) for turn in turns]
        shielded = [shielded_turn(turn, roles[turn.role], shield) for turn in turns]
        functions = [shielded_tool(tool, shield) for tool in tools]
        rendered = self._rendered(turns, shielded, functions, end)
        tokens: list[int] = []
        for run in self._specials.partition(rendered):
            if isinstance(run, int):
                tokens.append(run)
            elif text := run.replace(sentinel, ""):
                tokens.extend(self._encode_run(text))
        if self._bos is not None and tokens[:1] != [self._bos]:
            tokens.insert(0, self._bos)
        return tokens

    def _takes(self, calls: ToolFormat) -> bool:
        """Whether the template shows tools, and has calls written so."""
        own = self._use.facts
        return own.tools and (not calls or calls == own.tool_format)

    def _rendered(
        self,
        turns: Sequence[Message],
        shielded: list[Message],
        tools: Sequence[Tool],
        end: str,
    ) -> str:
        """The rendered chat, up to where the answer begins."""
        if not goes_on(turns):
            rendered = self._render(shielded, tools, opens_answer=True)
            self._check_texts(turns, shielded, tools, rendered)
            return rendered
        if not self._use.facts.continues:
            raise TemplateRefused(
                "chat.messages",
                "its chat template cannot go on with a message of the assistant; end the chat with "
                "one of the user",
            )
        # Behind the mark nothing is the user's; white space that the template trims stays written.
        last = shielded[-1]
        core = last.content.rstrip()
        marked = [*shielded[:-1], Message(last.role, core + end)]
        rendered, found, _ = self._render(marked, tools, opens_answer=False).rpartition(end)
        if not found:
            raise _left_out(turns[-1])
        self._check_texts(turns, shielded, tools, rendered)
        return rendered.replace(end, "") + last.content[len(core) :]

    def _render(
        self, messages: Sequence[Message], tools: Sequence[Tool], *, opens_answer: bool
    ) -> str:
        return self._template.render(
            messages,
            tools=tools,
            parts=self._use.parts,
            calls=self._use.tools.style,
            opens_answer=opens_answer,
            max_characters=self._max_characters,
        )

    def _check_texts(
        self,
        turns: Sequence[Message],
        shielded: Sequence[Message],
        tools: Sequence[Tool],
        rendered: str,
    ) -> None:
        """Checks that everything is in the prompt, as far as the template leaves it whole.

        Raises:
            TemplateRefused: Names the first one that is not.
        """
        written, short = _Written(rendered), False
        for index, message in enumerate(shielded):
            wanted = self._wanted(message)
            short = short or 0 < len(wanted) < _TELLING
            if not written.holds(wanted):
                raise _left_out(turns[index])
        if short or speaks_of_tools(turns, tools):
            self._check_places(turns, tools)

    def _check_places(self, turns: Sequence[Message], tools: Sequence[Tool]) -> None:
        """Checks that the template has a place for everything, whatever its text."""
        chat = numbered(turns, tools)
        try:
            rendered = self._render(chat.turns, chat.tools, opens_answer=not goes_on(turns))
        except InvalidRequest:
            # It looks at the texts, and has taken the real ones.
            return
        placed = set(_NUMBERED.findall(rendered))
        for at, turn in enumerate(turns):
            if turn.content.strip() and f"m{at}" not in placed:
                raise _left_out(turn)
        for number, told in chat.told.items():
            if number not in placed:
                problem = f"its chat template leaves {told} out of the prompt"
                raise TemplateRefused("chat.messages", problem)

    def _wanted(self, message: Message) -> str:
        """What must be in the prompt of a message; of the assistant's, not what it thought."""
        text = message.content
        if message.role == ASSISTANT:
            for end in self._use.reasoning_ends:
                text = text.rpartition(end)[2]
        return text.strip()


class _Written:
    """A rendered chat, and how messages are looked for in it."""

    def __init__(self, rendered: str) -> None:
        self._rendered = rendered
        self._at = 0

    def holds(self, text: str) -> bool:
        """Whether a message is there: as it is, or escaped, or with other white space.

        Messages are first looked for behind one another, so that a text written twice counts twice
        wherever a template keeps their order.
        """
        found = self._rendered.find(text, self._at)
        if found >= 0:
            self._at = found + len(text)
            return True
        return (
            text in self._rendered
            or json.dumps(text, ensure_ascii=False)[1:-1] in self._rendered
            or json.dumps(text)[1:-1] in self._rendered
            or str(escape(text)) in self._rendered
            or "".join(text.split()) in self._squeezed
        )

    @cached_property
    def _squeezed(self) -> str:
        return "".join(self._rendered.split())


def _left_out(message: Message) -> TemplateRefused:
    start = " ".join(message.content[: 4 * _SHOWN].split())
    shown = start if len(start) <= _SHOWN else f"{start[:_SHOWN]}…"
    return TemplateRefused(
        "chat.messages",
        f"its chat template leaves the {message.role}'s message out of the prompt ({shown!r})",
    )
