"""What the HTTP server shows clients."""

from __future__ import annotations

import ssl

from quorate.api.http.settings import HttpSettings
from quorate.errors import SettingsError


def tls_context(settings: HttpSettings) -> ssl.SSLContext | None:
    """How connections are secured; None without TLS.

    Raises:
        SettingsError: The files are no good.
    """
    if not settings.tls_certificate:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    load_certificate(context, settings)
    return context


def load_certificate(context: ssl.SSLContext, settings: HttpSettings) -> None:
    """Has connections that come from now on see the certificate of the settings.

    Raises:
        SettingsError: The files are no good.
    """
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key)
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        where = f"http.tls_certificate: {settings.tls_certificate}"
        raise SettingsError(f"{where} and its key cannot be used: {reason}") from None
