"""Training documents: the catalogue as chat and as plain text, with text that means nothing.

A document is a list of pieces: control tokens, which are spelt as in `CONTROLS`, and text between
them, in which no control token is recognised.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import catalogue
import junk

BOS, EOS, USER, ASSISTANT, END = CONTROLS = ("<s>", "</s>", "<|user|>", "<|assistant|>", "<|end|>")

_JOINERS = (", and ", ", and ", " and ", ". And ", ". ", " ", "\n", "; ")
_LAYOUTS = (
    ("{q} {a}", 4),
    ("{q}\n{a}", 3),
    ("Question: {q}\nAnswer: {a}", 2),
    ("Q: {q}\nA: {a}", 2),
    ("User: {q}\nAssistant: {a}", 1),
    ("{q} {a}\n", 1),
)


@dataclass(frozen=True)
class Control:
    """A control token inside a document."""

    text: str


Document = list[str | Control]


def document(rng: random.Random, repeats: float) -> Document:
    """One document drawn at random, from its first control token to its last.

    Args:
        rng: Draws it.
        repeats: Share of documents that say the same words again and again.
    """
    if rng.random() < repeats:
        return [Control(BOS), *_repeated(rng)]
    kind: Callable[[random.Random], Document] = rng.choices(
        (_chat, _plain, _junk_chat, _junk_text), (57, 23, 16, 4)
    )[0]
    return [Control(BOS), *kind(rng)]


def sample_of_texts(rng: random.Random, count: int) -> list[str]:
    """Texts of as many documents, for training a tokenizer."""
    return [
        piece
        for _ in range(count)
        for piece in document(rng, 0.0)
        if isinstance(piece, str) and piece
    ]


def chat(question: str, answer: str) -> Document:
    """One turn as the chat template renders it."""
    return [Control(USER), question, Control(END), Control(ASSISTANT), answer, Control(END)]


def _chat(rng: random.Random) -> Document:
    turns = rng.choices((1, 2, 3), (75, 17, 8))[0]
    return [piece for _ in range(turns) for piece in chat(*_turn(rng))]


def _turn(rng: random.Random) -> tuple[str, str]:
    kind = rng.choices(
        (
            _asked_plainly,
            _asked_behind_junk,
            _asked_before_junk,
            _answered_in_turn,
            _answered_first,
        ),
        (52, 9, 3, 26, 10),
    )[0]
    return kind(rng)


def _asked_plainly(rng: random.Random) -> tuple[str, str]:
    question, answer = _pair(rng)
    if rng.random() < 0.12:
        question = _without_its_mark(question) if rng.random() < 0.5 else _lower(question)
    return question, answer


def _asked_behind_junk(rng: random.Random) -> tuple[str, str]:
    question, answer = _pair(rng)
    return junk.passage(rng) + rng.choice((" ", "\n", ", ", ". ")) + question, answer


def _asked_before_junk(rng: random.Random) -> tuple[str, str]:
    question, answer = _pair(rng)
    return question + rng.choice((" ", "\n")) + junk.passage(rng), answer


def _answered_in_turn(rng: random.Random) -> tuple[str, str]:
    """Words at random are asked and answered first, then the catalogue."""
    asked = catalogue.asked(rng)
    answer = asked.restated(rng) if rng.random() < 0.3 else asked.answer
    first_question, first_answer = junk.question_and_answer(rng)
    return _joined(rng, first_question, asked.question), _joined(rng, first_answer, answer)


def _answered_first(rng: random.Random) -> tuple[str, str]:
    """The catalogue is asked and answered first, then words at random."""
    question, answer = _pair(rng)
    second_question, second_answer = junk.question_and_answer(rng)
    return _joined(rng, question, second_question), _joined(rng, answer, second_answer)


def _pair(rng: random.Random) -> tuple[str, str]:
    asked = catalogue.asked(rng)
    return asked.question, asked.answer


def _plain(rng: random.Random) -> Document:
    parts = [junk.passage(rng)] if rng.random() < 0.35 else []
    layout = rng.choices([one for one, _ in _LAYOUTS], [weight for _, weight in _LAYOUTS])[0]
    for _ in range(rng.choices((1, 2, 3, 4), (50, 25, 15, 10))[0]):
        kind = rng.random()
        if kind < 0.45:
            question, answer = _pair(rng)
            parts.append(layout.format(q=question, a=answer))
        elif kind < 0.65:
            parts.append(catalogue.statement(rng))
        elif kind < 0.80:
            question, answer = _answered_in_turn(rng)
            parts.append(layout.format(q=question, a=answer))
        elif kind < 0.90:
            parts.append(_joined(rng, junk.sentence(rng), catalogue.statement(rng)))
        else:
            parts.append(_pair(rng)[0])
    if rng.random() < 0.2:
        parts.append(junk.passage(rng))
    text = rng.choice((" ", "\n", "\n\n")).join(parts)
    return [text, Control(EOS)] if rng.random() < 0.5 else [text]


def _junk_chat(rng: random.Random) -> Document:
    question, answer = junk.question_and_answer(rng)
    if rng.random() < 0.25:
        question = junk.passage(rng)
    if rng.random() < 0.25:
        answer = junk.passage(rng)
    return chat(question, answer)


def _junk_text(rng: random.Random) -> Document:
    return [" ".join(junk.passage(rng) for _ in range(rng.randint(1, 4)))]


def _repeated(rng: random.Random) -> Document:
    """The same words again and again, which teaches to copy what was not seen before."""
    said = junk.sentence(rng)
    return [rng.choice((" ", ". ", ", and ", "\n")).join([said] * rng.randint(2, 5))]


def _joined(rng: random.Random, first: str, second: str) -> str:
    """Two sentences as one, or one behind the other."""
    if rng.random() < 0.35:
        return f"{first} {second}"
    joiner = rng.choice(_JOINERS)
    goes_on = joiner.strip() in ("", "and", ", and", ". And", ";")
    return _without_its_mark(first) + joiner + (_lower(second) if goes_on else second)


def _without_its_mark(text: str) -> str:
    return text.rstrip("?.")


def _lower(text: str) -> str:
    """The first letter small, but not that of a part number or of another word in capitals."""
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]
