"""A small OpenAI-compatible API on the loopback interface, with faults to order.

It answers one request per connection, from a script, and keeps what it was asked. It waits for
events and never for time.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

DEADLINE_SECONDS = 20.0

DONE = b"data: [DONE]\n\n"


class Pause(Enum):
    """What an answer does between its bytes."""

    HOLD = "wait until the test says go on, or the client leaves"
    REPEAT = "send the bytes before it for ever, until the client leaves"
    CUT = "close the connection in the middle of the body"


HOLD, REPEAT, CUT = Pause.HOLD, Pause.REPEAT, Pause.CUT


@dataclass(frozen=True)
class Answer:
    """One scripted answer: a status, headers, and bytes with pauses between them.

    ``before`` is waited for before the status line is sent.
    """

    parts: tuple[bytes | Pause, ...] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    before: tuple[Pause, ...] = ()


@dataclass(frozen=True)
class SeenRequest:
    """What a client sent; names of headers are in small letters."""

    path: str
    headers: Mapping[str, str]
    body: Any


@dataclass
class FaultyRemote:
    """A running server.

    Attributes:
        base_url: For clients.
        requests: What it was asked, in order.
        script: Answers still to be given; when none is left, ``default`` is.
        holding: Set while an answer waits at a ``HOLD``.
        go_on: Set by a test to let the answers that wait go on.
    """

    base_url: str
    script: list[Answer]
    default: Answer
    requests: list[SeenRequest] = field(default_factory=list)
    holding: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    closed_by_client: int = 0
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def client_left(self, times: int = 1) -> None:
        """Waits until so many connections were closed by the client before their answer ended."""
        async with asyncio.timeout(DEADLINE_SECONDS), self._changed:
            await self._changed.wait_for(lambda: self.closed_by_client >= times)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers one connection."""
        try:
            request = await _read_request(reader)
            if request is None:
                return
            self.requests.append(request)
            answer = self.script.pop(0) if self.script else self.default
            left = asyncio.create_task(_client_left(reader))
            try:
                await self._send(answer, writer, left)
            except ConnectionError:
                await self._note_client_left()
            finally:
                left.cancel()
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _send(
        self, answer: Answer, writer: asyncio.StreamWriter, left: asyncio.Task[None]
    ) -> None:
        for pause in answer.before:
            await self._pause(pause, b"", writer, left)
        names = {"content-type": "text/event-stream", **answer.headers}
        lines = [f"HTTP/1.1 {answer.status} Scripted", "connection: close"]
        lines += ["transfer-encoding: chunked"]
        lines += [f"{name}: {value}" for name, value in names.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        previous = b""
        for part in answer.parts:
            if part is CUT:
                await writer.drain()
                return
            if isinstance(part, Pause):
                await self._pause(part, previous, writer, left)
            else:
                previous = part
                await _chunk(writer, part, left)
        await _chunk(writer, b"", left)

    async def _pause(
        self, pause: Pause, previous: bytes, writer: asyncio.StreamWriter, left: asyncio.Task[None]
    ) -> None:
        if pause is REPEAT:
            while True:
                await _chunk(writer, previous, left)
        self.holding.set()
        told = asyncio.create_task(self.go_on.wait())
        try:
            await asyncio.wait({told, left}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            told.cancel()
        if left.done():
            raise ConnectionResetError

    async def _note_client_left(self) -> None:
        async with self._changed:
            self.closed_by_client += 1
            self._changed.notify_all()


@asynccontextmanager
async def faulty_remote(*script: Answer) -> AsyncIterator[FaultyRemote]:
    """Runs a server that gives these answers in turn, and then ``says("Hello", " there")``."""
    remote = FaultyRemote("", list(script), says("Hello", " there"))
    server = await asyncio.start_server(remote.serve, "127.0.0.1", 0)
    remote.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield remote
    finally:
        remote.go_on.set()
        server.close()
        await server.wait_closed()


@contextmanager
def refusing_base_url() -> Iterator[str]:
    """An address at which nobody listens, and nobody will."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}/v1"


def event(value: Any) -> bytes:
    """A server-sent event."""
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


def chunk(text: str | None = None, finish: str | None = None, **fields: Any) -> dict[str, Any]:
    """The value of an event of a chat."""
    content = {} if text is None else {"content": text}
    choice = {"index": 0, "delta": {**content, **fields}, "finish_reason": finish}
    return {"object": "chat.completion.chunk", "choices": [choice]}


def count(prompt: int, generated: int, cached: int | None = None) -> dict[str, Any]:
    """The value of the event that counts the tokens."""
    details = {} if cached is None else {"prompt_tokens_details": {"cached_tokens": cached}}
    usage = {"prompt_tokens": prompt, "completion_tokens": generated, **details}
    return {"object": "chat.completion.chunk", "choices": [], "usage": usage}


def delta(text: str | None = None, finish: str | None = None, **fields: Any) -> bytes:
    """An event of a chat."""
    return event(chunk(text, finish, **fields))


def counted(prompt: int, generated: int, cached: int | None = None) -> bytes:
    """The event that counts the tokens."""
    return event(count(prompt, generated, cached))


def says(*texts: str, finish: str = "stop", prompt_tokens: int = 7) -> Answer:
    """A whole answer to a chat, one event for each text."""
    parts = [delta("", role="assistant"), *map(delta, texts), delta(finish=finish)]
    return Answer((*parts, counted(prompt_tokens, len(texts)), DONE))


def streams(*parts: bytes | Pause) -> Answer:
    """An answer of these bytes and pauses."""
    return Answer(parts)


def refuses(status: int, code: str = "", message: str = "", **headers: str) -> Answer:
    """An error as OpenAI sends it; underscores in names of headers become hyphens."""
    body = json.dumps({"error": {"message": message, "type": "error", "code": code or None}})
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer((body.encode(),), status, {"content-type": "application/json", **names})


async def _read_request(reader: asyncio.StreamReader) -> SeenRequest | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        start, *lines = head.split("\r\n")
        pairs = (line.partition(":") for line in lines if line)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    return SeenRequest(start.split(" ")[1], headers, json.loads(body) if body else None)


async def _client_left(reader: asyncio.StreamReader) -> None:
    """Ends when the client closes its side; it sends nothing after its request."""
    with suppress(ConnectionError):
        await reader.read(1)


async def _chunk(writer: asyncio.StreamWriter, data: bytes, left: asyncio.Task[None]) -> None:
    if left.done():
        raise ConnectionResetError
    writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
    await writer.drain()
    # Only a suspension lets the loop notice that the client has left.
    await asyncio.sleep(0)
