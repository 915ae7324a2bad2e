"""Bytes of an answer become text, a whole code point at a time."""

from __future__ import annotations

import codecs


class Utf8Stream:
    """Decodes UTF-8 that arrives in pieces cut anywhere.

    The pieces together give what ``bytes.decode("utf-8", "replace")`` gives for all of them but a
    code point at the end that is not complete: U+FFFD stands for bytes that can be no part of one.
    At most three bytes are held back.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    @property
    def held_bytes(self) -> int:
        """Bytes of a code point that is begun and not complete."""
        return len(self._decoder.getstate()[0])

    def push(self, data: bytes) -> str:
        """Returns the code points that ``data`` completes."""
        return self._decoder.decode(data)
