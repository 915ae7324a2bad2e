"""A stream of bytes in lines."""

from __future__ import annotations


class LineBuffer:
    """Cuts a stream of bytes into lines."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []

    def push(self, data: bytes) -> list[bytes]:
        """Takes the next bytes of the stream and returns the lines that are now complete.

        Each byte is copied once or twice, however many pieces a long line comes in.
        """
        end, *starts = data.split(b"\n")
        self._rest.append(end)
        if not starts:
            return []
        whole = b"".join(self._rest)
        *lines, rest = starts
        self._rest = [rest]
        return [whole, *lines]
