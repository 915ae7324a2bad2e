"""Pages of other sites, which a browser on this machine would let ask here. Pure.

A browser says with each request that a script makes where the script is from, and sends those that
need no leave of ours without asking for it. And whoever has a name may have it stand for this
machine once a page of his is loaded, so that the page is of this server to the browser: it asks for
the name then, which this server does not have. Other sites may be named that may ask nevertheless.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

from quorate.errors import PermissionDenied
from quorate.foreign_text import quoted

ANY_ORIGIN = "*"

_LOCAL = "localhost"
_MOST_HEADERS_CHARACTERS = 1024
_PREFLIGHT_SECONDS = 600


def named_origin(origin: str | None, origins: Collection[str], keys: bool) -> str:
    """The site of a page that is named among those that may ask; "" for none.

    Args:
        origin: The header of that name.
        origins: Sites that may ask, or ``ANY_ORIGIN``.
        keys: Whether callers need a key, without which no more than named sites may ask.
    """
    if origin is None or not origin.isprintable():
        return ""
    anybody = keys and ANY_ORIGIN in origins
    return origin if anybody or origin.lower() in origins else ""


def page_headers(origin: str) -> Mapping[str, str]:
    """What has a browser hand an answer to a page of this site; nothing where it is "".

    No cookie counts here, so that none is asked for.
    """
    if not origin:
        return {}
    return {
        "access-control-allow-origin": origin,
        "access-control-expose-headers": "x-request-id, request-id, retry-after",
        "vary": "origin",
    }


def preflight_headers(asked: str | None) -> Mapping[str, str]:
    """What a browser is told that asks beforehand, for a request with these headers."""
    allowed = {"access-control-allow-headers": (asked or "")[:_MOST_HEADERS_CHARACTERS]}
    return {
        "access-control-allow-methods": "GET, POST",
        **(allowed if asked else {}),
        # A page of the web asks a machine that is none of it.
        "access-control-allow-private-network": "true",
        "access-control-max-age": str(_PREFLIGHT_SECONDS),
    }


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
    known = any(name == one.lower() for one in names)
    if name == _LOCAL or name.endswith(f".{_LOCAL}") or known or _is_address(name):
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
