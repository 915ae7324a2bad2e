"""How a server is reached: the channel, and the token that goes with every call."""

from __future__ import annotations

import grpc

from quorate.errors import InvalidRequest
from quorate.options import is_loopback

_OPTIONS = [
    ("grpc.max_receive_message_length", 16 * 2**20),
    # A server on this machine is never behind the proxy that the environment may name.
    ("grpc.enable_http_proxy", 0),
]


def open_channel(target: str, credentials: grpc.ChannelCredentials | None) -> grpc.aio.Channel:
    """Opens a channel; without credentials it speaks plain text."""
    if credentials is None:
        return grpc.aio.insecure_channel(target, _OPTIONS)
    return grpc.aio.secure_channel(target, credentials, _OPTIONS)


def authorization(token: str | None) -> tuple[tuple[str, str], ...]:
    """The metadata that tells who calls; none without a token.

    Raises:
        InvalidRequest: A token that no header can hold.
    """
    if not token:
        return ()
    if not token.isascii() or not token.isprintable() or " " in token:
        raise InvalidRequest("token", "must be printable ASCII without spaces")
    return (("authorization", f"Bearer {token}"),)


def refuse_open_token(target: str) -> None:
    """Checks that a token sent in plain text does not leave this machine.

    Raises:
        InvalidRequest: It would.
    """
    if target.startswith(("unix:", "unix-abstract:")) or is_loopback(_host(target)):
        return
    raise InvalidRequest(
        "token", f"would go to {target} in plain text; speak TLS, or say insecure to send it so"
    )


def host_and_port(target: str) -> tuple[str, int] | None:
    """Host and port of a target; None where it is no such address, or another is asked for it."""
    if target.startswith(("unix:", "unix-abstract:", "dns://")) and not target.startswith(
        "dns:///"
    ):
        return None
    port = target.rpartition(":")[2]
    return (_host(target), int(port)) if port.isascii() and port.isdigit() else None


def _host(target: str) -> str:
    address = target
    # Not "dns://AUTHORITY/", since whoever is asked there may call any address localhost.
    for scheme in ("dns:///", "dns:", "ipv4:", "ipv6:"):
        address = address.removeprefix(scheme)
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.rpartition(":")[0] or address
