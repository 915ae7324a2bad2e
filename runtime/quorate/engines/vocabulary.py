"""A model's tokens: their bytes, which of them are control tokens, and which end generation."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from quorate.engines.byte_order import ByteOrder

_MAGIC = b"QVOC"
_HEADER = struct.Struct("<4sIi")


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The table from token ids to bytes, without the padding some models carry in their logits.

    Attributes:
        pieces: Bytes of each token, indexed by id; b"" for control tokens.
        control: Ids that have no bytes, end-of-generation ids included.
        end_of_generation: Ids of which any ends the answer.
        bos: Id put before a prompt, or None.
        unsayable: Control tokens that no model may say: padding, the unknown token, what stands
            for nothing. The beginning of a text and the ends are decided by ``masked``.
        names: Texts of control tokens, by id, such as ``<|channel|>``: what tells two of them apart
            in different vocabularies. "" where there is none.
        pre_tokenizer: What tells apart tokenizers that cut text into these tokens in other ways;
            "" where nothing does.
    """

    pieces: tuple[bytes, ...]
    control: frozenset[int]
    end_of_generation: frozenset[int]
    bos: int | None = None
    unsayable: frozenset[int] = frozenset()
    names: Mapping[int, str] = field(default_factory=dict)
    pre_tokenizer: str = ""

    def __len__(self) -> int:
        return len(self.pieces)

    @cached_property
    def masked(self) -> frozenset[int]:
        """Ids without probability in every row: what is unsayable, and BOS, which begins a text.

        What ends an answer is never among them, whatever else it is used for.
        """
        begins = frozenset() if self.bos is None else frozenset({self.bos})
        return (self.unsayable | begins) - self.end_of_generation

    @cached_property
    def sayable_control(self) -> frozenset[int]:
        """Control tokens that a model may say within an answer: they give no text."""
        return self.control - self.end_of_generation - self.masked

    @cached_property
    def byte_order(self) -> ByteOrder:
        """The tokens in the order of their bytes, for the byte-exact vote."""
        return ByteOrder(self.pieces, self.end_of_generation, self.sayable_control)

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
        """Two SHA-256 sums, of 128 bits each, joined by a hyphen: equal ones vote token by token.

        The first is over the ordinary tokens and how text is cut before them, the second over the
        control tokens. What differs in few of them may still vote so; see ``near_equal``.
        """
        return f"{_digest(self._ordinary_part())}-{_digest(self._special_part())}"

    def to_bytes(self) -> bytes:
        """Serialises the table; ``from_bytes`` reads it back."""
        header = _HEADER.pack(_MAGIC, len(self.pieces), -1 if self.bos is None else self.bos)
        named = sorted(self.names)
        sets = self.control, self.end_of_generation, self.unsayable, named
        texts = [self.names[token].encode() for token in named]
        blobs = (*self.pieces, *texts, self.pre_tokenizer.encode())
        lengths = struct.pack(f"<{len(blobs)}I", *map(len, blobs))
        return b"".join((header, *map(_pack_ids, sets), lengths, *blobs))

    @classmethod
    def from_bytes(cls, data: bytes) -> Vocabulary:
        """Reads what ``to_bytes`` wrote.

        Raises:
            ValueError: The data is not such a table.
        """
        try:
            magic, count, bos = _HEADER.unpack_from(data)
            if magic != _MAGIC:
                raise ValueError("not a vocabulary table")
            control, offset = _unpack_ids(data, _HEADER.size)
            end_of_generation, offset = _unpack_ids(data, offset)
            unsayable, offset = _unpack_ids(data, offset)
            named, offset = _unpack_ids(data, offset)
            blobs = count + len(named) + 1
            lengths = struct.unpack_from(f"<{blobs}I", data, offset)
        except struct.error as error:
            raise ValueError(f"truncated vocabulary table: {error}") from error
        offset += 4 * blobs
        if len(data) != offset + sum(lengths):
            raise ValueError("vocabulary table has the wrong length")
        found = []
        for length in lengths:
            found.append(data[offset : offset + length])
            offset += length
        texts = (text.decode() for text in found[count:-1])
        return cls(
            tuple(found[:count]),
            frozenset(control),
            frozenset(end_of_generation),
            None if bos < 0 else bos,
            frozenset(unsayable),
            dict(zip(named, texts, strict=True)),
            found[-1].decode(),
        )

    def _ordinary_part(self) -> Iterator[bytes]:
        yield self.pre_tokenizer.encode() + b"\0"
        for token, piece in enumerate(self.pieces):
            if piece:
                yield struct.pack("<II", token, len(piece)) + piece

    def _special_part(self) -> Iterator[bytes]:
        yield struct.pack("<Ii", len(self.pieces), -1 if self.bos is None else self.bos)
        yield _pack_ids(self.control)
        yield _pack_ids(self.end_of_generation)
        for token in sorted(self.control):
            name = self.names.get(token, "").encode()
            yield struct.pack("<II", token, len(name)) + name


END = 256
"""The symbol of the end in ``BYTES``."""

BYTES = Vocabulary(
    pieces=(*(bytes((byte,)) for byte in range(END)), b""),
    control=frozenset({END}),
    end_of_generation=frozenset({END}),
)
"""What members without a common vocabulary vote on: the 256 bytes and the end."""


def _digest(parts: Iterator[bytes]) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()[:32]


def _pack_ids(ids: Collection[int]) -> bytes:
    return struct.pack(f"<I{len(ids)}I", len(ids), *sorted(ids))


def _unpack_ids(data: bytes, offset: int) -> tuple[Sequence[int], int]:
    (count,) = struct.unpack_from("<I", data, offset)
    ids: Sequence[int] = struct.unpack_from(f"<{count}I", data, offset + 4)
    return ids, offset + 4 + 4 * count
