"""What speaks at an address that gRPC cannot be spoken with: TLS, or none, or HTTP/1."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl

from quorate.client.channel import host_and_port

_SECONDS = 2.0
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
_FRAME_HEADER_BYTES = 9
_SETTINGS = 4
_UNTRUSTED = re.compile(r"CERTIFICATE_VERIFY_FAILED: ([^:]+)")


def refused_certificate(details: str) -> str:
    """Why this side did not trust the other's certificate, by gRPC's own words; "" if it did."""
    found = _UNTRUSTED.search(details)
    if found:
        return found[1].strip()
    return "it is for another name" if "Hostname Verification Check failed" in details else ""


async def wrong_protocol(target: str, tls: bool) -> str:
    """What an address speaks instead of what was tried, and what to do; "" where that is not it.

    Args:
        target: The address, as gRPC takes it.
        tls: Whether TLS was tried.
    """
    place = host_and_port(target)
    if place is None:
        return ""
    host, port = place
    with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
        async with asyncio.timeout(_SECONDS):
            if not tls and await _speaks_tls(host, port):
                return "it speaks TLS; give its certificates (--tls-ca, or credentials of a client)"
            answer = await _answer(host, port)
            if answer.startswith(b"HTTP/1"):
                return "it speaks HTTP/1, and no gRPC; is that the right port?"
            if tls and answer[3:4] == bytes((_SETTINGS,)):
                return "it speaks plain text and no TLS; leave --tls-ca out, or the credentials"
    return ""


async def _speaks_tls(host: str, port: int) -> bool:
    # Nothing is sent that anybody could use: who it is does not matter here.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    try:
        _, writer = await asyncio.open_connection(host, port, ssl=context)
    except (ssl.SSLError, ConnectionResetError):
        return False
    writer.transport.abort()
    return True


async def _answer(host: str, port: int) -> bytes:
    """The first bytes that come back to the beginning of a plain HTTP/2 connection."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(_PREFACE)
        return await reader.readexactly(_FRAME_HEADER_BYTES)
    finally:
        writer.transport.abort()
