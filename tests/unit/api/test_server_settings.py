from __future__ import annotations

from typing import Any

import pytest

from quorate.api.grpc.settings import ServerSettings
from quorate.errors import SettingsError


def refused(**mapping: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        ServerSettings.from_mapping(mapping, "server")
    return caught.value.message


def test_nothing_set_listens_on_loopback_alone() -> None:
    settings = ServerSettings.from_mapping({}, "server")
    assert settings == ServerSettings()
    assert (settings.host, settings.port) == ("127.0.0.1", 50051)
    assert settings.drain_seconds == 30.0
    assert settings.max_message_bytes == 16 * 1024 * 1024


def test_an_unknown_setting_is_refused_with_the_nearest() -> None:
    assert refused(drain_second=3) == (
        "server.drain_second: unknown key; did you mean drain_seconds?"
    )
    assert refused(zzz=3).startswith("server.zzz: unknown key; known: listen, insecure")


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"listen": 50051}, "server.listen: must be a text, not 50051"),
        ({"insecure": "yes"}, "server.insecure: must be true or false, not 'yes'"),
        ({"max_streams": True}, "server.max_streams: must be an integer, not True"),
        ({"max_streams": 0}, "server.max_streams: must be from 1 to 2.14748e+09, not 0"),
        ({"drain_seconds": "1"}, "server.drain_seconds: must be a number, not '1'"),
        ({"drain_seconds": -1}, "server.drain_seconds: must be from 0 to 86400, not -1.0"),
        (
            {"drain_seconds": float("nan")},
            "server.drain_seconds: must be from 0 to 86400, not nan",
        ),
    ],
)
def test_wrong_values_are_refused_with_their_key(mapping: dict[str, Any], message: str) -> None:
    assert refused(**mapping) == message


@pytest.mark.parametrize("listen", ["50051", ":50051", "::1:50051", "", "localhost"])
def test_an_address_of_another_form_is_refused(listen: str) -> None:
    assert "must be HOST:PORT or [IPV6]:PORT" in refused(listen=listen)


@pytest.mark.parametrize("port", ["65536", "-1", "http", "٣"])
def test_a_port_out_of_range_is_refused(port: str) -> None:
    assert "the port must be from 0 to 65535" in refused(listen=f"127.0.0.1:{port}")


@pytest.mark.parametrize("listen", ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "localhost:1"])
def test_loopback_needs_no_tls(listen: str) -> None:
    assert ServerSettings.from_mapping({"listen": listen}, "server").port == 1


@pytest.mark.parametrize("listen", ["0.0.0.0:1", "[::]:1", "192.168.1.2:1", "example.org:1"])
def test_other_addresses_need_tls_or_an_explicit_word(listen: str) -> None:
    assert "is open to the network" in refused(listen=listen)
    tls = {"tls_certificate": "c.pem", "tls_key": "k.pem"}
    for allowed in ({"insecure": True}, tls):
        assert ServerSettings.from_mapping({"listen": listen, **allowed}, "server").port == 1


def test_half_of_a_tls_pair_is_refused() -> None:
    assert refused(tls_key="k.pem").startswith("server.tls_certificate: TLS needs both")
    assert refused(tls_certificate="c.pem").startswith("server.tls_key: TLS needs both")


def test_an_ipv6_host_comes_without_its_brackets() -> None:
    settings = ServerSettings.from_mapping({"listen": "[::1]:8"}, "server")
    assert (settings.host, settings.port) == ("::1", 8)
