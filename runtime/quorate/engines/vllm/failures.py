"""vLLM's reasons in one line."""

from __future__ import annotations

_LONGEST = 400


def one_line(error: BaseException) -> str:
    """What an exception says, without the lines that only help the developers of vLLM.

    Its configuration classes are pydantic's, whose exceptions list what was validated.
    """
    listed = getattr(error, "errors", None)
    if callable(listed):
        try:
            problems = [str(problem["msg"]) for problem in listed()]
        except (TypeError, KeyError):
            problems = []
        if problems:
            return _shortened("; ".join(problems).replace("Value error, ", ""))
    return _shortened(str(error) or type(error).__name__)


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1].rstrip()}…"
