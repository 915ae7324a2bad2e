"""A peer that speaks HTTP/2 by hand, and does what no gRPC client would do."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW = 0, 1, 3, 4, 6, 7, 8
_ACK = _END_STREAM = 1
_END_HEADERS = 4
_INITIAL_WINDOW = 4
_DEFAULT_WINDOW = 65_535
_FRAME_BYTES = 16_384


class Frame(NamedTuple):
    """One frame of HTTP/2."""

    kind: int
    flags: int
    stream: int
    payload: bytes

    @property
    def ends_stream(self) -> bool:
        """Whether nothing follows on its stream."""
        return self.kind == RESET or (
            self.kind in (DATA, HEADERS) and bool(self.flags & _END_STREAM)
        )


def grpc_message(message: bytes, length: int | None = None) -> bytes:
    """A message as gRPC frames it, or the beginning of one that says it has so many bytes."""
    return b"\0" + struct.pack(">I", len(message) if length is None else length) + message


class RawPeer:
    """One connection. It answers pings and settings, opens no window and reads when it is asked."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._next_stream = 1
        self._stream_window = _DEFAULT_WINDOW
        self.sent_bytes = 0

    async def start(self, window: int = _DEFAULT_WINDOW) -> None:
        """Says hello; ``window`` is how much of each answer it takes before it opens more."""
        self._writer.write(_PREFACE)
        await self._send(SETTINGS, 0, 0, struct.pack(">HI", _INITIAL_WINDOW, window))

    async def call(
        self, path: str, message: bytes = b"", token: str = "", ends: bool = True
    ) -> int:
        """Begins a call with bytes of its message; returns the number of its stream."""
        stream, self._next_stream = self._next_stream, self._next_stream + 2
        names = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", "localhost"),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
        ]
        if token:
            names.append(("authorization", f"Bearer {token}"))
        await self._send(HEADERS, _END_HEADERS, stream, b"".join(map(_literal, names)))
        if message or ends:
            await self.send(stream, message, ends)
        return stream

    async def send(self, stream: int, data: bytes, ends: bool = False) -> None:
        """Sends bytes of a message, in frames that everybody takes."""
        parts = [data[at : at + _FRAME_BYTES] for at in range(0, len(data), _FRAME_BYTES)] or [b""]
        for index, part in enumerate(parts):
            last = ends and index == len(parts) - 1
            await self._send(DATA, _END_STREAM if last else 0, stream, part)

    async def flood(self, stream: int, data: bytes) -> None:
        """Sends this as fast as the server lets it, until it ends the stream.

        Raises:
            ConnectionError: The connection was closed.
        """
        windows = {0: _DEFAULT_WINDOW, stream: self._stream_window}
        while True:
            room = min(*windows.values(), _FRAME_BYTES, len(data) - self.sent_bytes)
            if room > 0:
                await self._send(DATA, 0, stream, data[self.sent_bytes : self.sent_bytes + room])
                self.sent_bytes += room
                windows = {number: window - room for number, window in windows.items()}
            if room <= 0 or self._has_news():
                frame = await self.frame(everything=True)
                if frame is None:
                    raise ConnectionError("closed by the server")
                if frame.stream == stream and frame.ends_stream:
                    return
                self._widen(windows, stream, frame)

    def _widen(self, windows: dict[int, int], stream: int, frame: Frame) -> None:
        """Notes what a frame allows to be sent on a stream, or on the connection, which is 0."""
        if frame.kind == WINDOW and frame.stream in windows:
            windows[frame.stream] += int.from_bytes(frame.payload)
        if frame.kind == SETTINGS:
            for name, value in struct.iter_unpack(">HI", frame.payload):
                if name == _INITIAL_WINDOW:
                    windows[stream] += value - self._stream_window
                    self._stream_window = value

    def _has_news(self) -> bool:
        return bool(self._reader._buffer)  # type: ignore[attr-defined]

    async def open_window(self, stream: int, count: int = 1 << 20) -> None:
        """Takes so many bytes more of an answer."""
        await self._send(WINDOW, 0, stream, struct.pack(">I", count))

    async def frame(self, everything: bool = False) -> Frame | None:
        """The next frame that tells anything; None where the connection is closed.

        Settings and pings are answered, and told of only where ``everything`` says so.
        """
        while True:
            try:
                head = await self._reader.readexactly(9)
                payload = await self._reader.readexactly(int.from_bytes(head[:3]))
            except (asyncio.IncompleteReadError, ConnectionError):
                return None
            frame = Frame(head[3], head[4], int.from_bytes(head[5:]) & 0x7FFFFFFF, payload)
            if frame.kind in (SETTINGS, PING):
                if not frame.flags & _ACK:
                    answer = frame.payload if frame.kind == PING else b""
                    await self._send(frame.kind, _ACK, 0, answer)
                if not everything:
                    continue
            return frame

    async def rest(self, stream: int) -> list[Frame]:
        """The frames of a stream, to its end or that of the connection."""
        frames = []
        while (frame := await self.frame()) is not None:
            if frame.stream == stream:
                frames.append(frame)
                if frame.ends_stream:
                    break
        return frames

    async def _send(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        head = struct.pack(">I", len(payload))[1:] + bytes([kind, flags])
        self._writer.write(head + struct.pack(">I", stream) + payload)
        await self._writer.drain()


@asynccontextmanager
async def raw_peer(target: str, window: int = _DEFAULT_WINDOW) -> AsyncIterator[RawPeer]:
    """A connection to ``HOST:PORT``, closed at the end."""
    host, _, port = target.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        peer = RawPeer(reader, writer)
        await peer.start(window)
        yield peer
    finally:
        writer.close()


def trailers(frames: Sequence[Frame]) -> bytes:
    """What the headers of these frames say, as far as it is written plainly."""
    return b"".join(frame.payload for frame in frames if frame.kind == HEADERS)


def _literal(pair: tuple[str, str]) -> bytes:
    """A header without indexing or compression (RFC 7541, 6.2.2)."""
    return b"\0" + b"".join(bytes([len(one)]) + one.encode() for one in pair)
