"""What answers say, so that two of them can be compared. Pure.

- As a text: in lower case, in Unicode's compatibility form, with single spaces and without
  punctuation at either end, but for the sign of a number and its "%".
- As a choice: the first letter that stands alone. A capital letter comes before a small one, and
  "I" followed by a word is the pronoun.
- As a number: the last one. The decimal sign is a point; commas, apostrophes, underscores and
  narrow spaces between groups of three digits are passed over.
"""

from __future__ import annotations

import math
import re
import unicodedata

from quorate.request import Comparison

_SEPARATOR = "[,'_\N{RIGHT SINGLE QUOTATION MARK}\N{NARROW NO-BREAK SPACE}]"
_NUMBER = re.compile(
    r"(?:(?<![\w.)\]])[-+\N{MINUS SIGN}])?"
    rf"(?:(?:[0-9]{{1,3}}(?:{_SEPARATOR}[0-9]{{3}})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?|\.[0-9]+)"
    r"(?:[eE][-+]?[0-9]+)?"
)
_LETTER = re.compile(
    r"(?<![\w'\N{RIGHT SINGLE QUOTATION MARK}])([A-Za-z])(?![\w'\N{RIGHT SINGLE QUOTATION MARK}])"
)
# What stands at an edge and belongs to a number: its sign, its point, what it is a share of.
_MINUS = re.compile("[\N{MINUS SIGN}\N{HYPHEN}]")
_PERCENT = re.compile(r"(?<=\d)\s+%")
_PRONOUN = re.compile(r"\s+[a-z]")
# Numbers that differ further behind were rounded differently.
_DIGITS = 9


def reading(answer: str, comparison: Comparison) -> str | None:
    """What an answer says; answers of one reading say the same.

    Returns:
        The text, letter or number in one way of writing; None where it says none of the kind.
    """
    if comparison is Comparison.CHOICE:
        return chosen_letter(answer)
    if comparison is Comparison.NUMERIC:
        return _number(answer)
    return plain_text(answer) or None


def plain_text(text: str) -> str:
    """A text without what does not count in a comparison of texts."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    folded = _PERCENT.sub("%", _MINUS.sub("-", folded))
    start, end = 0, len(folded)
    while start < end and _is_edge(folded[start]) and not _begins_number(folded, start):
        start += 1
    while end > start and _is_edge(folded[end - 1]) and not _ends_number(folded, end):
        end -= 1
    return " ".join(folded[start:end].split())


def chosen_letter(answer: str) -> str | None:
    """The letter that an answer chooses, as a small one; None where it chooses none."""
    letters = [
        found
        for found in _LETTER.finditer(answer)
        if not (found.group() == "I" and _PRONOUN.match(answer, found.end()))
    ]
    letters.sort(key=lambda found: found.group().islower())
    return letters[0].group().casefold() if letters else None


def numbers_in(text: str) -> list[float]:
    """All numbers of a text, in order."""
    return [_value(found.group()) for found in _NUMBER.finditer(text)]


def _is_edge(char: str) -> bool:
    return char.isspace() or unicodedata.category(char).startswith("P")


def _begins_number(text: str, start: int) -> bool:
    """Whether a sign or a point stands here that a number begins with, of money or not."""
    if text.startswith("..", start) or text.startswith("..", max(0, start - 1)):
        return False
    rest = text[start : start + 4]
    if rest[:1] == "-":
        rest = rest[1:]
        rest = rest[1:] if unicodedata.category(rest[:1] or " ") == "Sc" else rest
    elif rest[:1] != ".":
        return False
    return rest.removeprefix(".")[:1].isdigit()


def _ends_number(text: str, end: int) -> bool:
    return text[end - 1] == "%" and end > 1 and text[end - 2].isdigit()


def _value(text: str) -> float:
    return float(re.sub(_SEPARATOR, "", text).replace("\N{MINUS SIGN}", "-"))


def _number(answer: str) -> str | None:
    numbers = numbers_in(answer)
    if not numbers or not math.isfinite(numbers[-1]):
        return None
    last = numbers[-1]
    # Without the sign of a zero; whole numbers are as exact as floats are, up to 2^53.
    return str(int(last)) if last.is_integer() else f"{last:.{_DIGITS}g}"
