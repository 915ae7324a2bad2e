"""Prompts of a given length, and a text whose bits per byte tell how well a plan predicts. Ours."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

# Each begins another way, so that no prompt goes on from what another left in a cache.
_SENTENCES = (
    "The harbour master kept two books, one for the ships that came and one for those that did "
    "not.",
    "Every spring the river moved a little further from the mill, and every autumn somebody "
    "proposed to move the mill.",
    "A good index is written by a reader, not by the author, who knows where everything is.",
    "She measured the room in steps, then in books, and at last, because the carpenter insisted, "
    "in metres.",
    "The train was late by exactly as much as the timetable had been early.",
    "Nobody in the village could say who had planted the chestnut trees, but everybody knew whose "
    "they were.",
    "When the snow melted, the road turned out to be where the old map had it.",
    "The committee agreed on the colour of the door before it agreed on the house.",
    "His grandmother salted the soup twice, once for taste and once for luck.",
    "Two of the three clocks agreed, and so the third was set to the wrong time.",
    "The library closed at six, but the librarian never looked at the clock before seven.",
    "In the second winter they learned to stack the wood with the bark up.",
)

BITS_TEXT = """\
The first thing that a visitor notices about the observatory is how quiet it is. The dome turns \
on rollers of rubber, the motors stand in a cellar of their own, and the people who work there \
speak as if somebody slept next door. Light that left its star before there were roads in this \
valley falls on a mirror of two metres, and is gone again in less than a second; whoever missed \
it has missed it for good.

def clamp(value, low, high):
    if low > high:
        raise ValueError("low must not exceed high")
    return max(low, min(value, high))

On clear nights three people are enough. One looks after the telescope, one after the camera, and \
one after the other two: she makes tea at four, when the work is hardest, and writes down what \
the others forget. The oldest of her notebooks are a hundred years old. They tell more of the \
weather than of the stars, and most of all they tell how often somebody thought that a cloud was \
a discovery.
"""


def prompt(tokens: int, bytes_per_token: float, number: int) -> str:
    """A text of about so many tokens, that asks a model to go on.

    Args:
        tokens: Its length.
        bytes_per_token: Of the model's tokenizer, on texts such as these.
        number: Prompts of different numbers have different beginnings.
    """
    wanted = max(1, round(tokens * bytes_per_token))
    words = _words(number)
    found = next(words)
    for word in words:
        if len(found) + 1 + len(word) > wanted:
            return found
        found += " " + word
    raise AssertionError("the words never end")


def sample() -> str:
    """A text from which bytes per token can be told; short enough for any context."""
    return _SENTENCES[0]


def _words(number: int) -> Iterator[str]:
    count = len(_SENTENCES)
    yield f"Chapter {number + 1}."
    # Another order for each number: steps that share no factor with the count visit all.
    steps: Sequence[int] = [step for step in range(1, count) if math.gcd(step, count) == 1]
    step = steps[number // count % len(steps)]
    for turn in itertools.count():
        yield from _SENTENCES[(number + turn * step) % count].split()
