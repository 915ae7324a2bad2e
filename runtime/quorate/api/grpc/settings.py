"""Settings of the gRPC server, checked before anything listens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from quorate.api.exposure import check_exposure
from quorate.errors import SettingsError
from quorate.options import Faults, option, read_options, split_address

DEFAULT_LISTEN = "127.0.0.1:50051"

STANDARD_SERVICES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "health": ("grpc.health.v1.Health",),
        "reflection": (
            "grpc.reflection.v1alpha.ServerReflection",
            "grpc.reflection.v1.ServerReflection",
        ),
        "channelz": ("grpc.channelz.v1.Channelz",),
    }
)
"""Full names of gRPC's own services, by short ones."""

LOG_LEVELS = ("debug", "info", "warning", "error")
LOG_FORMATS = ("text", "json")

_DAY_SECONDS = 86400
_GRPC_MAX = 2**31 - 1


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
        max_connections: Most connections at once; further ones are closed as they come. The limit
            of file descriptors may leave fewer.
        max_calls: Most calls that one caller has open at once, those that wait included.
        receive_seconds: Longest time that the message of a call may take to arrive.
        stall_seconds: Longest time that a client may take nothing of an answer; then it ends, and
            what it held is free.
        idle_seconds: A connection without calls is closed after so long.
        unload_seconds: How long UnloadModel waits for the requests of a model, where it is not
            told.
        keepalive_seconds: Quiet time after which the server pings a client.
        keepalive_timeout_seconds: Time a ping may stay unanswered before the connection is closed.
        min_client_ping_seconds: Shortest time between two pings of an idle client. gRPC's own
            default of 300 s closes the connections of clients that ping more often.
        drain_seconds: Longest time running requests are waited for when the server drains.
        health_interval_seconds: Time between two looks at what no event tells of, such as a
            generation that makes no progress.
        reflection: Serves gRPC server reflection.
        channelz: Serves gRPC's channelz statistics.
        open_services: Which of gRPC's own services, by short names, need no key where callers have
            keys.
        log_level: Least level of what is logged.
        log_format: ``text`` for people, ``json`` for a JSON object a line.
    """

    listen: str = DEFAULT_LISTEN
    insecure: bool = False
    tls_certificate: str = ""
    tls_key: str = ""
    max_message_bytes: int = option(16 * 2**20, lowest=1024, highest=_GRPC_MAX)
    max_streams: int = option(1000, lowest=1, highest=_GRPC_MAX)
    max_connections: int = option(4096, lowest=1, highest=_GRPC_MAX)
    max_calls: int = option(1024, lowest=1, highest=_GRPC_MAX)
    receive_seconds: float = option(30.0, lowest=0.1, highest=_DAY_SECONDS)
    stall_seconds: float = option(30.0, lowest=0.1, highest=_DAY_SECONDS)
    idle_seconds: float = option(300.0, lowest=1, highest=_DAY_SECONDS)
    unload_seconds: float = option(300.0, lowest=0, highest=_DAY_SECONDS)
    keepalive_seconds: float = option(60.0, lowest=1, highest=_DAY_SECONDS)
    keepalive_timeout_seconds: float = option(20.0, lowest=1, highest=_DAY_SECONDS)
    min_client_ping_seconds: float = option(10.0, lowest=0, highest=_DAY_SECONDS)
    drain_seconds: float = option(30.0, lowest=0, highest=_DAY_SECONDS)
    health_interval_seconds: float = option(1.0, lowest=0.01, highest=_DAY_SECONDS)
    reflection: bool = True
    channelz: bool = True
    open_services: tuple[str, ...] = option(("health", "reflection"), texts=True)
    log_level: str = option("info", choices=LOG_LEVELS)
    log_format: str = option("text", choices=LOG_FORMATS)

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any], where: str) -> ServerSettings:
        """Reads settings as they stand in a configuration file, in the section ``where``.

        Raises:
            SettingsError: An unknown name, a wrong type, a value out of range, half of a TLS pair,
                or an address open to the network without TLS and without ``insecure``.
        """
        return read_options(cls, mapping, where, lambda settings: settings.check(where))

    def check(self, where: str) -> None:
        """Checks what a single value cannot show; settings made by hand need it before use.

        Raises:
            SettingsError: ``listen`` is no address, an unknown service, half of a TLS pair, or an
                address open to the network without TLS and without ``insecure``.
        """
        faults = Faults()
        for index, name in enumerate(self.open_services):
            if name not in STANDARD_SERVICES:
                key, known = f"{where}.open_services[{index}]", ", ".join(STANDARD_SERVICES)
                faults.add(SettingsError(f"{key}: must be one of {known}, not {name!r}"))
        check_exposure(self, where, faults)
        faults.refuse()

    @property
    def host(self) -> str:
        """Host of ``listen``, without brackets."""
        return split_address(self.listen, "listen")[0]

    @property
    def port(self) -> int:
        """Port of ``listen``."""
        return split_address(self.listen, "listen")[1]
