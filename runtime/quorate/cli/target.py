"""The server that a command asks, as its parameters name it, and the way to it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quorate.errors import InvalidRequest, SettingsError

if TYPE_CHECKING:
    from quorate.client import Client

TOKEN_VARIABLE = "QUORATE_TOKEN"

_GLANCE_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The server that a command asks, or none for a service of its own.

    Attributes:
        address: ``HOST:PORT``, or None for a service of the command's own.
        tls_ca: File of the certificates to trust; None speaks plain text.
        insecure: Whether a token may go over the network in plain text.
    """

    address: Annotated[
        str | None,
        typer.Option(
            "--target",
            envvar="QUORATE_TARGET",
            metavar="HOST:PORT",
            help="A server that runs already; without one the models are loaded here. A token in "
            f"{TOKEN_VARIABLE} is sent along.",
        ),
    ] = None
    tls_ca: Annotated[
        Path | None,
        typer.Option(
            envvar="QUORATE_TLS_CA",
            metavar="FILE",
            help="Speak TLS with that server, and trust the certificates of this PEM file.",
        ),
    ] = None
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Send the token over the network even without TLS.")
    ] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTarget(Target):
    """The server of a command that loads no models itself."""

    address: Annotated[
        str | None,
        typer.Option(
            "--target",
            envvar="QUORATE_TARGET",
            metavar="HOST:PORT",
            help=f"The server to ask. A token in {TOKEN_VARIABLE} is sent along.",
        ),
    ] = None


def connect(address: str, target: Target) -> Client:
    """A client of a server, with the token of the environment.

    Raises:
        SettingsError: No address, no certificates, or a token that cannot be sent.
    """
    from quorate.client import Client
    from quorate.options import split_address

    split_address(address, "--target")
    credentials = None
    if target.tls_ca is not None:
        import grpc

        credentials = grpc.ssl_channel_credentials(_certificates(target.tls_ca))
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    try:
        return Client(address, credentials=credentials, token=token, insecure=target.insecure)
    except InvalidRequest as error:
        advice = ": see --tls-ca and --insecure" if "plain text" in error.problem else ""
        raise SettingsError(f"{TOKEN_VARIABLE}: {error.problem}{advice}") from None


def answers_at(address: str) -> bool:
    """Whether anything listens at an address of this machine."""
    import socket

    from quorate.options import split_address

    try:
        with socket.create_connection(split_address(address, "--target"), _GLANCE_SECONDS):
            return True
    except OSError:
        return False


def _certificates(path: Path) -> bytes:
    import ssl

    from quorate.files import read_file

    try:
        content = read_file(path, "name a PEM file")
        # What gRPC cannot read it tells in lines of its own, and takes for a lost connection.
        ssl.create_default_context(cadata=content.decode("ascii"))
    except SettingsError as error:
        raise SettingsError(f"--tls-ca: {error.message}") from error
    except (ssl.SSLError, ValueError):
        raise SettingsError(f"--tls-ca: {path}: holds no certificate in PEM") from None
    return content
