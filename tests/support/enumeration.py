"""What a token model says of bytes, by brute force: every token sequence that spells them, in
float64, with control tokens anywhere between. Shares no code with the byte beam."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from quorate.engines.scheduler.contract import Chunk
from quorate.engines.scripted.tokenizer import BOS
from support.scripted_models import empty_row, scripted_model

END = 256


class Enumeration:
    """A scripted model behind a prompt, asked about texts.

    Args:
        prompt: Tokens before every text.
        control_moves: Most control tokens that are put into a text; more have no part in the sum.
        options: Of the scripted model.
    """

    def __init__(
        self, prompt: Sequence[int] = (BOS,), *, control_moves: int = 0, **options: Any
    ) -> None:
        room = {"context_length": 512, "batch_tokens": 512, "sessions": 1, "cells": 0}
        self._model = scripted_model(**{**options, **room})
        vocabulary = self._model.vocabulary
        self.ending = sorted(vocabulary.end_of_generation)
        self.spelled = [
            (token, piece)
            for token, piece in enumerate(vocabulary.pieces)
            if piece and token not in vocabulary.end_of_generation
        ]
        self.control = sorted(vocabulary.control - vocabulary.end_of_generation - {BOS})
        self._moves = control_moves
        self._prompt = tuple(prompt)
        self._known: dict[tuple[int, ...], npt.NDArray[np.float64]] = {}

    def next_token(self, tokens: Sequence[int]) -> npt.NDArray[np.float64]:
        """Probabilities after prompt and tokens, normalised over all but BOS."""
        key = (*self._prompt, *tokens)
        if key not in self._known:
            row = empty_row(self._model)
            self._model.truncate(0, 0)
            self._model.decode([Chunk(0, 0, key, row)])
            probabilities = np.exp(row.astype(np.float64))
            voting = [token for token, _ in self.spelled] + self.ending + self.control
            self._known[key] = probabilities / probabilities[voting].sum()
        return self._known[key]

    def prefix(self, text: bytes, tokens: tuple[int, ...] = ()) -> float:
        """Probability that what follows begins with ``text``."""
        if not text:
            return 1.0
        row = self.next_token(tokens)
        total = 0.0
        for token, piece in self.spelled:
            if piece.startswith(text):
                total += row[token]
            elif text.startswith(piece):
                total += row[token] * self.prefix(text[len(piece) :], (*tokens, token))
        for token in self._said_by(tokens, row):
            total += row[token] * self.prefix(text, (*tokens, token))
        return total

    def whole(self, text: bytes, tokens: tuple[int, ...] = ()) -> float:
        """Probability that what follows is ``text`` and then the end."""
        row = self.next_token(tokens)
        moved = sum(
            row[token] * self.whole(text, (*tokens, token)) for token in self._said_by(tokens, row)
        )
        if not text:
            return float(row[self.ending].sum()) + moved
        return moved + sum(
            row[token] * self.whole(text[len(piece) :], (*tokens, token))
            for token, piece in self.spelled
            if text.startswith(piece)
        )

    def _said_by(self, tokens: Sequence[int], row: npt.NDArray[np.float64]) -> list[int]:
        """Control tokens that may still follow."""
        made = sum(token in self.control for token in tokens)
        return [token for token in self.control if row[token] > 0] if made < self._moves else []

    def path(self, tokens: Sequence[int]) -> float:
        """Probability of exactly these tokens."""
        total = 1.0
        for index, token in enumerate(tokens):
            total *= self.next_token(tokens[:index])[token]
        return total

    def next_symbol(self, text: bytes) -> npt.NDArray[np.float64]:
        """Probabilities of the next byte and of the end behind ``text``, shape (257,)."""
        possible = {piece[index] for _, piece in self.spelled for index in range(len(piece))}
        probabilities = np.zeros(END + 1)
        for byte in possible:
            probabilities[byte] = self.prefix(text + bytes((byte,)))
        probabilities[END] = self.whole(text)
        return probabilities / self.prefix(text)
