"""Text between the marks of a model's reasoning is told apart from the answer.

Where a model reasons is said by tokens that it chooses, and by its template where that begins the
reasoning itself; never by what a text looks like.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from quorate.engines.vocabulary import Vocabulary
from quorate.ensemble.transcript import Transcript
from quorate.ensemble.undecided import cut
from quorate.request import Delta, FinishReason, StoppingOptions, Token


@dataclass(frozen=True, slots=True)
class Reasoning:
    """Where an answer reasons.

    Attributes:
        begins: Ids of tokens behind which reasoning begins.
        ends: Ids of tokens behind which it ends.
        within: Whether the answer begins within it, because the template wrote the mark.
    """

    begins: frozenset[int]
    ends: frozenset[int]
    within: bool


def begins_within(
    prompt: Sequence[int], marks: Collection[tuple[int, int]], vocabulary: Vocabulary
) -> bool:
    """Whether a prompt ends with a mark that begins reasoning, or white space behind one."""
    begins = {begin for begin, _ in marks}
    for token in reversed(prompt):
        if token in begins:
            return True
        if not vocabulary.pieces[token].isspace():
            return False
    return False


class ReasoningTranscript(Transcript):
    """``Transcript`` that tells reasoning apart.

    A mark gives no text, whether it has bytes or not, and what was held back before it is told:
    neither a code point nor a stop string goes on across it. Stop strings end the answer in both,
    and ``max_bytes`` counts both.
    """

    def __init__(self, stopping: StoppingOptions, reasoning: Reasoning) -> None:
        super().__init__(stopping)
        self._reasoning = reasoning
        self._within = reasoning.within

    def add(self, token: Token, ends: FinishReason | None = None) -> Sequence[Delta | FinishReason]:
        """See ``Transcript``."""
        begins = token.token_id in self._reasoning.begins
        if not begins and token.token_id not in self._reasoning.ends:
            return super().add(token, ends)
        held = self._text.finish()
        rest = self._told(held.text, self._undecided.finish(held.size))
        told: list[Delta | FinishReason] = [*rest, Delta("", (cut(token, 0),), "")]
        self._within = begins
        self.ended = held.ended or ends
        return told if self.ended is None else [*told, self.ended]

    def _told(self, text: str, tokens: Sequence[Token]) -> Sequence[Delta]:
        if not self._within:
            return super()._told(text, tokens)
        return (Delta("", tuple(tokens), text),) if text or tokens else ()


def transcript_of(stopping: StoppingOptions, reasoning: Reasoning | None) -> Transcript:
    """The transcript of an answer in tokens, before its first one."""
    return Transcript(stopping) if reasoning is None else ReasoningTranscript(stopping, reasoning)


def reasoning_of(
    marks: Sequence[Collection[tuple[int, int]]],
    prompts: Sequence[Sequence[int]],
    vocabularies: Sequence[Vocabulary],
) -> Reasoning | None:
    """Where the answer of members reasons that vote token by token; None where none of them does.

    Args:
        marks: Each member's pairs of marks.
        prompts: The prompt in each member's tokens.
        vocabularies: The members' own.
    """
    pairs = {
        pair
        for own, vocabulary in zip(marks, vocabularies, strict=True)
        for pair in own
        if all(_alike(token, vocabulary, other) for token in pair for other in vocabularies)
    }
    if not pairs:
        return None
    members = zip(prompts, marks, vocabularies, strict=True)
    return Reasoning(
        frozenset(begin for begin, _ in pairs),
        frozenset(end for _, end in pairs),
        any(begins_within(prompt, own, vocabulary) for prompt, own, vocabulary in members),
    )


def _alike(token: int, own: Vocabulary, other: Vocabulary) -> bool:
    """Whether an id is the same token in another vocabulary, or none."""
    return token >= len(other) or _text(token, own) == _text(token, other)


def _text(token: int, vocabulary: Vocabulary) -> str:
    return vocabulary.names.get(token) or vocabulary.pieces[token].decode(errors="replace")
