"""Connections to the HTTP API: slow ones, too many, those that leave, and TLS."""

from __future__ import annotations

import asyncio
import gc
import json
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import openai
import pytest

from quorate.api.http.settings import HttpSettings
from quorate.api.pace import Pace
from quorate.app.service import Service
from quorate.client import Client
from support.certificates import certificate_files
from support.http_door import KEYS, SAY, connection, door, idle, post, raw
from support.ledgers import charges_once
from support.whole_service import engine_of, scripted

HEAD_SECONDS = 0.3
HEALTH = b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n"


async def test_a_body_that_is_too_large_is_refused_before_it_has_come(tmp_path: Path) -> None:
    async with door(tmp_path, http={"max_body_bytes": 2048}) as (service, _):
        status, told = await raw(service, post("/v1/completions", b"{", length=10**9))
        assert (status, told["error"]["param"]) == (400, "body")
        chunked = (
            b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\n"
            + b"transfer-encoding: chunked\r\n\r\n"
            + b"1000\r\n"
            + b"x" * 0x1000
        )
        status, told = await raw(service, chunked)
        assert (status, told["error"]["param"]) == (400, "body")
        packed = post("/v1/completions", b"\x1f\x8b", "content-encoding: gzip")
        status, told = await raw(service, packed)
        assert (status, told["error"]["param"]) == (400, "content-encoding")


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"GET /hea",
        b"GET /health HTTP/1.1\r\nhost: localhost\r\n",
        # A second request, behind one that was answered.
        b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\nGET /",
        # The rest of a body that nobody wants.
        b"POST /v1/nothing HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000\r\n\r\nx",
    ],
)
async def test_a_request_that_comes_byte_by_byte_loses_its_connection(
    tmp_path: Path, begun: bytes
) -> None:
    async with (
        door(tmp_path, http={"head_seconds": HEAD_SECONDS}) as (service, client),
        connection(service) as (reader, writer),
    ):
        writer.write(begun)

        async def drip() -> None:
            while True:
                await asyncio.sleep(0.05)
                writer.write(b"x")

        dripping = asyncio.ensure_future(drip())
        try:
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                while True:
                    await reader.readexactly(1)
        finally:
            dripping.cancel()
            await asyncio.gather(dripping, return_exceptions=True)
        assert (await client.completions.create(model="a", prompt="x", max_tokens=2)).choices


async def test_connections_beyond_the_limit_are_closed_as_they_come(tmp_path: Path) -> None:
    health = b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n"
    async with door(tmp_path, http={"max_connections": 2}) as (service, _):
        async with (
            connection(service),
            connection(service),
            connection(service) as (reader, _),
        ):
            assert await reader.read() == b""
        # Until the server has seen that they are gone.
        while True:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                assert await raw(service, health) == (200, {"status": "ok"})
                break


async def test_a_body_that_does_not_end_is_told_so(tmp_path: Path) -> None:
    async with door(tmp_path, http={"receive_seconds": 0.3}) as (service, _):
        status, told = await raw(service, post("/v1/completions", b"{", length=100))
        assert (status, told["error"]["code"]) == (408, "peer_stalled")


async def test_a_stream_that_the_end_of_the_server_cuts_is_told_so(tmp_path: Path) -> None:
    slow = scripted("slow", say=SAY * 100, step_delay_ms=20.0)
    async with door(tmp_path, slow) as (service, client):
        stream = await client.completions.create(
            model="slow", prompt="x", max_tokens=400, stream=True
        )
        pieces = aiter(stream)
        await anext(pieces)

        async def read() -> None:
            async for _ in pieces:
                pass

        reading = asyncio.ensure_future(read())
        assert service.http is not None
        await service.http.stop()
        with pytest.raises(openai.APIError, match="server stopped"):
            await reading
        await idle(service)


