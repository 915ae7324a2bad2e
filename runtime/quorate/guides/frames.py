"""What the coordinator and a guide say to each other: frames of a kind, a number and some bytes."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

from quorate.request.constraints import ConstraintKind, OutputConstraint

_HEADER = struct.Struct("<IBI")
_LOOK = struct.Struct("<III")
_KINDS = (*ConstraintKind,)
LONGEST_FRAME = 1 << 28
"""Bytes of a frame to a guide: the largest vocabulary."""
LONGEST_ANSWER = 1 << 20
"""Bytes of a frame from a guide: a mask of millions of symbols."""
LONGEST_PROBLEM = 1000


class Kind(IntEnum):
    """What a frame is; the first ones go to the guide."""

    VOCABULARY = 1
    OPEN = 2
    LOOK = 3
    CLOSE = 4
    READY = 5
    OPENED = 6
    REFUSED = 7
    SEEN = 8


class Flag(IntEnum):
    """What a guide found."""

    NOTHING = 0
    """A mask follows; b"" where no symbol is allowed."""
    COMPLETE = 1
    """What was accepted is whole, and nothing can follow it."""
    IMPOSSIBLE = 2
    """The symbols cannot follow."""
    BROKEN = 3
    """A limit was reached; the reason follows."""


class Frame(NamedTuple):
    """One frame.

    Attributes:
        number: Of the session that is meant, or of a look.
    """

    kind: Kind
    number: int
    body: bytes


class Look(NamedTuple):
    """What is asked: what may come behind some symbols.

    Attributes:
        accepted: Chosen since the last look; they stay.
        path: Guessed behind them; they do not.
    """

    session: int
    accepted: tuple[int, ...]
    path: tuple[int, ...]

    def to_bytes(self) -> bytes:
        """The body of its frame."""
        head = _LOOK.pack(self.session, len(self.accepted), len(self.path))
        return head + struct.pack(
            f"<{len(self.accepted) + len(self.path)}I", *self.accepted, *self.path
        )

    @classmethod
    def from_bytes(cls, body: bytes) -> Look:
        """Reads what ``to_bytes`` wrote."""
        session, accepted, path = _LOOK.unpack_from(body)
        symbols = struct.unpack_from(f"<{accepted + path}I", body, _LOOK.size)
        return cls(session, symbols[:accepted], symbols[accepted:])


def constraint_to_bytes(constraint: OutputConstraint) -> bytes:
    """The body of the frame that opens a session."""
    return bytes((_KINDS.index(constraint.kind),)) + constraint.text.encode()


def constraint_from_bytes(body: bytes) -> OutputConstraint:
    """Reads what ``constraint_to_bytes`` wrote."""
    return OutputConstraint(_KINDS[body[0]], body[1:].decode())


def pack(kind: Kind, number: int = 0, *body: bytes) -> bytes:
    """A frame as it crosses the wire."""
    size = sum(map(len, body))
    return b"".join((_HEADER.pack(size, kind, number), *body))


class FrameBuffer:
    """Puts frames together again.

    Args:
        longest: Bytes of a body that are let through.
    """

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._bytes = bytearray()

    def push(self, data: bytes) -> Sequence[Frame]:
        """The frames that are complete with this.

        Raises:
            ValueError: One is too long, or of no kind.
        """
        self._bytes += data
        frames = []
        while len(self._bytes) >= _HEADER.size:
            size, kind, number = _HEADER.unpack_from(self._bytes)
            if size > self._longest:
                raise ValueError(f"a frame of {size} bytes")
            end = _HEADER.size + size
            if len(self._bytes) < end:
                break
            frames.append(Frame(Kind(kind), number, bytes(self._bytes[_HEADER.size : end])))
            del self._bytes[:end]
        return frames
