"""One labelled question, and whether an answer to it is right. Pure.

How answers are compared with the accepted ones:

- ``exact``: equal once both are in lower case, in Unicode's compatibility form, with single spaces
  and without punctuation at either end;
- ``choice``: the first letter that stands alone is the accepted one. A capital letter comes before
  a small one, and "I" followed by a word is the pronoun;
- ``contains``: an accepted answer stands in it as whole words, in any case; a number must not be
  part of a longer one;
- ``numeric``: the last number equals the accepted one within the tolerance. The decimal sign is a
  point; commas, apostrophes, underscores and narrow spaces between groups of three digits are
  passed over.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import unicodedata
from dataclasses import dataclass
from enum import Enum

_RELATIVE_TOLERANCE = 1e-6
_SEPARATOR = "[,'_\N{RIGHT SINGLE QUOTATION MARK}\N{NARROW NO-BREAK SPACE}]"
_NUMBER = re.compile(
    r"(?:(?<![\w.)\]])[-+\N{MINUS SIGN}])?"
    rf"(?:(?:[0-9]{{1,3}}(?:{_SEPARATOR}[0-9]{{3}})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?|\.[0-9]+)"
    r"(?:[eE][-+]?[0-9]+)?"
)
_LETTER = re.compile(
    r"(?<![\w'\N{RIGHT SINGLE QUOTATION MARK}])([A-Za-z])(?![\w'\N{RIGHT SINGLE QUOTATION MARK}])"
)
_PRONOUN = re.compile(r"\s+[a-z]")


class Match(Enum):
    """How an answer is compared with the accepted ones, as the module says."""

    EXACT = "exact"
    CHOICE = "choice"
    CONTAINS = "contains"
    NUMERIC = "numeric"


@dataclass(frozen=True, slots=True)
class Case:
    """One labelled question.

    Attributes:
        id: As the file gives it, else ``line N``.
        messages: Role and content of each turn of a chat; none where it is a prompt.
        prompt: What is asked; "" where it is a chat.
        answers: Accepted answers; one is enough.
        tolerance: Greatest distance at which two numbers still match; None is a millionth of what
            is accepted.
        task: Tag, or "".
        domain: Where the question is from, or "".
    """

    id: str
    messages: tuple[tuple[str, str], ...]
    prompt: str
    answers: tuple[str, ...]
    match: Match
    tolerance: float | None = None
    task: str = ""
    domain: str = ""

    @property
    def text(self) -> str:
        """All that is written in the question, roles left out."""
        return self.prompt or "\n".join(content for _, content in self.messages)

    @property
    def key(self) -> str:
        """Changes with the question, and not with what is accepted as an answer."""
        content = json.dumps([self.prompt, self.messages])
        return hashlib.blake2b(content.encode(), digest_size=12).hexdigest()


def is_right(answer: str, case: Case) -> bool:
    """Whether a model's whole answer is one that the case accepts."""
    if case.match is Match.EXACT:
        return any(_plain(answer) == _plain(accepted) for accepted in case.answers)
    if case.match is Match.CHOICE:
        chosen = _chosen(answer)
        return any(chosen == accepted.strip().casefold() for accepted in case.answers)
    if case.match is Match.NUMERIC:
        return any(_equals(answer, accepted, case.tolerance) for accepted in case.answers)
    return any(_holds(answer, accepted) for accepted in case.answers)


def numbers_in(text: str) -> list[float]:
    """All numbers of a text, in order."""
    return [_value(found.group()) for found in _NUMBER.finditer(text)]


def _plain(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    start, end = 0, len(folded)
    while start < end and _is_edge(folded[start]):
        start += 1
    while end > start and _is_edge(folded[end - 1]):
        end -= 1
    return " ".join(folded[start:end].split())


def _is_edge(char: str) -> bool:
    return char.isspace() or unicodedata.category(char).startswith("P")


def _chosen(answer: str) -> str | None:
    letters = [
        found
        for found in _LETTER.finditer(answer)
        if not (found.group() == "I" and _PRONOUN.match(answer, found.end()))
    ]
    letters.sort(key=lambda found: found.group().islower())
    return letters[0].group().casefold() if letters else None


def _equals(answer: str, accepted: str, tolerance: float | None) -> bool:
    given, expected = numbers_in(answer), numbers_in(accepted)
    if not given or not math.isfinite(given[-1]):
        return False
    allowed = abs(expected[0]) * _RELATIVE_TOLERANCE if tolerance is None else tolerance
    return abs(given[-1] - expected[0]) <= allowed


def _value(text: str) -> float:
    return float(re.sub(_SEPARATOR, "", text).replace("\N{MINUS SIGN}", "-"))


def _holds(answer: str, accepted: str) -> bool:
    words = r"\s+".join(re.escape(word) for word in accepted.split())
    found = re.search(rf"(?<!\w)(?<!\d[.,]){words}(?!\w|[.,]\d)", answer, re.IGNORECASE)
    return found is not None
