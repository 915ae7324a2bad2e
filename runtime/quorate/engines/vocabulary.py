"""A model's tokens: their bytes, which of them are control tokens, and which end generation."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from quorate.engines.byte_order import ByteOrder

_MAGIC = b"QVOC"


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The table from token ids to bytes, without the padding some models carry in their logits.

    Attributes:
        pieces: Bytes of each token, indexed by id; b"" for control tokens.
        control: Ids that have no bytes, end-of-generation ids included.
        end_of_generation: Ids of which any ends the answer.
        bos: Id put before a prompt, or None.
    """

    pieces: tuple[bytes, ...]
    control: frozenset[int]
    end_of_generation: frozenset[int]
    bos: int | None = None

    def __len__(self) -> int:
        return len(self.pieces)

    @property
    def silent(self) -> frozenset[int]:
        """Control tokens that do not end generation, which have no place in a vote."""
        return self.control - self.end_of_generation

    @cached_property
    def byte_order(self) -> ByteOrder:
        """The tokens in the order of their bytes, for the byte-exact vote."""
        return ByteOrder(self.pieces, self.end_of_generation)

    @cached_property
    def has_bytes(self) -> bool:
        """Whether it says what tokens stand for; an exotic tokenizer may know ids alone."""
        return any(self.pieces)

    @cached_property
    def longest_piece(self) -> int:
        """Bytes of the longest token."""
        return max(map(len, self.pieces), default=0)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over everything two models must share to vote token by token."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def to_bytes(self) -> bytes:
        """Serialises the table; ``from_bytes`` reads it back."""
        lengths = struct.pack(f"<{len(self.pieces)}I", *map(len, self.pieces))
        header = struct.pack(
            "<4sIi", _MAGIC, len(self.pieces), -1 if self.bos is None else self.bos
        )
        ids = _pack_ids(self.control), _pack_ids(self.end_of_generation)
        return b"".join((header, *ids, lengths, *self.pieces))

    @classmethod
    def from_bytes(cls, data: bytes) -> Vocabulary:
        """Reads what ``to_bytes`` wrote.

        Raises:
            ValueError: The data is not such a table.
        """
        try:
            magic, count, bos = struct.unpack_from("<4sIi", data)
            if magic != _MAGIC:
                raise ValueError("not a vocabulary table")
            offset = struct.calcsize("<4sIi")
            control, offset = _unpack_ids(data, offset)
            end_of_generation, offset = _unpack_ids(data, offset)
            lengths = struct.unpack_from(f"<{count}I", data, offset)
        except struct.error as error:
            raise ValueError(f"truncated vocabulary table: {error}") from error
        offset += 4 * count
        if len(data) != offset + sum(lengths):
            raise ValueError("vocabulary table has the wrong length")
        pieces = []
        for length in lengths:
            pieces.append(data[offset : offset + length])
            offset += length
        return cls(tuple(pieces), control, end_of_generation, None if bos < 0 else bos)


def _pack_ids(ids: frozenset[int]) -> bytes:
    return struct.pack(f"<I{len(ids)}I", len(ids), *sorted(ids))


def _unpack_ids(data: bytes, offset: int) -> tuple[frozenset[int], int]:
    (count,) = struct.unpack_from("<I", data, offset)
    ids: Sequence[int] = struct.unpack_from(f"<{count}I", data, offset + 4)
    return frozenset(ids), offset + 4 + 4 * count