async def test_the_end_of_the_server_is_no_defect_of_what_still_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Pace, "delay_seconds", lambda self, caller: 1e6)
    async with door(tmp_path, keys=KEYS) as (service, _), connection(service) as (reader, writer):
        writer.write(post("/v1/completions", b"{}"))
        while not open_calls(service):
            await asyncio.sleep(0.01)
        assert service.http is not None
        await service.http.stop()
        assert await reader.read() == b""
        assert not open_calls(service)
    assert not [record for record in caplog.records if record.exc_info]


async def test_of_a_large_body_only_what_is_asked_for_is_kept(tmp_path: Path) -> None:
    slow = scripted("slow", say=SAY * 100, step_delay_ms=20.0)
    body = {"model": "slow", "prompt": "x", "max_tokens": 400, "stream": True}
    large = json.dumps({**body, "metadata": {"note": "x" * 2**20}}).encode()
    async with door(tmp_path, slow) as (service, _), connection(service) as (reader, writer):
        writer.write(post("/v1/completions", large))
        await reader.readuntil(b"data: ")
        kept = {
            len(part)
            for thing in gc.get_objects()
            for part in gc.get_referents(thing)
            if isinstance(part, str) and len(part) >= 2**20
        }
        assert not kept


async def streaming(service: Service, client: openai.AsyncOpenAI) -> None:
    """Leaves a stream after its first event."""
    stream = await client.completions.create(
        model="slow", prompt="x", stream=True, extra_body=named("streaming")
    )
    await anext(aiter(stream))
    await stream.close()


async def whole(service: Service, client: openai.AsyncOpenAI) -> None:
    """Leaves while it waits for a whole answer."""
    await leave(service, client, 1, prompt="x", extra_body=named("whole"))


async def several(service: Service, client: openai.AsyncOpenAI) -> None:
    """Leaves several answers at once."""
    await leave(service, client, 2, prompt=["x", "y"], n=2, extra_body=named("several"))


async def ahead(service: Service, client: openai.AsyncOpenAI) -> None:
    """Leaves after it has sent a byte of what was to come next."""
    body = {"model": "slow", "prompt": "x", **named("ahead")}
    async with connection(service) as (_, writer):
        writer.write(post("/v1/completions", json.dumps(body).encode()) + b"G")
        await runs(service)


async def half(service: Service, client: openai.AsyncOpenAI) -> None:
    """Closes its half of the connection."""
    body = {"model": "slow", "prompt": "x", **named("half")}
    async with connection(service) as (reader, writer):
        writer.write(post("/v1/completions", json.dumps(body).encode()))
        await runs(service)
        writer.write_eof()
        assert await reader.read() == b""


async def in_the_body(service: Service, client: openai.AsyncOpenAI) -> None:
    """Leaves before all of its request was sent."""
    async with connection(service) as (_, writer):
        writer.write(post("/v1/completions", b"{", length=100_000))
        while not open_calls(service):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("leaves", [streaming, whole, several, ahead, half, in_the_body])
async def test_who_leaves_frees_what_was_held(
    tmp_path: Path, leaves: Callable[[Service, openai.AsyncOpenAI], Awaitable[None]]
) -> None:
    slow = scripted("slow", say=SAY * 100, step_delay_ms=20.0)
    async with door(tmp_path, slow, server={"listen": "127.0.0.1:0", "max_running": 2}) as (
        service,
        client,
    ):
        await leaves(service, client)
        await idle(service)
        while open_calls(service) or kv_usage(service):
            await asyncio.sleep(0.01)
        # Of those that wait in the queue nothing is written down.
        begun = {in_the_body: 0, several: 2}.get(leaves, 1)
        async with Client(service.address) as other:
            found = await charges_once(other, lambda rows: len(rows) >= begun)
        assert [row.outcome for row in found] == ["cancelled"] * begun


def named(request_id: str) -> dict[str, Any]:
    return {"quorate": {"request_id": request_id}, "max_tokens": 400}


def open_calls(service: Service) -> int:
    return service.server.open_calls._open.total()


def kv_usage(service: Service) -> float:
    return engine_of(service, "slow").kv_usage or 0.0


