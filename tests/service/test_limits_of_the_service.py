from __future__ import annotations

import socket

import pytest

from quorate.api.grpc.lifecycle import GrpcServer
from quorate.api.grpc.settings import ServerSettings
from quorate.client import ServiceError
from quorate.errors import SettingsError
from support.fake_dispatch import FakeDispatcher, answer
from support.service import fake_service


async def start_another(service: object, **settings: object) -> str:
    """The one line with which a second server refuses to start."""
    server = GrpcServer(
        service.dispatcher, service.fleet, ServerSettings.from_mapping(settings, "server")
    )
    with pytest.raises(SettingsError) as caught:
        await server.start()
    await server.stop()
    assert "\n" not in caught.value.message
    return caught.value.message


async def test_a_message_that_is_too_large_is_refused_and_the_server_goes_on() -> None:
    dispatcher = FakeDispatcher(answer)
    async with (
        fake_service(dispatcher, max_message_bytes=4096) as service,
        service.client() as client,
    ):
        with pytest.raises(ServiceError) as caught:
            await client.complete("x" * 5000, model="a")
        assert await client.complete("x" * 3000, model="a") == "hello world"
    assert caught.value.status == "RESOURCE_EXHAUSTED"
    assert len(dispatcher.requests) == 1


async def test_a_port_in_use_by_another_server_is_refused_in_one_line() -> None:
    async with fake_service(FakeDispatcher(answer)) as service:
        listen = f"127.0.0.1:{service.port}"
        message = await start_another(service, listen=listen)
    assert message == (
        f"cannot listen on {listen}: the port is in use; "
        "stop what listens there or choose another with --listen"
    )


async def test_a_port_in_use_by_another_program_is_refused_in_one_line() -> None:
    async with fake_service(FakeDispatcher(answer)) as service:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            listen = f"127.0.0.1:{taken.getsockname()[1]}"
            assert "the port is in use" in await start_another(service, listen=listen)


async def test_an_address_of_another_machine_is_refused_in_one_line() -> None:
    async with fake_service(FakeDispatcher(answer)) as service:
        message = await start_another(service, listen="192.0.2.1:0", insecure=True)
    assert message.startswith("cannot listen on 192.0.2.1:0: ")


async def test_settings_made_by_hand_cannot_open_the_network_unasked() -> None:
    async with fake_service(FakeDispatcher(answer)) as service:
        settings = ServerSettings(listen="0.0.0.0:0")
        with pytest.raises(SettingsError, match="is open to the network"):
            await GrpcServer(service.dispatcher, service.fleet, settings).start()


async def test_a_missing_certificate_is_named(tmp_path) -> None:
    path = tmp_path / "none.pem"
    async with fake_service(FakeDispatcher(answer)) as service:
        message = await start_another(
            service, listen="127.0.0.1:0", tls_certificate=str(path), tls_key=str(path)
        )
    assert message == f"{path}: No such file or directory"


async def test_a_certificate_that_is_none_is_refused(tmp_path) -> None:
    path = tmp_path / "bad.pem"
    path.write_text("not a certificate")
    async with fake_service(FakeDispatcher(answer)) as service:
        message = await start_another(
            service, listen="127.0.0.1:0", tls_certificate=str(path), tls_key=str(path)
        )
    assert "are not a PEM certificate and its key" in message
