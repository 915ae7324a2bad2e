"""A remote that is opened on a server of the test, with time that the test controls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from quorate.errors import RemoteFailed
from quorate.remotes import (
    BreakerPolicy,
    Remote,
    RemoteEnd,
    RemoteRequest,
    RemoteSettings,
    RemoteText,
    Timing,
)
from quorate.request import ChatPrompt, Message
from support.faulty_remote import Answer, FaultyRemote, faulty_remote

DEADLINE_SECONDS = 60.0
KEY = "sk-secret-0123456789"
QUESTION = "Where did the secretive otter hide its treasure?"
CHAT = ChatPrompt((Message("system", "Be brief."), Message("user", QUESTION)))


class Hours:
    """Time that passes only when somebody sleeps; jitter is at its largest."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []
        self.timing = Timing(
            clock=lambda: self.now,
            wall_clock=lambda: 1_700_000_000.0 + self.now,
            sleep=self._sleep,
            draw=lambda: 1.0,
        )

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@asynccontextmanager
async def opened(
    base_url: str, hours: Hours | None = None, policy: BreakerPolicy | None = None, **settings: Any
) -> AsyncIterator[Remote]:
    """Opens a remote named ``far``, which has a key, and closes it."""
    table = {"base_url": base_url, "model": "big", "api_key_env": "BIG_KEY", **settings}
    checked = RemoteSettings.from_mapping(table, "remotes.far")
    remote = Remote("far", checked, {"BIG_KEY": KEY}, policy, (hours or Hours()).timing)
    try:
        yield remote
    finally:
        await remote.close()


@asynccontextmanager
async def remote_that(
    *script: Answer,
    hours: Hours | None = None,
    policy: BreakerPolicy | None = None,
    **settings: Any,
) -> AsyncIterator[tuple[FaultyRemote, Remote]]:
    """A server that gives these answers, as ``faulty_remote``, and a remote opened on it."""
    async with (
        faulty_remote(*script) as server,
        opened(server.base_url, hours, policy, **settings) as remote,
    ):
        yield server, remote


def asked(**fields: Any) -> RemoteRequest:
    """A request for a short chat answer, with these fields set otherwise."""
    return RemoteRequest(**{"prompt": CHAT, "max_tokens": 16, **fields})


async def answered(remote: Remote, request: RemoteRequest | None = None) -> tuple[str, RemoteEnd]:
    """The whole text and the end."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        *texts, end = [item async for item in remote.generate(request or asked())]
    assert isinstance(end, RemoteEnd)
    return "".join(item.text for item in texts if isinstance(item, RemoteText)), end


async def failed(
    remote: Remote, request: RemoteRequest | None = None
) -> tuple[RemoteFailed, list[str]]:
    """The failure, and the texts that came before it."""
    texts: list[str] = []
    with pytest.raises(RemoteFailed) as caught:
        async with asyncio.timeout(DEADLINE_SECONDS):
            async for item in remote.generate(request or asked()):
                texts.append(item.text if isinstance(item, RemoteText) else "THE END")
    assert_one_harmless_line(caught.value.message)
    return caught.value, texts


def assert_one_harmless_line(message: str) -> None:
    """A message of a remote is one printable line without key, prompt and traceback."""
    assert message.startswith("remote far: ")
    assert message.isprintable()
    assert len(message) < 320
    for secret in (KEY, KEY[:8], "otter", "Be brief", "Traceback"):
        assert secret not in message
