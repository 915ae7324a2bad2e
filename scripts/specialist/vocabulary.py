"""The specialist's tokenizer: byte-level BPE in the manner of GPT-2, with single digits.

llama.cpp runs it as its tokenizer model ``gpt2`` with the pre-tokenizer ``gpt-2``. Every byte is a
token, so that every text has an encoding.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

from corpus import CONTROLS, Control, Document
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers


class Vocabulary:
    """Turns documents into token ids.

    Args:
        pieces: Tokens in GPT-2's spelling of bytes, by id; the control tokens come first.
        merges: Pairs of pieces, in the order in which they are merged.
    """

    def __init__(self, pieces: Sequence[str], merges: Sequence[tuple[str, str]]) -> None:
        self.pieces = list(pieces)
        self.merges = [(left, right) for left, right in merges]
        self._ids = {piece: index for index, piece in enumerate(self.pieces)}
        self._halves = {
            self._ids[left + right]: (self._ids[left], self._ids[right])
            for left, right in self.merges
        }
        self._bpe = Tokenizer(models.BPE(vocab=self._ids, merges=self.merges))
        self._bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        self._bpe.decoder = decoders.ByteLevel()

    @classmethod
    def train(cls, texts: Sequence[str], size: int) -> Vocabulary:
        """Learns merges from texts until there are ``size`` tokens; digits are never merged."""
        bpe = Tokenizer(models.BPE())
        bpe.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False),
            ]
        )
        trainer = trainers.BpeTrainer(
            vocab_size=size,
            special_tokens=list(CONTROLS),
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        bpe.train_from_iterator(texts, trainer)
        model = json.loads(bpe.to_str())["model"]
        pieces = sorted(model["vocab"], key=model["vocab"].__getitem__)
        return cls(pieces, [tuple(merge) for merge in model["merges"]])

    @classmethod
    def load(cls, path: Path) -> Vocabulary:
        """Reads what `save` wrote."""
        stored = json.loads(path.read_text(encoding="utf-8"))
        return cls(stored["pieces"], [tuple(merge) for merge in stored["merges"]])

    def save(self, path: Path) -> None:
        """Writes the vocabulary as JSON."""
        stored = {"pieces": self.pieces, "merges": self.merges}
        path.write_text(json.dumps(stored), encoding="utf-8")

    def __len__(self) -> int:
        return len(self.pieces)

    def id_of(self, control: str) -> int:
        """The id of a control token."""
        return self._ids[control]

    def encode_text(self, text: str) -> list[int]:
        """Token ids of a text, in which no control token is recognised."""
        return list(self._bpe.encode(text, add_special_tokens=False).ids)

    def encode(self, document: Document) -> list[int]:
        """Token ids of a document."""
        ids: list[int] = []
        for piece in document:
            if isinstance(piece, Control):
                ids.append(self.id_of(piece.text))
            else:
                ids += self.encode_text(piece)
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of tokens, without control tokens."""
        text = [token for token in ids if token >= len(CONTROLS)]
        return str(self._bpe.decode(text, skip_special_tokens=False))

    def split_some(self, ids: Sequence[int], rng: random.Random, share: float) -> list[int]:
        """The same text with a share of the tokens taken apart into the two they were merged from.

        A model trained on such text also knows what follows an unusual segmentation, which a vote
        over bytes takes into account (cf. BPE-dropout, Provilkov et al. 2020).
        """
        result: list[int] = []
        for token in ids:
            halves = self._halves.get(token)
            if halves is not None and rng.random() < share:
                result += self.split_some(halves, rng, share)
            else:
                result.append(token)
        return result
