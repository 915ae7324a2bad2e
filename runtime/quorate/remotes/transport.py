"""The HTTP transport of a remote: what leaves, where to, and how much may come back.

It sits below the ``openai`` client, which adds headers from its own environment variables
(organisation, project, any others) and facts about the machine. None of them leaves.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import httpx2

from quorate.remotes.settings import ApiKey
from quorate.remotes.traffic import Traffic

_HEADERS = frozenset(
    {"host", "accept", "content-type", "content-length", "transfer-encoding", "connection"}
)
_LONGEST_ERROR_BYTES = 64 * 1024
_PIECE_BYTES = 64 * 1024

# The client between the caller and the transport has no place for what belongs to one call.
_traffic: ContextVar[Traffic | None] = ContextVar("traffic", default=None)


@contextmanager
def noted_in(traffic: Traffic) -> Iterator[None]:
    """Notes in ``traffic`` what the request that is sent meanwhile does on the wire."""
    token = _traffic.set(traffic)
    try:
        yield
    finally:
        _traffic.reset(token)


class Encoded(httpx2.RemoteProtocolError):
    """The answer is compressed, though that was not asked for; its size cannot be limited."""


class Astray(httpx2.LocalProtocolError):
    """The request was about to leave for another address than the one configured."""


class GuardedTransport(httpx2.AsyncBaseTransport):
    """Sends requests to one origin only, with few headers, and limits what is read.

    Args:
        base_url: The only address; scheme, host and port must agree.
        key: Sent as the bearer token, or None.
        inner: The transport that does the work.
    """

    def __init__(
        self, base_url: str, key: ApiKey | None, inner: httpx2.AsyncBaseTransport | None = None
    ) -> None:
        self._origin = _origin(httpx2.URL(base_url))
        self._key = key
        # Certificates that the operator names in SSL_CERT_FILE are trusted; proxies of the
        # environment are the client's business and not followed there.
        self._inner = inner or httpx2.AsyncHTTPTransport(
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=8)
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Sends one request.

        Raises:
            Astray: It is for another origin.
            Encoded: The response is compressed.
        """
        if _origin(request.url) != self._origin:
            raise Astray("another address than the configured one", request=request)
        response = await self._inner.handle_async_request(self._bare(request))
        if response.headers.get("content-encoding", "identity") != "identity":
            await response.aclose()
            return _without_body(response, request)
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        if not response.is_success:
            response.stream = _Body(response.stream)
        return response

    async def aclose(self) -> None:
        """Closes all connections."""
        await self._inner.aclose()

    def _bare(self, request: httpx2.Request) -> httpx2.Request:
        headers = [pair for pair in request.headers.multi_items() if pair[0].lower() in _HEADERS]
        headers += [("accept-encoding", "identity"), ("user-agent", "quorate")]
        if self._key is not None:
            headers.append(("authorization", f"Bearer {self._key.reveal()}"))
        return httpx2.Request(
            request.method,
            request.url,
            headers=headers,
            stream=_Pieces(request.stream),
            extensions=_watched(request.extensions),
        )


def _watched(extensions: Mapping[str, Any]) -> dict[str, Any]:
    """Extensions by which the transport tells when the request leaves."""
    traffic = _traffic.get()
    if traffic is None:
        return dict(extensions)

    async def trace(name: str, _: Mapping[str, Any]) -> None:
        # Before that the remote has nothing that it could answer.
        if name.endswith("send_request_body.started"):
            traffic.send()

    return {**extensions, "trace": trace}


def _without_body(response: httpx2.Response, request: httpx2.Request) -> httpx2.Response:
    if response.is_success:
        raise Encoded("a compressed answer", request=request)
    kept = [pair for pair in response.headers.multi_items() if pair[0].lower() == "retry-after"]
    return httpx2.Response(response.status_code, headers=kept, content=b"")


class _Pieces(httpx2.AsyncByteStream):
    """The body of a request, of which no piece is large enough to hold up the event loop."""

    def __init__(self, inner: httpx2.SyncByteStream | httpx2.AsyncByteStream) -> None:
        assert isinstance(inner, httpx2.AsyncByteStream)
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._inner:
            for start in range(0, len(part), _PIECE_BYTES):
                yield part[start : start + _PIECE_BYTES]

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Body(httpx2.AsyncByteStream):
    """The body of an error: read up to a limit and no further."""

    def __init__(self, inner: httpx2.AsyncByteStream) -> None:
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        remaining = _LONGEST_ERROR_BYTES
        async for part in self._inner:
            yield part[:remaining]
            remaining -= len(part)
            if remaining <= 0:
                return

    async def aclose(self) -> None:
        await self._inner.aclose()


def _origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    default = {"http": 80, "https": 443}.get(url.scheme)
    return url.scheme, url.host, url.port or default
