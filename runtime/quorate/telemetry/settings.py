"""Settings of metrics and traces. Both are off until somebody asks for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from quorate.errors import SettingsError
from quorate.options import is_loopback, read_options, split_address


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """Where metrics can be scraped.

    Attributes:
        listen: ``HOST:PORT`` of an HTTP port of its own, or "" for none; port 0 takes a free one.
        insecure: Allows an address other than loopback: the port knows neither keys nor TLS.
    """

    listen: str = ""
    insecure: bool = False

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any], where: str) -> MetricsSettings:
        """Reads settings as they stand in a configuration file, in the section ``where``.

        Raises:
            SettingsError: An unknown name, a wrong type, no address, or one that is open to the
                network without ``insecure``.
        """
        return read_options(cls, mapping, where, lambda settings: settings.check(where))

    def check(self, where: str) -> None:
        """Checks what a single value cannot show; raises as ``from_mapping``."""
        if not self.listen:
            return
        host, _ = split_address(self.listen, f"{where}.listen")
        if not self.insecure and not is_loopback(host):
            raise SettingsError(
                f"{where}.listen: {self.listen} is open to the network, and metrics are told "
                "to whoever asks; take a loopback address, or say insecure"
            )


@dataclass(frozen=True, slots=True)
class TraceSettings:
    """Where traces go.

    Attributes:
        endpoint: URL of an OpenTelemetry collector that takes OTLP over HTTP, such as
            ``http://127.0.0.1:4318``, or "" for none.
        insecure: Allows one that is not on this machine to be told by plain HTTP.
    """

    endpoint: str = ""
    insecure: bool = False

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any], where: str) -> TraceSettings:
        """Reads settings as they stand in a configuration file, in the section ``where``.

        Raises:
            SettingsError: An unknown name, a wrong type, no URL, or plain HTTP over the network
                without ``insecure``.
        """
        settings = read_options(cls, mapping, where)
        if not settings.endpoint:
            return settings
        key = f"{where}.endpoint"
        try:
            url = urlsplit(settings.endpoint)
            host, _ = url.hostname, url.port
        except ValueError:
            host = None
        if host is None or url.scheme not in ("http", "https") or url.query or url.fragment:
            raise SettingsError(
                f"{key}: must be a URL such as http://127.0.0.1:4318, not {settings.endpoint!r}"
            )
        if url.scheme == "http" and not settings.insecure and not is_loopback(host):
            raise SettingsError(
                f"{key}: {settings.endpoint} is told over the network without TLS; use https, or "
                "say insecure"
            )
        return settings
