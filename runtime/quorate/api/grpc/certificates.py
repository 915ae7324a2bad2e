"""The TLS files of the server: read, checked, replaced while it runs, and how long they are valid.

The standard library tells the dates of a certificate only to whoever verifies it as a peer, so that
they are read here from its DER (RFC 5280, section 4.1).
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc

from quorate.errors import SettingsError
from quorate.files import read_file

SOON = timedelta(days=14)
"""Before its end a certificate is warned of for so long."""

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_VERSION, _UTC_TIME, _GENERALIZED_TIME = 0xA0, 0x17, 0x18
_FORMATS = {_UTC_TIME: "%y%m%d%H%M%SZ", _GENERALIZED_TIME: "%Y%m%d%H%M%SZ"}
_BEFORE_VALIDITY = 3


class Certificates:
    """A certificate chain and its key, as new connections get them.

    Raises:
        SettingsError: The files cannot be read, or are not a PEM certificate and its key.
    """

    def __init__(self, certificate: str, key: str) -> None:
        self.path = certificate
        self._current = read_pair(certificate, key)
        self._fresh: grpc.ServerCertificateConfiguration | None = None

    @property
    def problem(self) -> str:
        """What is wrong with how long it is valid, in one line; "" where nothing is."""
        return validity_problem(self._current[1], datetime.now(UTC))

    def credentials(self) -> grpc.ServerCredentials:
        """Credentials that follow ``replace``."""
        return grpc.dynamic_ssl_server_credentials(
            _configuration(self._current),
            # That None is no change is documented, and not declared.
            self._changed,  # type: ignore[arg-type]
        )

    def replace(self, certificate: str, pair: tuple[bytes, bytes]) -> None:
        """Shows new connections another pair, from ``read_pair``; those that are open stay."""
        self.path, self._current = certificate, pair
        self._fresh = _configuration(pair)

    def _changed(self) -> grpc.ServerCertificateConfiguration | None:
        """Asked by gRPC's own threads at each handshake; None is no change."""
        fresh, self._fresh = self._fresh, None
        return fresh


def read_pair(certificate: str, key: str) -> tuple[bytes, bytes]:
    """The private key and the certificate chain, in PEM.

    Raises:
        SettingsError: They cannot be read, or do not belong together.
    """
    pair = _read(key), _read(certificate)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except ssl.SSLError as error:
        raise SettingsError(
            f"{certificate} and {key} are not a PEM certificate and its key: "
            f"{error.reason or error}"
        ) from None
    return pair


def validity_problem(chain: bytes, now: datetime) -> str:
    """What is wrong with how long a chain in PEM is valid, in one line; "" where nothing is."""
    for begins, ends in validities(chain):
        if now >= ends:
            return f"has expired on {_day(ends)}; clients refuse it: renew it, then send SIGHUP"
        if now < begins:
            return f"is not valid before {_day(begins)}; clients refuse it until then"
        if ends - now < SOON:
            left = (ends - now) // timedelta(days=1)
            return f"expires in {left} days, on {_day(ends)}; renew it, then send SIGHUP"
    return ""


def validities(chain: bytes) -> list[tuple[datetime, datetime]]:
    """From when until when each certificate of a chain in PEM is valid, as far as it is read."""
    found = []
    for block in _PEM.findall(chain.decode("ascii", errors="replace")):
        try:
            found.append(_validity(ssl.PEM_cert_to_DER_cert(block)))
        except (ValueError, IndexError, StopIteration):
            continue
    return found


def _validity(der: bytes) -> tuple[datetime, datetime]:
    _, certificate = next(_elements(der))
    _, signed = next(_elements(certificate))
    parts = [content for tag, content in _elements(signed) if tag != _VERSION]
    times = [_time(tag, content) for tag, content in _elements(parts[_BEFORE_VALIDITY])]
    return times[0], times[1]


def _elements(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each element, one after the other."""
    at = 0
    while at < len(der):
        tag, size, at = der[at], der[at + 1], at + 2
        if size & 0x80:
            octets = size & 0x7F
            size, at = int.from_bytes(der[at : at + octets]), at + octets
        yield tag, der[at : at + size]
        at += size


def _time(tag: int, content: bytes) -> datetime:
    moment = datetime.strptime(content.decode("ascii"), _FORMATS.get(tag, ""))
    return moment.replace(tzinfo=UTC)


def _configuration(pair: tuple[bytes, bytes]) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([pair])


def _read(path: str) -> bytes:
    return read_file(Path(path), "name a PEM file in [server]")


def _day(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d")