async def leave(service: Service, client: openai.AsyncOpenAI, running: int, **asked: Any) -> None:
    asking = asyncio.ensure_future(client.completions.create(model="slow", **asked))
    await runs(service, running)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)


async def test_answers_are_delivered_over_tls_before_and_after_a_renewal(tmp_path: Path) -> None:
    certificate, key = certificate_files(tmp_path / "tls")
    files = {"tls_certificate": str(certificate), "tls_key": str(key)}
    body = {"model": "a", "prompt": "x", "max_tokens": 30, "logprobs": 5}
    whole = post("/v1/completions", json.dumps(body).encode())
    streamed = post("/v1/completions", json.dumps({**body, "stream": True}).encode())

    async def ask(service: Service, tls: ssl.SSLContext) -> None:
        status, told = await raw(service, whole, tls)
        assert (status, told["usage"]["completion_tokens"]) == (200, 30)
        async with connection(service, tls) as (reader, writer):
            writer.write(streamed)
            events = await reader.readuntil(b"data: [DONE]")
            assert events.count(b"data: {") >= 30
            # The connection is there for another request.
            writer.write(HEALTH)
            assert b"HTTP/1.1 200" in await reader.readuntil(b"}")

    async with door(tmp_path, http=files) as (service, _):
        tls = ssl.create_default_context(cafile=str(certificate))
        async with connection(service, tls) as (reader, writer):
            await ask(service, tls)
            certificate_files(tmp_path / "tls")
            assert service.http is not None
            service.http.replace_certificate(HttpSettings(listen="127.0.0.1:0", **files))
            renewed = ssl.create_default_context(cafile=str(certificate))
            await ask(service, renewed)
            with pytest.raises(ssl.SSLCertVerificationError):
                await raw(service, whole, tls)
            # One from before stays.
            writer.write(HEALTH)
            assert b"HTTP/1.1 200" in await reader.readuntil(b"}")


async def test_peers_that_never_end_their_handshake_count_as_connections(tmp_path: Path) -> None:
    certificate, key = certificate_files(tmp_path / "tls")
    files = {"tls_certificate": str(certificate), "tls_key": str(key)}
    async with (
        door(tmp_path, http={**files, "max_connections": 2}) as (service, _),
        connection(service) as (_, silent),
        connection(service),
    ):
        async with connection(service) as (reader, _):
            assert await reader.read() == b""
        # What is no handshake ends one, and counts no longer.
        silent.write(b"GET / HTTP/1.1\r\n\r\n")
        tls = ssl.create_default_context(cafile=str(certificate))
        while True:
            with suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
                assert await raw(service, HEALTH, tls) == (200, {"status": "ok"})
                break


async def test_a_flood_of_headers_is_refused(tmp_path: Path) -> None:
    async with door(tmp_path) as (service, _):
        flood = HEALTH.replace(b"\r\n\r\n", b"\r\n" + b"a: b\r\n" * 4000 + b"\r\n")
        status, told = await raw(service, flood)
        assert (status, told["error"]["param"]) == (431, "request")
        assert await raw(service, HEALTH) == (200, {"status": "ok"})


async def test_who_takes_nothing_of_a_stream_loses_it_and_what_it_held(tmp_path: Path) -> None:
    slow = scripted("fast", say=SAY * 100)
    body = {"model": "fast", "prompt": "x", "max_tokens": 400, "logprobs": 100, "stream": True}
    asked = {**body, "n": 8, "temperature": 1.0, "quorate": {"votes": True}}
    async with (
        door(tmp_path, slow, http={"stall_seconds": 0.3}) as (service, _),
        connection(service) as (reader, writer),
    ):
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(post("/v1/completions", json.dumps(asked).encode()))
        await runs(service)
        await idle(service)
        reader._transport.resume_reading()  # type: ignore[attr-defined]
        with suppress(ConnectionError):
            assert b"[DONE]" not in await reader.read()


async def runs(service: Service, count: int = 1) -> None:
    while service.dispatcher.running < count:
        await asyncio.sleep(0.01)
