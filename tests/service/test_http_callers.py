"""Whom the HTTP API answers: keys, pages of other sites, how much one caller may have."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import openai
import pytest

from quorate.api.pace import Pace
from quorate.app.service import Service
from support.http_door import KEYS, SAY, TOKEN, connection, door, post, raw
from support.whole_service import scripted


async def test_whoever_has_no_key_learns_nothing_but_health(tmp_path: Path) -> None:
    async with door(tmp_path, keys=KEYS) as (service, client):
        assert (await client.completions.create(model="a", prompt="x", max_tokens=2)).choices
        stranger = client.with_options(api_key="wrong")
        with pytest.raises(openai.AuthenticationError):
            await stranger.completions.create(model="a", prompt="x")
        with pytest.raises(openai.AuthenticationError):
            await stranger.models.list()
        for path in ("/v1/nothing", "/v1/models"):
            status, _ = await raw(
                service, f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()
            )
            assert status == 401
        health = await raw(service, b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert health == (200, {"status": "ok"})


async def test_pages_of_other_sites_may_not_ask(tmp_path: Path) -> None:
    body = json.dumps({"model": "a", "prompt": "x", "max_tokens": 1}).encode()
    async with door(tmp_path) as (service, _):
        evil = post("/v1/completions", body, "origin: http://evil.example")
        status, told = await raw(service, evil)
        assert (status, told["error"]["code"]) == (403, "permission_denied")
        status, _ = await raw(service, post("/v1/completions", body, "origin: http://localhost"))
        assert status == 200
        # A name that was made to stand for this machine, so that the page is of this server.
        rebound = post("/v1/completions", body, "origin: http://evil.example")
        rebound = rebound.replace(b"host: localhost", b"host: evil.example")
        status, told = await raw(service, rebound)
        assert (status, told["error"]["code"]) == (403, "permission_denied")


async def test_pages_of_sites_that_are_named_may_ask(tmp_path: Path) -> None:
    site = "https://chat.example"
    body = json.dumps({"model": "a", "prompt": "x", "max_tokens": 1}).encode()
    key = f"authorization: Bearer {TOKEN}"

    async def headers(service: Service, request: bytes) -> tuple[int, dict[str, str]]:
        async with connection(service) as (reader, writer):
            writer.write(request)
            first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
            return int(first.split()[1]), dict(line.lower().split(": ", 1) for line in lines)

    def preflight(origin: str) -> bytes:
        asked = ("access-control-request-method: POST", "access-control-request-headers: x-a, b")
        request = post("/v1/completions", b"", f"origin: {origin}", *asked)
        return request.replace(b"POST /", b"OPTIONS /")

    async with door(tmp_path, http={"origins": [site]}, keys=KEYS) as (service, _):
        status, told = await headers(service, preflight(site))
        assert (status, told["access-control-allow-origin"]) == (200, site)
        assert told["access-control-allow-headers"] == "x-a, b"
        status, told = await headers(service, post("/v1/completions", body, f"origin: {site}", key))
        assert (status, told["access-control-allow-origin"], told["vary"]) == (200, site, "origin")
        # An error can be read by the page as well, and the key is needed as ever.
        status, told = await headers(service, post("/v1/completions", body, f"origin: {site}"))
        assert (status, told["access-control-allow-origin"]) == (401, site)
        other = "https://other.example"
        status, told = await headers(service, preflight(other))
        assert status == 403 and "access-control-allow-origin" not in told
        status, told = await headers(
            service, post("/v1/completions", body, f"origin: {other}", key)
        )
        assert status == 403 and "access-control-allow-origin" not in told


async def test_one_caller_may_have_so_many_calls_open_over_both_doors(tmp_path: Path) -> None:
    slow = scripted("slow", say=SAY * 100, step_delay_ms=20.0)
    async with door(tmp_path, slow, keys=KEYS) as (service, client):
        calls = service.server.open_calls
        with ExitStack() as held:
            for _ in range(1024):
                held.enter_context(calls.one("key alice"))
            with pytest.raises(openai.RateLimitError, match="calls open"):
                await client.completions.create(model="slow", prompt="x", max_tokens=2)
        told = await client.completions.create(model="slow", prompt="x", max_tokens=2)
        assert told.choices


async def test_answers_that_a_key_can_never_have_at_once_are_refused_before_one_begins(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keys = {"alice": {**KEYS["alice"], "max_requests": 2}}
    caplog.set_level(logging.INFO, "quorate.requests")
    async with door(tmp_path, keys=keys) as (_, client):
        ask = client.completions.create
        for stream in (False, True):
            with pytest.raises(openai.BadRequestError, match="2 requests at once") as refused:
                await ask(model="a", prompt="x", n=3, stream=stream)
            assert refused.value.param == "n"
        named: Any = {"quorate": {"request_id": "mine"}}
        told = await ask(model="a", prompt="x", n=2, max_tokens=3, extra_body=named)
        assert told.id == "cmpl-mine"
        line: Any = caplog.records[-1]
        assert line.fields["request_id"] == "mine"
        assert line.fields["tokens"] == 6


async def test_thousands_of_wrong_keys_keep_nobody_who_has_one_from_an_answer(
    tmp_path: Path,
) -> None:
    body = json.dumps({"model": "a", "prompt": "x", "max_tokens": 1}).encode()
    wrong = post("/v1/completions", body, "authorization: Bearer wrong")
    async with door(tmp_path, keys=KEYS) as (service, client):
        knocks = 0

        async def knock() -> None:
            nonlocal knocks
            while True:
                async with connection(service) as (_, writer):
                    writer.write(wrong * 50)
                    await writer.drain()
                    knocks += 50

        knocking = [asyncio.ensure_future(knock()) for _ in range(10)]
        try:
            while knocks < 10_000:
                told = await client.completions.create(model="a", prompt="x", max_tokens=2)
                assert told.usage is not None and told.usage.completion_tokens == 2
        finally:
            await cancelled(knocking)
        status, told_wrong = await raw(service, wrong)
        assert (status, told_wrong["error"]["code"]) == (401, "unauthenticated")


async def test_who_is_refused_and_leaves_before_it_is_told_so_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pace, "delay_seconds", lambda self, caller: 1e6)
    wrong = post("/v1/completions", b"{}", "authorization: Bearer wrong")
    async with door(tmp_path, keys=KEYS) as (service, _):
        async with connection(service) as (_, writer):
            writer.write(wrong)
            while not open_calls(service):
                await asyncio.sleep(0.01)
        while open_calls(service):
            await asyncio.sleep(0.01)


def open_calls(service: Service) -> int:
    return service.server.open_calls._open.total()


async def cancelled(tasks: list[asyncio.Future[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
