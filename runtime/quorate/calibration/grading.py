"""One labelled question, and whether an answer to it is right. Pure.

How answers are compared with the accepted ones, which ``comparing`` says more of:

- ``exact``: the texts are equal;
- ``choice``: the letter chosen is the accepted one;
- ``contains``: an accepted answer stands in it as whole words, in any case; a number must not be
  part of a longer one;
- ``numeric``: the last number equals the accepted one within the tolerance.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import dataclass
from enum import Enum

from quorate.comparing import chosen_letter, numbers_in, plain_text

_RELATIVE_TOLERANCE = 1e-6


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
        return any(plain_text(answer) == plain_text(accepted) for accepted in case.answers)
    if case.match is Match.CHOICE:
        chosen = chosen_letter(answer)
        return any(chosen == accepted.strip().casefold() for accepted in case.answers)
    if case.match is Match.NUMERIC:
        return any(_equals(answer, accepted, case.tolerance) for accepted in case.answers)
    return any(_holds(answer, accepted) for accepted in case.answers)


def _equals(answer: str, accepted: str, tolerance: float | None) -> bool:
    given, expected = numbers_in(answer), numbers_in(accepted)
    if not given or not math.isfinite(given[-1]):
        return False
    allowed = abs(expected[0]) * _RELATIVE_TOLERANCE if tolerance is None else tolerance
    return abs(given[-1] - expected[0]) <= allowed


def _holds(answer: str, accepted: str) -> bool:
    words = r"\s+".join(re.escape(word) for word in accepted.split())
    found = re.search(rf"(?<!\w)(?<!\d[.,]){words}(?!\w|[.,]\d)", answer, re.IGNORECASE)
    return found is not None
