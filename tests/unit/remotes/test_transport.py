from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2

from quorate.remotes.transport import GuardedTransport

LARGE = bytes(range(256)) * 1024


class Taking(httpx2.AsyncBaseTransport):
    """Takes a request, piece by piece."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.length = ""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.length = request.headers["content-length"]
        stream = request.stream
        assert isinstance(stream, AsyncIterator | httpx2.AsyncByteStream)
        async for piece in stream:
            self.pieces.append(piece)
        return httpx2.Response(200, stream=httpx2.ByteStream(b""))


async def test_a_large_body_leaves_in_pieces_and_says_how_long_it_is() -> None:
    taking = Taking()
    guarded = GuardedTransport("http://far:1", None, taking)
    async with httpx2.AsyncClient(transport=guarded) as client:
        await client.post("http://far:1/x", content=LARGE)
    assert b"".join(taking.pieces) == LARGE
    assert max(map(len, taking.pieces)) == 65536
    assert taking.length == str(len(LARGE))
