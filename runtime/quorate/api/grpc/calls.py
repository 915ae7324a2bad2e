"""The id of a call on the wire."""

from __future__ import annotations

from urllib.parse import quote

REQUEST_ID = "quorate-request-id"
"""Name of the metadata that holds the id of a call."""


def request_id_metadata(request_id: str) -> tuple[tuple[str, str], ...]:
    """The id of a call as metadata, which holds ASCII alone: any other is percent-encoded."""
    return ((REQUEST_ID, request_id if request_id.isascii() else quote(request_id, safe="")),)
