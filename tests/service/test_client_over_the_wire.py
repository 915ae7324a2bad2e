from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest

from quorate.client import Client
from quorate.errors import QuorateError, Unavailable
from quorate.request import ChatPrompt, Message, TextPrompt
from support.certificates import certificate_files
from support.fake_dispatch import FakeDispatcher, answer, raising
from support.service import fake_service
from support.streams import refused


async def test_what_the_caller_sets_is_what_the_dispatcher_gets() -> None:
    dispatcher = FakeDispatcher(answer)
    async with fake_service(dispatcher) as service, service.client() as client:
        await client.complete("x", temperature=0.0, stop=["\n"], max_tokens=5, logit_bias={3: -1.0})
        await client.complete(messages=[("user", "hi")], model="a")
    first, second = dispatcher.requests
    assert first.prompt == TextPrompt("x")
    assert first.plan is None
    assert first.sampling.temperature == 0.0
    assert first.sampling.top_p is None
    assert first.sampling.logit_bias == {3: -1.0}
    assert first.stopping.stop == ("\n",)
    assert first.stopping.max_tokens == 5
    assert second.prompt == ChatPrompt((Message("user", "hi"),))
    assert second.plan.members[0].model == "a"


async def test_a_refused_connection_says_how_to_start_a_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        target = f"127.0.0.1:{taken.getsockname()[1]}"
    async with Client(target) as client:
        for request in (client.models(), client.complete("x"), client.healthy()):
            refusal = await refused(request)
            assert refusal.status == "UNAVAILABLE"
            assert refusal.message == f"nothing listens at {target}; start it with: quorate serve"


async def test_a_service_error_is_an_error_of_quorate() -> None:
    dispatcher = FakeDispatcher(raising(Unavailable("loading", 1.5)))
    async with fake_service(dispatcher) as service, service.client() as client:
        with pytest.raises(QuorateError) as caught:
            await client.complete("x", request_id="r7")
    assert str(caught.value) == "loading"
    assert caught.value.reason == "UNAVAILABLE"
    assert caught.value.retry_after_seconds == 1.5
    assert caught.value.metadata == {"request_id": "r7"}


async def test_a_lost_server_is_told_in_one_line() -> None:
    async with fake_service(FakeDispatcher(answer)) as service, service.client() as client:
        assert await client.models()
        await service.server.stop()
        refusal = await refused(client.models())
    assert refusal.status == "UNAVAILABLE"


async def test_the_deadline_of_a_score_is_the_callers() -> None:
    class Slow(FakeDispatcher):
        async def score(self, request: object) -> object:
            await asyncio.Event().wait()

    async with fake_service(Slow(answer)) as service, service.client() as client:
        refusal = await refused(client.score("x", "y", timeout=0.1))
    assert refusal.status == "DEADLINE_EXCEEDED"


async def test_a_client_outside_its_context_says_so() -> None:
    with pytest.raises(RuntimeError, match="async with Client"):
        await Client().models()


async def test_plain_text_at_a_port_that_wants_tls_is_an_error_and_not_a_hang(tls_files) -> None:
    certificate, key = tls_files
    dispatcher = FakeDispatcher(answer)
    settings = {"tls_certificate": str(certificate), "tls_key": str(key)}
    async with fake_service(dispatcher, **settings) as service:
        async with Client(service.target) as client:
            refusal = await refused(client.complete("x", timeout=30))
        credentials = grpc.ssl_channel_credentials(certificate.read_bytes())
        async with Client(f"localhost:{service.port}", credentials=credentials) as client:
            assert await client.complete("x", timeout=30) == "hello world"
    assert refusal.status == "UNAVAILABLE"


async def test_the_wrong_protocol_is_named_with_what_to_do(tls_files) -> None:
    certificate, key = tls_files
    settings = {"tls_certificate": str(certificate), "tls_key": str(key)}
    credentials = grpc.ssl_channel_credentials(certificate.read_bytes())
    other = certificate_files(certificate.parent / "other")[0]
    strangers = grpc.ssl_channel_credentials(other.read_bytes())
    dispatcher = FakeDispatcher(answer)
    async with (
        fake_service(dispatcher, **settings) as secure,
        fake_service(dispatcher) as plain,
        http_server() as web,
    ):
        told = {}
        for name, target, given in (
            ("plain to TLS", secure.target, None),
            ("TLS to plain", f"localhost:{plain.port}", credentials),
            ("plain to HTTP", f"127.0.0.1:{web}", None),
            ("TLS to HTTP", f"127.0.0.1:{web}", credentials),
            ("strangers", f"localhost:{secure.port}", strangers),
            ("other name", secure.target, credentials),
        ):
            async with Client(target, credentials=given) as client:
                told[name] = (await refused(client.models())).message
    assert "it speaks TLS; give its certificates" in told["plain to TLS"]
    assert "it speaks plain text and no TLS; leave --tls-ca out" in told["TLS to plain"]
    assert "it speaks HTTP/1, and no gRPC" in told["plain to HTTP"]
    assert "it speaks HTTP/1, and no gRPC" in told["TLS to HTTP"]
    assert "is not trusted: " in told["strangers"]
    assert "is not trusted: it is for another name" in told["other name"]


@asynccontextmanager
async def http_server() -> AsyncIterator[int]:
    """A web server that knows nothing of HTTP/2."""

    async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer_once, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.fixture
def tls_files(tmp_path):
    """A certificate for localhost that signs itself, and its key."""
    return certificate_files(tmp_path / "tls")
