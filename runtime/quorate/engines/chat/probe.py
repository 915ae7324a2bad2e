"""What a chat template can do, found out by rendering a few chats once.

llama.cpp finds out the same way (``common/chat.cpp``, and minja before): texts that occur nowhere
else are given to the template, and it is looked whether they come out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from jinja2 import nodes

from quorate.engines.chat.bounds import Overrun, limited
from quorate.engines.chat.template import AS_GIVEN, CallStyle, ChatTemplate
from quorate.engines.chat.tool_probe import ToolUse, tool_use
from quorate.engines.template_facts import TemplateFacts
from quorate.errors import InvalidRequest
from quorate.request import Message, Tool
from quorate.request.prompts import ASSISTANT, SYSTEM, USER

_PROBE_SECONDS = 2.0
_PROBE_CHARACTERS = 1 << 17
_ASKED, _ANSWERED, _ASKED_AGAIN, _RULED = "qzaskedzq", "qzansweredzq", "qzagainzq", "qzruledzq"
_THOUGHT = "qzthoughtzq"
# How a list of parts looks where a template writes it as it is.
_UNREAD_PARTS = "'type': 'text'"
_MAX_MARKS = 24
_MARK = re.compile(r"[^\s]{3,32}")


@dataclass(frozen=True, slots=True)
class TemplateUse:
    """How a template is to be used.

    Attributes:
        parts: Roles whose content it wants as a list of parts.
        reasoning_ends: Texts up to the last of which it cuts earlier assistant messages.
        tools: How tools are given to it.
    """

    facts: TemplateFacts = field(default_factory=TemplateFacts)
    parts: frozenset[str] = frozenset()
    reasoning_ends: tuple[str, ...] = ()
    tools: ToolUse = field(default_factory=ToolUse)


def probe(template: ChatTemplate) -> TemplateUse:
    """Renders some chats and tells what came of them; never raises, and takes some seconds at most.

    A template that loses what a user writes, or that was stopped, is of no use.
    """
    try:
        with limited(_PROBE_SECONDS):
            return _Probe(template).run()
    except InvalidRequest as error:
        return unusable(error.problem)


def unusable(problem: str) -> TemplateUse:
    """The use of a template that cannot be used."""
    return TemplateUse(
        TemplateFacts(
            problem,
            system_first=False,
            system_later=False,
            assistant_first=False,
            continues=False,
            generation_prompt=False,
        )
    )


class _Probe:
    """Renders chats with one template.

    Attributes:
        parts: Roles whose content is given as a list of parts, as far as is known.
        refusal: What was wrong with the last chat.
    """

    def __init__(self, template: ChatTemplate) -> None:
        self._template = template
        self.parts: frozenset[str] = frozenset()
        self.refusal = ""

    def run(self) -> TemplateUse:
        asked = Message(USER, _ASKED)
        answered = Message(ASSISTANT, _ANSWERED)
        again = Message(USER, _ASKED_AGAIN)
        ruled = Message(SYSTEM, _RULED)
        if not self._takes_role(USER, asked):
            return unusable(self.refusal)
        self._takes_role(ASSISTANT, asked, answered, again)
        system_first = self._takes_role(SYSTEM, ruled, asked)
        ends = tuple(self._reasoning_ends())
        tools = tool_use(self._render_tools)
        facts = TemplateFacts(
            content_parts=bool(self.parts),
            system_first=system_first,
            system_later=self._takes(asked, answered, ruled, again),
            alternates=not self._takes(asked, again),
            assistant_first=self._takes(answered, asked),
            continues=self._takes(asked, answered, opens_answer=False),
            generation_prompt=self._render(asked) != self._render(asked, opens_answer=False),
            cuts_reasoning=bool(ends),
            tool_format=tools.format,
        )
        return TemplateUse(facts, self.parts, ends, tools)

    def _takes_role(self, role: str, *messages: Message) -> bool:
        """Whether a chat with that role comes out whole, its content given as text or as parts."""
        if self._takes(*messages):
            return True
        refusal, before = self.refusal, self.parts
        self.parts = before | {role}
        if self._takes(*messages):
            return True
        self.parts, self.refusal = before, refusal
        return False

    def _takes(self, *messages: Message, opens_answer: bool = True) -> bool:
        rendered = self._render(*messages, opens_answer=opens_answer)
        if rendered is None:
            return False
        self.refusal = "its chat template leaves out what the user writes"
        return _UNREAD_PARTS not in rendered and all(one.content in rendered for one in messages)

    def _render_tools(
        self, messages: Sequence[Message], tools: Sequence[Tool], calls: CallStyle
    ) -> str | None:
        return self._render(*messages, tools=tools, calls=calls, opens_answer=False)

    def _render(
        self,
        *messages: Message,
        tools: Sequence[Tool] = (),
        calls: CallStyle = AS_GIVEN,
        opens_answer: bool = True,
    ) -> str | None:
        """What comes of a chat; None where the template refuses it."""
        try:
            return self._template.render(
                messages,
                tools=tools,
                parts=self.parts,
                calls=calls,
                opens_answer=opens_answer,
                max_characters=_PROBE_CHARACTERS,
            )
        except InvalidRequest as error:
            if isinstance(error.__cause__, Overrun):
                raise
            self.refusal = error.problem
            return None

    def _reasoning_ends(self) -> Iterator[str]:
        """Marks of the template up to which it cuts an assistant message that others follow."""
        for mark in _marks(self._template.tree):
            text = f"{_THOUGHT}{mark}{_ANSWERED}"
            chat = (Message(USER, _ASKED), Message(ASSISTANT, text), Message(USER, _ASKED_AGAIN))
            rendered = self._render(*chat)
            if rendered is not None and _ANSWERED in rendered and _THOUGHT not in rendered:
                yield mark


def _marks(tree: nodes.Template) -> Iterable[str]:
    """What a template looks for in texts: such as ``</think>``, at which it splits a message."""
    found: dict[str, None] = {}
    for call in tree.find_all(nodes.Call):
        if isinstance(call.node, nodes.Getattr):
            found.update(dict.fromkeys(_texts(call.args)))
    for compare in tree.find_all(nodes.Compare):
        found.update(dict.fromkeys(_texts([compare.expr])))
    return [mark for mark in found if _MARK.fullmatch(mark)][:_MAX_MARKS]


def _texts(expressions: Iterable[nodes.Expr]) -> Iterator[str]:
    for one in expressions:
        if isinstance(one, nodes.Const) and isinstance(one.value, str):
            yield one.value
