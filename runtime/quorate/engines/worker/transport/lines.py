"""A stream of bytes in lines."""

from __future__ import annotations


class LineBuffer:
    """Cuts a stream of bytes into lines.

    Args:
        longest: Most bytes of a line, without its newline; None for any number.
    """

    def __init__(self, longest: int | None = None) -> None:
        self._longest = longest
        self._rest: list[bytes] = []
        self._kept = 0

    def push(self, data: bytes) -> list[bytes]:
        """Takes the next bytes of the stream and returns the lines that are now complete.

        Each byte is copied once or twice, however many pieces a long line comes in.

        Raises:
            ValueError: A line is too long, whether it is complete or not.
        """
        first, *others = data.split(b"\n")
        self._kept += len(first)
        self._check(self._kept)
        self._rest.append(first)
        if not others:
            return []
        whole = b"".join(self._rest)
        *lines, rest = others
        self._check(max(map(len, others)))
        self._rest, self._kept = [rest], len(rest)
        return [whole, *lines]

    def _check(self, length: int) -> None:
        if self._longest is not None and length > self._longest:
            raise ValueError(f"a line of more than {self._longest} bytes")
