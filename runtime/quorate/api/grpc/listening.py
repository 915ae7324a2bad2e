"""Binding the server's address, with one clear line where that cannot be done."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from pathlib import Path

import grpc

from quorate.api.grpc.settings import ServerSettings
from quorate.errors import SettingsError
from quorate.files import read_file


def bind(server: grpc.aio.Server, settings: ServerSettings) -> int:
    """Binds the configured address and returns the port.

    Raises:
        SettingsError: The address is taken, not this machine's, or open to the network unasked, or
            the TLS files are no good.
    """
    settings.check("server")
    credentials = _credentials(settings)
    _check_free(settings)
    try:
        if credentials is None:
            return server.add_insecure_port(settings.listen)
        return server.add_secure_port(settings.listen, credentials)
    except RuntimeError as error:
        raise SettingsError(f"cannot listen on {settings.listen}: {error}") from None


def _check_free(settings: ServerSettings) -> None:
    """Tries the address with a plain socket: gRPC itself tells no cause, and logs several lines."""
    problems = []
    try:
        candidates = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise SettingsError(f"cannot listen on {settings.listen}: {error.strerror}") from None
    for family, kind, protocol, _, address in candidates:
        try:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
                probe.listen(1)
        except OSError as error:
            problems.append(error)
    taken = any(problem.errno == errno.EADDRINUSE for problem in problems)
    if taken:
        raise SettingsError(
            f"cannot listen on {settings.listen}: the port is in use; "
            "stop what listens there or choose another with --listen"
        )
    if len(problems) == len(candidates):
        cause = os.strerror(problems[0].errno or 0)
        raise SettingsError(f"cannot listen on {settings.listen}: {cause}")


def _credentials(settings: ServerSettings) -> grpc.ServerCredentials | None:
    if not settings.tls_certificate:
        return None
    certificate, key = _read(settings.tls_certificate), _read(settings.tls_key)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
            settings.tls_certificate, settings.tls_key
        )
    except ssl.SSLError as error:
        raise SettingsError(
            f"{settings.tls_certificate} and {settings.tls_key} are not a PEM certificate and its "
            f"key: {error.reason or error}"
        ) from None
    return grpc.ssl_server_credentials([(key, certificate)])


def _read(path: str) -> bytes:
    return read_file(Path(path), "name a PEM file in [server]")
