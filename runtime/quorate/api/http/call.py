"""One request over HTTP: its headers and body on the way in, an answer on the way out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, TypeAlias
from urllib.parse import quote

from quorate.access.limits import MAX_NAME_BYTES
from quorate.access.record import RequestRecord
from quorate.api.http.pages import page_headers
from quorate.errors import InvalidRequest
from quorate.large_texts import as_json
from quorate.threads import beside_loop

Message: TypeAlias = MutableMapping[str, Any]
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

# As OpenAI calls it, and Anthropic.
_REQUEST_ID_HEADERS = ("x-request-id", "request-id")

_JSON = "application/json"
_PAGE = "text/html; charset=utf-8"
_EVENTS = "text/event-stream; charset=utf-8"


class ClientLeft(Exception):
    """The connection was closed before the request had come to its end."""


class Call:
    """A request, and what is sent back. All of it belongs on one event loop.

    Args:
        scope: As ASGI has it.
        receive: Likewise.
        send: Likewise.
        record: Of the call.
        most_bytes: Largest body that is taken in.

    Attributes:
        began: Whether anything was sent back.
        names: What the caller calls a field that has another name elsewhere.
        site: Of the page that asks, where it is another one that may; "" otherwise.
        as_sent: Makes of each event, the error that ends a stream included, what is sent.
    """

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, record: RequestRecord, most_bytes: int
    ) -> None:
        self.record = record
        self.began = False
        self.names: Mapping[str, str] = {}
        self.site = ""
        self.as_sent: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda told: told
        self._scope = scope
        self._headers: dict[bytes, bytes | None] = {}
        for name, value in scope["headers"]:
            self._headers[name] = None if name in self._headers else value
        self._receive = receive
        self._send = send
        self._most_bytes = most_bytes
        self._streams = False
        self._taken_in = asyncio.Event()
        # The transport says of a request that was answered what it says of one that left.
        self._ended = False

    def header(self, name: str) -> str | None:
        """A header of the request; several of that name are none."""
        found = self._headers.get(name.encode("ascii"))
        return None if found is None else found.decode("latin-1")

    @property
    def path(self) -> str:
        """What is asked for, as far as any name of ours goes."""
        return str(self._scope["path"])[:MAX_NAME_BYTES]

    @property
    def path_parameters(self) -> Mapping[str, Any]:
        """What the route found in the path."""
        found: Mapping[str, Any] = self._scope.get("path_params", {})
        return found

    async def body(self) -> bytes:
        """All of the body.

        Raises:
            InvalidRequest: It is too large, or packed.
            ClientLeft: It did not come to its end.
        """
        packed = self.header("content-encoding")
        if packed not in (None, "identity"):
            raise InvalidRequest("content-encoding", "is not served here; send the body as it is")
        length = self.header("content-length") or ""
        # What is not a number is refused by the transport.
        if length.isascii() and length.isdecimal() and int(length[:20]) > self._most_bytes:
            raise self._too_large()
        parts, size = [], 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientLeft
            part = message.get("body", b"")
            size += len(part)
            if size > self._most_bytes:
                raise self._too_large()
            parts.append(part)
            if not message.get("more_body", False):
                self._taken_in.set()
                return b"".join(parts)

    async def left(self) -> None:
        """Returns once the client has left; not before the body was taken in, nor if it is whole.

        Of a request whose body nobody takes in, it is not known.
        """
        await self._taken_in.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if self._ended:
            await asyncio.get_running_loop().create_future()

    async def gone(self) -> None:
        """Returns once the client has left, of a request that is not served; drops its body."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def answer(
        self, status: int, told: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> None:
        """Sends an answer, whole."""
        await self._answer(status, as_json(told), headers or {})

    async def answer_long(self, told: Callable[[], Mapping[str, Any]]) -> None:
        """The same of one that may be long, which is put together beside the event loop."""
        data = await beside_loop(lambda: as_json(told()))
        await self._answer(200, data, {})

    async def answer_page(self, page: bytes, policy: str) -> None:
        """Sends a page, with the policy of what it may load and who may frame it."""
        told = {
            "content-type": _PAGE,
            "content-length": str(len(page)),
            "content-security-policy": policy,
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
            "cache-control": "no-cache",
        }
        await self._begin(200, told)
        self._ended = True
        await self._send({"type": "http.response.body", "body": page})

    async def _answer(self, status: int, data: bytes, headers: Mapping[str, str]) -> None:
        length = {"content-length": str(len(data))}
        await self._begin(status, {"content-type": _JSON, **length, **headers})
        self._ended = True
        await self._send({"type": "http.response.body", "body": data})

    async def begin_events(self) -> None:
        """Begins an answer of server-sent events."""
        self._streams = True
        told = {"content-type": _EVENTS, "cache-control": "no-store", "x-accel-buffering": "no"}
        await self._begin(200, told)

    async def event(self, told: Mapping[str, Any]) -> None:
        """Sends one event, by name where it has a ``type``."""
        data = self._event(told)
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def event_long(self, told: Callable[[], Mapping[str, Any]]) -> None:
        """The same of one that may be long, which is put together beside the event loop."""
        data = await beside_loop(lambda: self._event(told()))
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    def _event(self, told: Mapping[str, Any]) -> bytes:
        told = self.as_sent(told)
        name = told.get("type")
        begun = b"data: " if name is None else f"event: {name}\ndata: ".encode("ascii")
        return begun + as_json(told) + b"\n\n"

    async def end_events(self, last: bytes = b"") -> None:
        """Ends the answer, with ``last`` as its last bytes."""
        self._ended = True
        await self._send({"type": "http.response.body", "body": last})

    @property
    def streams(self) -> bool:
        """Whether the answer is of events."""
        return self._streams

    async def _begin(self, status: int, headers: Mapping[str, str]) -> None:
        self.began = True
        known = quote(self.record.request_id, safe=":/ -_.")
        told = {**dict.fromkeys(_REQUEST_ID_HEADERS, known), **page_headers(self.site), **headers}
        await self._send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [
                    (name.encode("ascii"), value.encode("latin-1", errors="replace"))
                    for name, value in told.items()
                ],
            }
        )

    def _too_large(self) -> InvalidRequest:
        return InvalidRequest("body", f"has more than {self._most_bytes} bytes, which is the limit")
