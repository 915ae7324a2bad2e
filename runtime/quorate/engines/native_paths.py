"""Native libraries name the source of a failed check by its path on the machine that built them.

That path tells a reader nothing of their own machine, and hides what follows it.
"""

from __future__ import annotations

import re

# A path of at least one folder, up to the name of a source file.
_SOURCE = re.compile(
    r"(?:[A-Za-z]:)?[\w.+@~-]*(?:[/\\][\w.+@~ -]*)*[/\\]"
    r"([\w.+-]+\.(?:c|cc|cpp|cxx|cu|cuh|h|hh|hpp|m|mm|metal|inc)\b)"
)
_LONGEST = 4096


def without_build_paths(text: str) -> str:
    """The text with paths of source files shortened to their names."""
    head, tail = text[:_LONGEST], text[_LONGEST:]
    return _SOURCE.sub(r"\1", head) + tail
