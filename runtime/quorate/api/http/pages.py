"""Pages of other sites, which a browser on this machine would let ask here. Pure.

A browser says with each request that a script makes where the script is from, and sends those that
need no leave of ours without asking for it. Nobody else says so.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from quorate.errors import PermissionDenied
from quorate.foreign_text import quoted


def check_origin(origin: str | None, host: str | None) -> None:
    """Lets a page ask that came from this server, and whoever is no page.

    Args:
        origin: The header of that name.
        host: Likewise, which is where the request went.

    Raises:
        PermissionDenied: The page is of another site.
    """
    if origin is None:
        return
    try:
        site = urlsplit(origin).netloc
    except ValueError:
        site = ""
    if not site or site != host:
        raise PermissionDenied(f"pages of {quoted(origin)} may not ask here")
