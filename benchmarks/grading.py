"""Questions with gold answers, and the grader that all sets share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Question:
    """A question and the short strings of which an answer must contain one.

    Attributes:
        text: What is asked.
        gold: Accepted strings, such as ``("Paris",)``; the first is the usual one.
    """

    text: str
    gold: tuple[str, ...]


@dataclass(frozen=True)
class MixedQuestion:
    """A prompt that asks one thing of general knowledge and one of the catalogue.

    Attributes:
        text: What is asked.
        general: Accepted strings of the general part.
        catalogue: Accepted strings of the catalogue's part.
    """

    text: str
    general: tuple[str, ...]
    catalogue: tuple[str, ...]


def is_correct(answer_text: str, gold: str | Sequence[str]) -> bool:
    """Whether an answer contains a gold string as whole words, in any case.

    A number must stand alone: neither "112.50" nor "12.505" nor "12.50.1" contains "12.50", while
    "12.50." at the end of a sentence does.

    Args:
        answer_text: The whole answer of a model.
        gold: One accepted string, or several of which one is enough.
    """
    accepted = [gold] if isinstance(gold, str) else gold
    return any(_holds(answer_text, one) for one in accepted)


def _holds(answer: str, gold: str) -> bool:
    words = r"\s+".join(re.escape(word) for word in gold.split())
    return re.search(rf"(?<!\w)(?<!\d[.,]){words}(?!\w|[.,]\d)", answer, re.IGNORECASE) is not None
