"""What a model's chat template can do, as far as one must know before it is used."""

from __future__ import annotations

from dataclasses import dataclass, field

from quorate.request.tool_format import MAKESHIFT_FORMAT, ToolFormat


@dataclass(frozen=True, slots=True)
class TemplateFacts:
    """What rendering showed, once, when the model was loaded.

    The defaults are those of a template that takes whatever it is given.

    Attributes:
        problem: Why the template cannot be used at all; "" where it can, or where there is none.
        content_parts: Whether some role's content is given as a list of parts and not as a text.
        system_first: Whether a system message that opens a chat is taken and its text written.
        system_later: Whether one behind other messages is.
        alternates: Whether it refuses, or loses, the second of two messages of one role in a row.
        assistant_first: Whether the assistant may have the first turn.
        continues: Whether an assistant message at the end can be gone on with.
        generation_prompt: Whether it writes anything to open the answer.
        cuts_reasoning: Whether it leaves the reasoning out of earlier assistant messages.
        digest: Tells it from other templates; "" where there is none.
        tool_format: How it writes calls of tools, which it shows; empty where it knows none.
    """

    problem: str = ""
    content_parts: bool = False
    system_first: bool = True
    system_later: bool = True
    alternates: bool = False
    assistant_first: bool = True
    continues: bool = True
    generation_prompt: bool = True
    cuts_reasoning: bool = False
    digest: str = ""
    tool_format: ToolFormat = field(default_factory=ToolFormat)

    @property
    def tools(self) -> bool:
        """Whether it shows tools, and tells how they are called."""
        return bool(self.tool_format)

    @property
    def calls(self) -> ToolFormat:
        """How its model is asked to write calls."""
        return self.tool_format or MAKESHIFT_FORMAT

    @property
    def parallel_calls(self) -> bool:
        """Whether an answer may make several calls at once."""
        return bool(self.calls.following)
