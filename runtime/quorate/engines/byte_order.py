"""A vocabulary's tokens in the order of their bytes, where every prefix is one range.

All that the byte-exact vote needs of a tokenizer: with one prefix sum over the tokens'
probabilities in this order, the mass of all tokens that begin with some bytes is one difference.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

PrefixSums: TypeAlias = npt.NDArray[np.float64]
"""Running sums of probabilities in byte order, float64 of shape (tokens + 1,), the first 0."""


class Prefix:
    """Some bytes, and the tokens that begin with them; a node of the vocabulary's trie.

    Attributes:
        low: Rank of the first token that begins with them.
        longer: Rank of the first token that has more bytes; those before it have exactly these.
        high: Rank after the last token.
        next_bytes: What can follow, ascending, uint8 of shape (children,).
        bounds: Ranks between which the children lie, shape (children + 1,): child ``i`` has the
            tokens from ``bounds[i]`` to ``bounds[i + 1]``.
    """

    __slots__ = ("_children", "_order", "bounds", "high", "longer", "low", "next_bytes", "text")

    def __init__(self, order: ByteOrder, text: bytes, low: int, high: int) -> None:
        self.text = text
        self.low = low
        self.high = high
        self.longer = order.first_longer(text, low, high)
        self._order = order
        self.next_bytes, self.bounds = order.divide(len(text), self.longer, high)
        self._children: dict[int, Prefix] = {}

    def child(self, byte: int) -> Prefix | None:
        """These bytes and one more, or None where no token begins so."""
        known = self._children.get(byte)
        if known is not None:
            return known
        index = int(np.searchsorted(self.next_bytes, byte))
        if index == len(self.next_bytes) or self.next_bytes[index] != byte:
            return None
        low, high = int(self.bounds[index]), int(self.bounds[index + 1])
        made = Prefix(self._order, self.text + bytes((byte,)), low, high)
        self._children[byte] = made
        return made

    @property
    def ids(self) -> npt.NDArray[np.intp]:
        """Ids of the tokens that have more bytes than these, by rank."""
        return self._order.ids[self.longer : self.high]


class ByteOrder:
    """The order of one vocabulary. Tokens without bytes and ends of generation are not in it.

    Args:
        pieces: Bytes of each token, indexed by id.
        end_of_generation: Ids of which any ends the answer.
        control: Ids of control tokens that may be said within an answer.

    Attributes:
        ids: Token ids by rank, shape (tokens,).
        ending: Ids that end generation, shape (ends,).
        control: Ids that may be said and have no bytes, shape (control,).
        has_fallback: Whether there is a token for every byte beside the usual ones, as
            SentencePiece's vocabularies have.
    """

    def __init__(
        self,
        pieces: Sequence[bytes],
        end_of_generation: Collection[int],
        control: Collection[int] = (),
    ) -> None:
        ending = sorted(end_of_generation)
        spelled = (token for token, piece in enumerate(pieces) if piece and token not in ending)
        ranked = sorted(spelled, key=pieces.__getitem__)
        self.ids: npt.NDArray[np.intp] = np.array(ranked, np.intp)
        self.ending: npt.NDArray[np.intp] = np.array(ending, np.intp)
        self.control: npt.NDArray[np.intp] = np.array(sorted(control), np.intp)
        self._pieces = [pieces[token] for token in ranked]
        fallback = _fallback_block(pieces)
        self.has_fallback = bool(fallback)
        self._usual_ids: dict[bytes, int] = {}
        for piece, token in zip(self._pieces, ranked, strict=True):
            known = self._usual_ids.setdefault(piece, token)
            if known in fallback and token not in fallback:
                self._usual_ids[piece] = token
        self._longest = max(map(len, self._pieces), default=0)
        self.root = Prefix(self, b"", 0, len(ranked))
        # Log-probs by rank; made where somebody sums.
        self._ranked: npt.NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self._pieces)

    def piece(self, rank: int) -> bytes:
        """Bytes of a token."""
        return self._pieces[rank]

    def usual_id(self, text: bytes) -> int | None:
        """The token of exactly these bytes, one that is no byte fallback if any; None without."""
        return self._usual_ids.get(text)

    def prefix_sums(self, row: npt.NDArray[np.float32], out: PrefixSums) -> None:
        """Writes the running sums of the probabilities of a row; one call at a time.

        Args:
            row: Normalised log-probs, float32 of shape (vocabulary,).
            out: float64 of shape (at least tokens + 1,).
        """
        if self._ranked is None:
            self._ranked = np.empty(len(self), np.float32)
        # Arrays of this size are memory from the kernel each time, which costs more than the sums;
        # and to check the ids would take another one.
        np.take(row, self.ids, out=self._ranked, mode="clip")
        sums = out[1 : len(self) + 1]
        out[0] = 0.0
        # exp() in float32 would round before the sum does.
        np.exp(self._ranked, out=sums, dtype=np.float64)
        np.cumsum(sums, out=sums)

    def find(self, text: bytes) -> Prefix | None:
        """The prefix of these bytes, or None where no token begins with them."""
        found: Prefix | None = self.root
        for byte in text:
            if found is None:
                return None
            found = found.child(byte)
        return found

    def spells(self, text: bytes) -> bool:
        """Whether tokens can be put together to exactly these bytes."""
        return self.segment(text) is not None

    def segment(self, text: bytes) -> list[int] | None:
        """Fewest tokens that put together are exactly these bytes, or None where none are.

        Of several ways with as few tokens, the one whose last token is longest. A token that stands
        for a byte only where no other does (SentencePiece's byte fallback) is the last choice among
        its equals: models have hardly ever seen it.
        """
        unreached = len(text) + 1
        fewest = [0] + [unreached] * len(text)
        last = [0] * (len(text) + 1)
        for end in range(1, len(text) + 1):
            for start in range(max(0, end - self._longest), end):
                if fewest[start] + 1 < fewest[end] and text[start:end] in self._usual_ids:
                    fewest[end], last[end] = fewest[start] + 1, start
        if fewest[-1] >= unreached:
            return None
        tokens, end = [], len(text)
        while end:
            tokens.append(self._usual_ids[text[last[end] : end]])
            end = last[end]
        return tokens[::-1]

    def first_longer(self, text: bytes, low: int, high: int) -> int:
        """Rank of the first token in a range that is not exactly ``text``, which all begin with."""
        rank = low
        while rank < high and len(self._pieces[rank]) == len(text):
            rank += 1
        return rank

    def divide(
        self, depth: int, low: int, high: int
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.intp]]:
        """Divides a range of tokens, which begin alike, by their byte at ``depth``."""
        pieces = self._pieces
        found: list[int] = []
        bounds = [low]
        while bounds[-1] < high:
            piece = pieces[bounds[-1]]
            byte = piece[depth]
            found.append(byte)
            if byte == 0xFF:
                bounds.append(high)
            else:
                after = piece[:depth] + bytes((byte + 1,))
                bounds.append(bisect_left(pieces, after, bounds[-1], high))
        return np.array(found, np.uint8), np.array(bounds, np.intp)


def _fallback_block(pieces: Sequence[bytes]) -> range:
    """Ids of 256 tokens in a row that are all the bytes in order, or an empty range."""
    for start in range(len(pieces) - 255):
        if pieces[start] == b"\x00" and all(
            pieces[start + byte] == bytes((byte,)) for byte in range(256)
        ):
            return range(start, start + 256)
    return range(0)
