from __future__ import annotations

from pathlib import Path

import pytest

from quorate.api.grpc.lifecycle import GrpcServer
from quorate.api.grpc.settings import ServerSettings
from quorate.errors import SettingsError
from support.fake_dispatch import FakeDispatcher, answer
from support.service import Service, fake_service
from support.streams import refused


async def start_another(service: Service, **settings: object) -> str:
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
        refusal = await refused(client.complete("x" * 5000, model="a"))
        assert await client.complete("x" * 3000, model="a") == "hello world"
    assert refusal.status == "RESOURCE_EXHAUSTED"
    assert len(dispatcher.requests) == 1


async def test_a_port_in_use_is_refused_in_one_line(service: Service) -> None:
    message = await start_another(service, listen=service.target)
    assert message == (
        f"cannot listen on {service.target}: the port is in use; "
        "stop what listens there or choose another with --listen"
    )


async def test_an_address_of_another_machine_is_refused_in_one_line(service: Service) -> None:
    message = await start_another(service, listen="192.0.2.1:0", insecure=True)
    assert message.startswith("cannot listen on 192.0.2.1:0: ")


async def test_settings_made_by_hand_cannot_open_the_network_unasked(service: Service) -> None:
    settings = ServerSettings(listen="0.0.0.0:0")
    with pytest.raises(SettingsError, match="is open to the network"):
        await GrpcServer(service.dispatcher, service.fleet, settings).start()


async def test_a_missing_certificate_is_named(service: Service, tmp_path: Path) -> None:
    path = str(tmp_path / "none.pem")
    files = {"tls_certificate": path, "tls_key": path}
    message = await start_another(service, listen="127.0.0.1:0", **files)
    assert message == f"{path}: cannot be read: No such file or directory"


async def test_a_certificate_that_is_none_is_refused(service: Service, tmp_path: Path) -> None:
    path = tmp_path / "bad.pem"
    path.write_text("not a certificate")
    files = {"tls_certificate": str(path), "tls_key": str(path)}
    message = await start_another(service, listen="127.0.0.1:0", **files)
    assert "are not a PEM certificate and its key" in message
