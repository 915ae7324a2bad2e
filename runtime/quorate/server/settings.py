"""Settings of the gRPC server, checked before anything listens."""

from __future__ import annotations

import difflib
import ipaddress
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from quorate.errors import SettingsError

DEFAULT_LISTEN = "127.0.0.1:50051"

# Lowest and highest value of each number; the unit is part of the name.
_INTEGERS = {"max_message_bytes": (1024, 2**31 - 1), "max_streams": (1, 2**31 - 1)}
_SECONDS = {
    "drain_seconds": (0.0, 86400.0),
    "keepalive_seconds": (1.0, 86400.0),
    "keepalive_timeout_seconds": (1.0, 3600.0),
    "min_client_ping_seconds": (0.0, 86400.0),
    "health_interval_seconds": (0.01, 3600.0),
}
_FLAGS = ("insecure", "reflection", "channelz")


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """How the gRPC server listens and what it allows.

    Attributes:
        listen: ``HOST:PORT``; IPv6 in brackets; port 0 takes a free one.
        insecure: Allows an address other than loopback without TLS.
        tls_certificate: Path of the PEM certificate chain, or "" for no TLS.
        tls_key: Path of its PEM private key.
        max_message_bytes: Largest message received or sent.
        max_streams: Most RPCs of one connection at once; further ones wait at the client.
        keepalive_seconds: Quiet time after which the server pings a client.
        keepalive_timeout_seconds: Time a ping may stay unanswered before the connection is closed.
        min_client_ping_seconds: Shortest time between two pings of an idle client. gRPC's own
            default of 300 s closes the connections of clients that ping more often.
        drain_seconds: Longest time running requests are waited for when the server drains.
        health_interval_seconds: Time between two looks at what no event tells of, such as a
            generation that makes no progress.
        reflection: Serves gRPC server reflection.
        channelz: Serves gRPC's channelz statistics.
    """

    listen: str = DEFAULT_LISTEN
    insecure: bool = False
    tls_certificate: str = ""
    tls_key: str = ""
    max_message_bytes: int = 16 * 2**20
    max_streams: int = 1000
    keepalive_seconds: float = 60.0
    keepalive_timeout_seconds: float = 20.0
    min_client_ping_seconds: float = 10.0
    drain_seconds: float = 30.0
    health_interval_seconds: float = 1.0
    reflection: bool = True
    channelz: bool = True

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any], where: str) -> ServerSettings:
        """Reads settings as they stand in a configuration file.

        Args:
            mapping: Names and values.
            where: Where they stand, for messages, such as ``server``.

        Raises:
            SettingsError: An unknown name, a wrong type, a value out of range, half of a TLS pair,
                or an address open to the network without TLS and without ``insecure``.
        """
        known = [field.name for field in fields(cls)]
        for name in mapping:
            if name not in known:
                raise SettingsError(f"{where}.{name}: unknown setting; {_hint(name, known)}")
        values = {name: _checked(f"{where}.{name}", name, v) for name, v in mapping.items()}
        settings = cls(**values)
        _check_exposure(settings, where)
        return settings

    @property
    def host(self) -> str:
        """Host of ``listen``, without brackets."""
        return split_address(self.listen, "listen")[0]

    @property
    def port(self) -> int:
        """Port of ``listen``."""
        return split_address(self.listen, "listen")[1]


def split_address(address: str, key: str) -> tuple[str, int]:
    """Splits ``HOST:PORT``; IPv6 hosts stand in brackets and come back without them.

    Raises:
        SettingsError: Not of that form; ``key`` names the setting.
    """
    host, colon, port = address.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not host or (":" in host and not bracketed):
        raise SettingsError(f"{key}: must be HOST:PORT or [IPV6]:PORT, not {address!r}")
    if not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise SettingsError(f"{key}: the port must be from 0 to 65535, not {port!r}")
    return host.strip("[]"), int(port)


def _hint(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"


def _checked(key: str, name: str, value: Any) -> Any:
    if name in _FLAGS:
        if not isinstance(value, bool):
            raise SettingsError(f"{key}: must be true or false, not {value!r}")
        return value
    if name in _INTEGERS:
        if isinstance(value, bool) or not isinstance(value, int):
            raise SettingsError(f"{key}: must be an integer, not {value!r}")
        return _within(key, value, *_INTEGERS[name])
    if name in _SECONDS:
        if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
            raise SettingsError(f"{key}: must be a number of seconds, not {value!r}")
        return float(_within(key, value, *_SECONDS[name]))
    if not isinstance(value, str):
        raise SettingsError(f"{key}: must be a text, not {value!r}")
    if name == "listen":
        split_address(value, key)
    return value


def _within(key: str, value: float, lowest: float, highest: float) -> float:
    if not lowest <= value <= highest:
        raise SettingsError(f"{key}: must be from {lowest} to {highest}, not {value}")
    return value


def _check_exposure(settings: ServerSettings, where: str) -> None:
    if bool(settings.tls_certificate) != bool(settings.tls_key):
        missing = "tls_key" if settings.tls_certificate else "tls_certificate"
        raise SettingsError(f"{where}.{missing}: TLS needs both a certificate and its key")
    if settings.tls_certificate or settings.insecure or _is_loopback(settings.host):
        return
    raise SettingsError(
        f"{where}.listen: {settings.listen} is open to the network; set tls_certificate and "
        "tls_key, or say insecure"
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
