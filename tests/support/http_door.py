"""The HTTP API over a real port, and raw sockets to ask there."""

from __future__ import annotations

import asyncio
import hashlib
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import openai

from quorate.app.service import Service
from support.whole_service import scripted, whole_service

SAY = "the quick brown fox jumps over the lazy dog and runs away"
TOKEN = "token-of-alice-5f1c"
KEYS = {"alice": {"sha256": hashlib.sha256(TOKEN.encode()).hexdigest()}}
HI: list[Any] = [{"role": "user", "content": "hi"}]
DEADLINE_SECONDS = 60.0


@asynccontextmanager
async def door(
    home: Path, *models: dict[str, Any], http: dict[str, Any] | None = None, **sections: Any
) -> AsyncIterator[tuple[Service, openai.AsyncOpenAI]]:
    every = {
        "http": {"listen": "127.0.0.1:0", **(http or {})},
        "routing": {"probe": False, "exploration": 0.0},
        **sections,
    }
    models = models or (scripted("a", say=SAY, seed=1), scripted("b", say=SAY, seed=2))
    token = TOKEN if "keys" in sections else None
    async with whole_service(home, *models, sections=every, token=token) as (service, _):
        client = openai.AsyncOpenAI(
            base_url=f"http://{service.http_address}/v1", api_key=TOKEN, max_retries=0
        )
        async with client, asyncio.timeout(DEADLINE_SECONDS):
            yield service, client


@asynccontextmanager
async def connection(
    service: Service, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    host, _, port = service.http_address.rpartition(":")
    name = None if tls is None else "localhost"
    reader, writer = await asyncio.open_connection(host, int(port), ssl=tls, server_hostname=name)
    try:
        yield reader, writer
    finally:
        writer.close()


async def raw(
    service: Service, request: bytes, tls: ssl.SSLContext | None = None
) -> tuple[int, dict[str, Any]]:
    """Status and body of what answers these bytes."""
    async with connection(service, tls) as (reader, writer):
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        status = int(head.split()[1])
        (length,) = [
            int(line.split(b":")[1])
            for line in head.lower().splitlines()
            if line.startswith(b"content-length")
        ]
        return status, json.loads(await reader.readexactly(length))


def post(path: str, body: bytes, *headers: str, length: int | None = None) -> bytes:
    lines = [
        f"POST {path} HTTP/1.1",
        "host: localhost",
        f"content-length: {length or len(body)}",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def idle(service: Service) -> None:
    while service.dispatcher.running or service.dispatcher.waiting:
        await asyncio.sleep(0.01)
