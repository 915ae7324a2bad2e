"""How the calls of an answer are written, as chat templates write them."""

from __future__ import annotations

import re
from dataclasses import dataclass

ID_SLOT = "\x00"
"""Stands where a call has an id: so many letters and digits as ``ID_CHARACTERS``."""

ID_CHARACTERS = 9
"""What the templates want that are strict about it, and others take."""

LONGEST_PIECE = 512

TAG = re.compile(r"<[^<>\s]+>|\[[^\[\]\s]+\]")
"""What templates set apart: ``<tool_call>``, ``[TOOL_CALLS]``."""


@dataclass(frozen=True, slots=True)
class ToolFormat:
    """What stands around names and arguments, which are JSON; false where nobody says.

    Attributes:
        begin: Before the name of the first call; "" where a template writes none that can be read.
        between: Between a call's name and its arguments.
        following: From the arguments of a call to the name of the next one; "" where an answer has
            one call at most.
        end: Behind the arguments of the last call.
    """

    begin: str = ""
    between: str = ""
    following: str = ""
    end: str = ""

    def __bool__(self) -> bool:
        """Whether calls can be written so."""
        return self.begin != ""

    @property
    def pieces(self) -> tuple[str, str, str, str]:
        """All of it, in this order."""
        return self.begin, self.between, self.following, self.end

    @property
    def mark(self) -> str:
        """What an answer holds nowhere but where calls begin: the tag that opens them, if any does.

        A model that has written it is held to a call, however it would have gone on.
        """
        text = self.begin.lstrip()
        tag = TAG.match(text)
        return tag[0] if tag else text


AS_TEMPLATE = ToolFormat()
"""As the template of whoever writes them says."""

MAKESHIFT_FORMAT = ToolFormat(
    begin='<tool_call>\n{"name": "',
    between='", "arguments": ',
    following='}\n</tool_call>\n<tool_call>\n{"name": "',
    end="}\n</tool_call>",
)
"""What models are asked for whose templates know no tools: the format that most templates have."""
