"""What the parser of HTTP is given, and how slow or wrong peers lose their connections."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import h11
import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from quorate.api.http.feeding import (
    ITERATION_SECONDS,
    MOST_HEAD_BYTES,
    MOST_LINES,
    Feeds,
    MeasuredConnection,
)
from quorate.api.http.protocol import LimitedProtocol
from quorate.api.http.settings import HttpSettings

DEADLINE_SECONDS = 30.0
CHUNKED = b"POST /%d HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n"


class Server:
    """The protocol on a port, and an application that notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, bytes]] = []
        self.left = asyncio.Event()
        self.answers = asyncio.Event()
        self.answers.set()
        self.state = ServerState()
        self.slices: list[bytes] = []
        self.transports: list[asyncio.Transport] = []
        self.address: tuple[str, int] = ("", 0)

    async def application(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.left.set()
                return
            body += message["body"]
            if not message["more_body"]:
                break
        self.asked.append((scope["path"], body))
        gone = asyncio.ensure_future(receive())
        answers = asyncio.ensure_future(self.answers.wait())
        await asyncio.wait((gone, answers), return_when=asyncio.FIRST_COMPLETED)
        if gone.done():
            self.left.set()
            answers.cancel()
            return
        gone.cancel()
        length = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": length})
        await send({"type": "http.response.body", "body": b"ok"})


@asynccontextmanager
async def serving(**limits: Any) -> AsyncIterator[Server]:
    server = Server()
    settings = HttpSettings(listen="127.0.0.1:0", **limits)
    config = Config(
        server.application,
        http=LimitedProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        interface="asgi3",
    )
    config.load()
    feeds = Feeds()

    class Noting(LimitedProtocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            server.transports.append(transport)
            take = self.conn.take

            def noted(waiting: bytearray) -> bytes:
                server.slices.append(take(waiting))
                return server.slices[-1]

            self.conn.take = noted  # type: ignore[method-assign]

    def protocol() -> Noting:
        return Noting(
            settings,
            feeds,
            lambda: None,
            config=config,
            server_state=server.state,
            app_state={},
        )

    loop = asyncio.get_running_loop()
    async with asyncio.timeout(DEADLINE_SECONDS):
        listening = await loop.create_server(protocol, "127.0.0.1", 0)
        server.address = listening.sockets[0].getsockname()
        try:
            yield server
        finally:
            listening.close()
            for connection in list(server.state.connections):
                connection.transport.abort()
            while server.state.connections:
                await asyncio.sleep(0)


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def connected(server: Server) -> AsyncIterator[Connection]:
    reader, writer = await asyncio.open_connection(*server.address)
    try:
        yield reader, writer
    finally:
        writer.close()


async def until(holds: Callable[[], bool]) -> None:
    while not holds():
        await asyncio.sleep(0)


async def test_a_body_in_tiny_chunks_is_parsed_a_few_lines_at_a_time() -> None:
    body = b"x" * 5000
    request = CHUNKED % 1 + b"".join(b"1\r\nx\r\n" for _ in body) + b"0\r\n\r\n"
    async with serving() as server, connected(server) as (reader, writer):
        # What comes behind it is read in its order.
        writer.write(request + CHUNKED % 2 + b"2\r\nab\r\n0\r\n\r\n")
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        await reader.readuntil(b"ok")
        assert server.asked == [("/1", body), ("/2", b"ab")]
        assert max(part.count(b"\n") for part in server.slices) <= 32
        assert b"".join(server.slices).startswith(request)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("share", "order"),
    [(1.0, "a|b|c|a|b|c"), (0.5, "ab|ca|bc"), (0.01, "abc|abc")],
)
async def test_what_all_connections_take_of_an_iteration_has_a_limit(
    share: float, order: str
) -> None:
    clock, seen = Clock(), list[str]()
    feeds = Feeds(clock)

    def feed(name: str, again: int) -> Callable[[], None]:
        def run() -> None:
            seen.append(name)
            clock.now += share * ITERATION_SECONDS
            if again:
                feeds.later(feed(name, again - 1))

        return run

    def tick() -> None:
        seen.append("|")
        if seen.count("|") < 10:
            asyncio.get_running_loop().call_soon(tick)

    for name in "abc":
        feeds.later(feed(name, 1))
    asyncio.get_running_loop().call_soon(tick)
    await until(lambda: seen.count("|") == 10)
    assert "".join(seen).rstrip("|") == order


async def test_what_comes_is_parsed_at_once_while_there_is_time_and_nobody_waits() -> None:
    clock, seen = Clock(), list[str]()
    feeds = Feeds(clock)

    def feed(name: str) -> Callable[[], None]:
        def run() -> None:
            seen.append(name)
            clock.now += 0.6 * ITERATION_SECONDS

        return run

    for name in "abcd":
        feeds.now(feed(name))
    assert seen == ["a", "b"]
    await until(lambda: len(seen) == 4)
    assert seen == ["a", "b", "c", "d"]


async def test_a_body_whose_length_is_said_is_parsed_as_it_comes() -> None:
    body = b"\n" * 300_000
    head = b"POST /1 HTTP/1.1\r\nhost: h\r\ncontent-length: %d\r\n\r\n" % len(body)
    async with serving() as server, connected(server) as (reader, writer):
        writer.write(head + body)
        await reader.readuntil(b"ok")
        assert server.asked == [("/1", body)]
        assert len(server.slices) < 100


@pytest.mark.parametrize(
    "flood",
    [
        b"a: b\r\n" * 40_000,
        b"a: " + b"b" * 2 * MOST_HEAD_BYTES + b"\r\n\r\n",
        b"a: b\r\n" * (MOST_LINES + 40) + b"\r\n",
        b"transfer-encoding: chunked\r\n\r\n0\r\n" + b"a: b\r\n" * 40_000,
        b"transfer-encoding: chunked\r\n\r\n1;" + b"a" * 3 * MOST_HEAD_BYTES + b"\r\nx\r\n",
    ],
)
async def test_a_flood_of_lines_is_refused_before_it_is_parsed(flood: bytes) -> None:
    async with serving() as server, connected(server) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nhost: h\r\n" + flood)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith((b"HTTP/1.1 431", b"HTTP/1.1 400"))
        await until(lambda: not server.state.connections)
        assert sum(map(len, server.slices)) <= 4 * MOST_HEAD_BYTES
        assert not server.asked


async def test_what_is_no_http_is_told_so_as_other_errors_are() -> None:
    async with serving() as server, connected(server) as (reader, writer):
        writer.write(b"\x16\x03\x01 what\r\n\r\n")
        told = await reader.read()
        head, _, body = told.partition(b"\r\n\r\n")
        assert b"content-type: application/json" in head
        assert json.loads(body)["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("close", [b"", b"connection: close\r\n"])
async def test_what_comes_behind_a_request_is_no_defect(
    close: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving() as server, connected(server) as (reader, writer):
        server.answers.clear()
        writer.write(b"GET /1 HTTP/1.1\r\nhost: h\r\n" + close + b"\r\n\x00\x01 \r\n\r\n")
        await until(lambda: bool(server.asked))
        server.answers.set()
        told = await reader.read()
        assert told.startswith(b"HTTP/1.1 200")
        # What is behind a request that was the last one is not looked at.
        assert (b"HTTP/1.1 400" in told) == (not close)
    assert not [one for one in caplog.records if one.exc_info]


@pytest.mark.parametrize("ahead", [b"", b"x", b"GET / HTTP/1.1\r\n\r\n"])
async def test_a_client_that_has_sent_ahead_is_seen_to_leave(ahead: bytes) -> None:
    body = b"POST /1 HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\nab"
    async with serving() as server, connected(server) as (_, writer):
        server.answers.clear()
        writer.write(body + ahead)
        await until(lambda: bool(server.asked))
        writer.write(ahead)
        writer.close()
        await server.left.wait()
        assert len(server.asked) == 1


async def test_a_client_that_half_closes_has_left() -> None:
    async with serving() as server, connected(server) as (_, writer):
        server.answers.clear()
        writer.write(b"GET /1 HTTP/1.1\r\nhost: h\r\n\r\n")
        await until(lambda: bool(server.asked))
        writer.write_eof()
        await server.left.wait()


async def test_who_sends_much_ahead_of_an_answer_loses_the_connection() -> None:
    async with serving() as server, connected(server) as (reader, writer):
        server.answers.clear()
        writer.write(b"GET /1 HTTP/1.1\r\nhost: h\r\n\r\n")
        await until(lambda: bool(server.asked))
        writer.write(b"GET /2 HTTP/1.1\r\nhost: h\r\n\r\n" * 10_000)
        await server.left.wait()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)


class Taken:
    """A transport whose peer takes of what was written what a test says."""

    def __init__(self) -> None:
        self.size, self.aborted = 0, False

    def get_write_buffer_size(self) -> int:
        return self.size

    def get_extra_info(self, name: str, default: object = None) -> object:
        return default

    def set_write_buffer_limits(self, high: int, low: int) -> None:
        pass

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True


async def test_a_reader_that_takes_a_little_keeps_its_connection_and_one_that_does_not_loses_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = Config(lambda *_: None, ws="none", lifespan="off", log_config=None)
    config.load()
    settings = HttpSettings(listen="127.0.0.1:0", stall_seconds=0.1, head_seconds=60.0)
    protocol = LimitedProtocol(
        settings, Feeds(), lambda: None, config=config, server_state=ServerState(), app_state={}
    )
    looks: list[Callable[[], None]] = []
    transport: Any = Taken()
    protocol.connection_made(transport)
    loop = asyncio.get_running_loop()

    def call_later(delay: float, look: Callable[[], None]) -> asyncio.TimerHandle:
        looks.append(look)
        return loop.call_later(60.0, lambda: None)

    monkeypatch.setattr(
        protocol, "loop", type("Loop", (), {"call_later": staticmethod(call_later)})
    )
    transport.size = 1000
    protocol.pause_writing()
    for transport.size in (900, 899, 1):
        looks.pop()()
        assert not transport.aborted
    looks.pop()()
    assert transport.aborted


def test_what_a_length_says_is_left_of_a_body() -> None:
    connection = MeasuredConnection(h11.SERVER)
    waiting = bytearray(b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\nab")
    connection.receive_data(connection.take(waiting))
    assert isinstance(connection.next_event(), h11.Request)
    assert connection.body_left == 5
    connection.next_event()
    assert connection.body_left == 3
    more = bytearray(b"cdeGET /")
    assert connection.take(more) == b"cde"
    assert more == b"GET /"
