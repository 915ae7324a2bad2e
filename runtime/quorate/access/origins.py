"""Where calls come from, for limits and turns of callers who have no key."""

from __future__ import annotations

from quorate.options import is_loopback


def origin(peer: str) -> str:
    """Whose calls count as one caller's, as far as the transport can tell.

    The address of another machine, whatever connections it opens; of this machine the connection,
    since everybody here has the same address.

    Args:
        peer: As gRPC writes it, such as ``ipv4:192.0.2.7:50432`` or ``ipv6:%5B::1%5D:50432``.
    """
    address, host = _parts(peer)
    return peer if not host or is_loopback(host) else address


def machine(origin: str) -> str:
    """The machine that an origin is of: "" for this one, whose programs open many connections."""
    _, host = _parts(origin)
    return "" if host and is_loopback(host) else origin


def _parts(peer: str) -> tuple[str, str]:
    """The address of a peer without its port, and the host in that; "" where there is none."""
    address, colon, _ = peer.rpartition(":")
    host = address.partition(":")[2].replace("%5B", "").replace("%5D", "").strip("[]")
    return address, host if colon else ""
