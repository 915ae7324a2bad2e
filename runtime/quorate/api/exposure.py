"""What a door may listen on: this machine alone, unless there is TLS or somebody says otherwise."""

from __future__ import annotations

from typing import Protocol

from quorate.errors import SettingsError
from quorate.options import Faults, is_loopback, split_address


class Door(Protocol):
    """What the settings of every door have.

    Attributes:
        listen: ``HOST:PORT``.
        insecure: Allows an address other than loopback without TLS.
        tls_certificate: Path of the PEM certificate chain, or "" for no TLS.
        tls_key: Path of its PEM private key.
    """

    @property
    def listen(self) -> str: ...  # noqa: D102 - see the class

    @property
    def insecure(self) -> bool: ...  # noqa: D102 - see the class

    @property
    def tls_certificate(self) -> str: ...  # noqa: D102 - see the class

    @property
    def tls_key(self) -> str: ...  # noqa: D102 - see the class


def check_exposure(door: Door, where: str, faults: Faults) -> None:
    """Notes an address that is none or open to the network unasked, and half of a TLS pair."""
    listen = f"{where}.listen"
    host, _ = faults.check(lambda: split_address(door.listen, listen), ("localhost", 0))
    if bool(door.tls_certificate) != bool(door.tls_key):
        missing = "tls_key" if door.tls_certificate else "tls_certificate"
        faults.add(SettingsError(f"{where}.{missing}: TLS needs both a certificate and its key"))
    if not (door.tls_certificate or door.insecure or is_loopback(host)):
        problem = "is open to the network; set tls_certificate and tls_key, or say insecure"
        faults.add(SettingsError(f"{listen}: {door.listen} {problem}"))
