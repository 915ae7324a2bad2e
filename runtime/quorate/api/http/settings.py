"""Settings of the HTTP server, checked before anything listens."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from quorate.api.exposure import check_exposure
from quorate.api.http.pages import ANY_ORIGIN
from quorate.errors import SettingsError
from quorate.foreign_text import quoted
from quorate.options import Faults, option, read_options, split_address

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/?#A-Z]+")
_DAY_SECONDS = 86400
_LARGEST_BODY = 2**30


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """How the HTTP server listens and what it allows. It is off until somebody asks for it.

    Attributes:
        listen: ``HOST:PORT``, or "" for none; IPv6 in brackets; port 0 takes a free one.
        insecure: Allows an address other than loopback without TLS.
        tls_certificate: Path of the PEM certificate chain, or "" for no TLS.
        tls_key: Path of its PEM private key.
        hosts: Names that it is asked by, beside addresses and ``localhost``. Where there are no
            keys others are refused, since they may be of a page that means harm.
        origins: Other sites whose pages may ask, such as ``https://chat.example``; ``*`` is all of
            them, and counts where callers need keys.
        max_body_bytes: Largest body of a request.
        max_connections: Most connections at once; further ones are closed as they come. The limit
            of file descriptors may leave fewer.
        head_seconds: Longest time that the head of a request may take to arrive.
        receive_seconds: Longest time that its body may take.
        stall_seconds: Longest time that a client may take nothing of an answer; then its connection
            is closed, and what it held is free.
        idle_seconds: A connection without requests is closed after so long.
    """

    listen: str = ""
    insecure: bool = False
    tls_certificate: str = ""
    tls_key: str = ""
    hosts: tuple[str, ...] = option((), texts=True)
    origins: tuple[str, ...] = option((), texts=True)
    max_body_bytes: int = option(16 * 2**20, lowest=1024, highest=_LARGEST_BODY)
    max_connections: int = option(1024, lowest=1, highest=1_000_000)
    head_seconds: float = option(10.0, lowest=0.1, highest=_DAY_SECONDS)
    receive_seconds: float = option(30.0, lowest=0.1, highest=_DAY_SECONDS)
    stall_seconds: float = option(30.0, lowest=0.1, highest=_DAY_SECONDS)
    idle_seconds: float = option(75.0, lowest=1, highest=_DAY_SECONDS)

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any], where: str) -> HttpSettings:
        """Reads settings as they stand in a configuration file, in the section ``where``.

        Raises:
            SettingsError: An unknown name, a wrong type, a value out of range, half of a TLS pair,
                or an address open to the network without TLS and without ``insecure``.
        """
        return read_options(cls, mapping, where, lambda settings: settings.check(where))

    def check(self, where: str) -> None:
        """Checks what a single value cannot show; raises as ``from_mapping``."""
        faults = Faults()
        for index, origin in enumerate(self.origins):
            if origin != ANY_ORIGIN and not _ORIGIN.fullmatch(origin):
                problem = "must be a site in lower case, such as https://chat.example, or *"
                key = f"{where}.origins[{index}]"
                faults.add(SettingsError(f"{key}: {problem}, not {quoted(origin)}"))
        if self.listen:
            check_exposure(self, where, faults)
        faults.refuse()

    @property
    def address(self) -> tuple[str, int]:
        """Host, without brackets, and port of ``listen``."""
        return split_address(self.listen, "http.listen")
