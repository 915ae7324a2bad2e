"""Which addresses a remote may have."""

from __future__ import annotations

from urllib.parse import urlsplit

from quorate.errors import SettingsError
from quorate.options import is_loopback


def check_base_url(url: str, key: str, insecure: bool) -> None:
    """Checks an address that requests will be sent to.

    Args:
        url: The address.
        key: Name of the setting, for messages.
        insecure: Whether plain HTTP may leave this machine.

    Raises:
        SettingsError: Not an HTTP address, one that carries credentials, a query or a fragment, or
            plain HTTP to a host other than loopback. The message does not repeat the address
            where it may hold a secret.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise SettingsError(f"{key}: is not an address") from None
    if parts.scheme not in ("http", "https") or not host or port == 0:
        raise SettingsError(f"{key}: must be http://HOST/PATH or https://HOST/PATH")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise SettingsError(f"{key}: has characters that no address has")
    if parts.username is not None or parts.password is not None:
        raise SettingsError(f"{key}: must hold no credentials; name their variable in api_key_env")
    if parts.query or parts.fragment:
        raise SettingsError(f"{key}: must end with the path, without ? or #")
    if parts.scheme == "http" and not insecure and not is_loopback(host):
        raise SettingsError(
            f"{key}: {host} would be spoken to without TLS; use https, or say insecure"
        )


def host_and_port(url: str) -> str:
    """``HOST:PORT`` of an address that was checked, for messages."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{host}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
