"""Binding the server's address, with one clear line where that cannot be done."""

from __future__ import annotations

import errno
import os
import socket

import grpc

from quorate.api.grpc.certificates import Certificates
from quorate.api.grpc.settings import ServerSettings
from quorate.errors import SettingsError


def bind(
    server: grpc.aio.Server, settings: ServerSettings, certificates: Certificates | None
) -> int:
    """Binds the configured address and returns the port.

    Raises:
        SettingsError: The address is taken, not this machine's, or open to the network unasked.
    """
    settings.check("server")
    _check_free(settings)
    try:
        if certificates is None:
            return server.add_insecure_port(settings.listen)
        return server.add_secure_port(settings.listen, certificates.credentials())
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
