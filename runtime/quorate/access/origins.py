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
    address, colon, _ = peer.rpartition(":")
    host = address.partition(":")[2].replace("%5B", "").replace("%5D", "").strip("[]")
    return peer if not colon or not host or is_loopback(host) else address
