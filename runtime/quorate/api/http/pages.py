"""Pages of other sites, which a browser on this machine would let ask here. Pure.

A browser says with each request that a script makes where the script is from, and sends those that
need no leave of ours without asking for it. And whoever has a name may have it stand for this
machine once a page of his is loaded, so that the page is of this server to the browser: it asks for
the name then, which this server does not have.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

from quorate.errors import PermissionDenied
from quorate.foreign_text import quoted

_LOCAL = "localhost"


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


def check_host(host: str | None, names: Collection[str]) -> None:
    """Lets those ask who ask this machine, or one of the names that it is known by.

    Args:
        host: The header of that name; None where there is none.
        names: Known names beside addresses.

    Raises:
        PermissionDenied: It is another name.
    """
    if host is None:
        return
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        name = ""
    if name == _LOCAL or name.endswith(f".{_LOCAL}") or name in names or _is_address(name):
        return
    raise PermissionDenied(
        f"this server does not know itself as {quoted(host)}; add the name to http.hosts, or give "
        "callers keys"
    )


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
