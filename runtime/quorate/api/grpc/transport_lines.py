"""The lines that gRPC's core writes to standard error and ``strangers`` makes hints of.

Nothing is imported here, so that they can be caught before the core is loaded and begins to write.
"""

from __future__ import annotations

ENDED = "Disconnected client"
"""A connection has ended; only where the core was asked to trace ``server_channel``."""

FAILED = "Handshake failed with error"
"""A TLS handshake has failed, for the reason behind it."""

_BEGINNING = "gRPC Tracers: "


def is_of_transport(line: str) -> bool:
    """Whether a line is one of these, or tells that they will come."""
    return any(word in line for word in (ENDED, FAILED, _BEGINNING))
