"""The page at ``/``: what it is sent with, and in a real browser a vote from empty to finished."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quorate.app.service import Service
from support.browser import CHROMIUM, Page, browser
from support.http_door import KEYS, TOKEN, connection, door, raw
from support.whole_service import scripted

in_chromium = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
MARKUP = "<script>window.broken = 1</script><b>bold</b>"
MODELS = (
    scripted("large", seed=1, say=f"{MARKUP} Red, yellow and blue.", step_delay_ms=5.0),
    scripted("small", seed=2, say=f"{MARKUP} Red, green and blue.", step_delay_ms=5.0),
)
COUNT_LOOKS = """
{
    window.looks = 0;
    const real = window.fetch;
    window.fetch = (path, options) => {
        if (path === "/quorate/overview") looks += 1;
        return real(path, options);
    };
}
"""
HOLD_LOOKS = """
{
    window.held = [];
    const real = window.fetch;
    window.fetch = (path, options) =>
        new Promise(done => held.push(() => done(real(path, options))));
}
"""
ANOTHER_MODEL = """
{
    const real = window.fetch;
    window.fetch = async (path, options) => {
        const told = await (await real(path, options)).json();
        told.models.push({ ...told.models[0], id: "new" });
        return new Response(JSON.stringify(told));
    };
}
"""


def get(path: str, **headers: str) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{lines}\r\n".encode()


async def answered(service: Service, request: bytes) -> tuple[str, str]:
    """Head and body of an answer that is no JSON."""
    async with connection(service) as (reader, writer):
        writer.write(request)
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    return head.decode(), body.decode()


async def watched(
    home: Path, watch: Callable[[Page, str], None], *models: dict[str, Any], **sections: Any
) -> None:
    """Has a browser look at a service, on a thread of its own."""
    async with door(home, *(models or MODELS), **sections) as (service, _):

        def look() -> None:
            with browser(home) as page:
                page.open(f"http://{service.http_address}/")
                watch(page, service.http_address)
                assert page.problems == []

        await asyncio.to_thread(look)


def ask(page: Page, **values: Any) -> None:
    """Asks, and waits for the answer and for the look at the models behind it."""
    for name, value in values.items():
        page.value(f"document.getElementById({name!r}).value = {json.dumps(value)}")
    page.value("document.getElementById('ask').click()")
    page.until("!document.getElementById('ask').disabled && !looking")


def give_key(page: Page, key: str) -> None:
    field = "document.getElementById('key')"
    page.value(f"{field}.value = {key!r}; {field}.dispatchEvent(new Event('change'))")


async def test_it_loads_nothing_from_elsewhere_and_nobody_may_frame_it(tmp_path: Path) -> None:
    async with door(tmp_path, keys=KEYS) as (service, _):
        head, body = await answered(service, get("/"))
    assert head.startswith("HTTP/1.1 200") and "text/html" in head
    policy = re.search("content-security-policy: (.*)\r", head, re.IGNORECASE)
    assert policy is not None
    assert "default-src 'none'" in policy[1] and "frame-ancestors 'none'" in policy[1]
    assert "unsafe" not in policy[1]
    assert not re.search(r"https?://|src=|@import|\son\w+=", body)


async def test_the_overview_is_for_who_has_a_key(tmp_path: Path) -> None:
    async with door(tmp_path, keys=KEYS) as (service, client):
        assert (await raw(service, get("/quorate/overview")))[0] == 401
        await client.completions.create(model="a", prompt="x", max_tokens=3)
        await service.dispatcher.recorder.flush()
        status, told = await raw(service, get("/quorate/overview", authorization=f"Bearer {TOKEN}"))
    assert status == 200
    assert [one["id"] for one in told["models"]] == ["a", "b"]
    assert {one["state"] for one in told["models"]} == {"ready"}
    assert told["spent_today"]["requests"] == 1
    assert told["spent_today"]["generated_tokens"] == 3


@in_chromium
async def test_a_vote_is_watched_from_empty_to_finished(tmp_path: Path) -> None:
    def watch(page: Page, _: str) -> None:
        page.until("document.getElementById('models').children.length === 2")
        assert page.value("document.getElementById('plan').value") == "vote"
        ask(page, temperature="0", tokens="100")
        text = page.value("document.getElementById('text').textContent")
        assert text.startswith(f"{MARKUP} Red, ")
        assert page.value("window.broken") is None
        assert page.value("document.querySelectorAll('#text b').length") == 0
        split = page.value("[...document.querySelectorAll('#text .split')].length")
        plain = page.value("[...document.querySelectorAll('#text span:not([class])')].length")
        assert split > 0 < plain
        assert "large 0.50 + small 0.50" in page.value("document.body.innerText")
        assert "tokens/s" in page.value("document.getElementById('models').innerText")
        # By key, word by word.
        page.value("document.getElementById('text').focus()")
        for _ in range(2):
            page.key("ArrowRight")
        assert page.value("document.querySelector('#text .at').dataset.index") == "1"
        votes = page.value("document.getElementById('votes').innerText")
        assert "large" in votes and "small" in votes and "%" in votes
        for width, height in ((1280, 900), (390, 844)):
            page.look(tmp_path / f"{width}.png", width, height)
            assert page.value("document.documentElement.scrollWidth") <= width

    await watched(tmp_path, watch)


@in_chromium
async def test_an_answer_is_stopped_by_key_and_its_request_ends(tmp_path: Path) -> None:
    endless = scripted("a", say="on and on " * 100, step_delay_ms=30.0)

    def watch(page: Page, _: str) -> None:
        page.until("document.getElementById('models').children.length === 1")
        page.value("document.getElementById('ask').click()")
        page.until("document.getElementById('text').children.length > 3")
        page.key("Escape")
        page.until("!document.getElementById('ask').disabled")
        assert "stopped" in page.value("document.getElementById('figures').innerText")
        page.until("fetch('/quorate/overview').then(r => r.json()).then(o => o.running === 0)")

    await watched(tmp_path, watch, endless)


@in_chromium
async def test_what_is_refused_is_told_in_a_line(tmp_path: Path) -> None:
    def watch(page: Page, _: str) -> None:
        page.until("document.getElementById('models').children.length === 2")
        page.value("document.querySelectorAll('#voters input').forEach(b => b.checked = false)")
        page.value("document.getElementById('ask').click()")
        page.until("!document.getElementById('error').hidden")
        assert "tick at least one" in page.value("document.getElementById('error').innerText")

    await watched(tmp_path, watch)


@in_chromium
async def test_what_has_the_focus_keeps_it_while_the_same_models_are_there(tmp_path: Path) -> None:
    def watch(page: Page, _: str) -> None:
        page.until("document.getElementById('models').children.length === 2")
        page.value(COUNT_LOOKS)
        page.value("document.querySelectorAll('#voters input')[1].focus()")
        page.value("window.box = document.activeElement, box.checked = false")
        page.value("window.choice = document.querySelector('#plan option'), true")
        page.until("looks > 0 && !looking")
        assert page.value("box.value") == "small"
        assert page.value("document.activeElement === box")
        assert page.value("choice === document.querySelector('#plan option')")
        page.value(ANOTHER_MODEL)
        page.value("look()")
        page.until("!looking")
        ticks = page.value("[...document.querySelectorAll('#voters input')].map(b => b.checked)")
        assert ticks == [True, False, True]

    await watched(tmp_path, watch)


@in_chromium
async def test_it_looks_again_only_once_it_has_its_answer(tmp_path: Path) -> None:
    def watch(page: Page, _: str) -> None:
        page.until("document.getElementById('models').children.length === 2 && !looking")
        page.value(HOLD_LOOKS)
        page.value("look(), look(), look(), lookUnasked(), true")
        assert page.value("held.length") == 1
        page.value("held[0]()")
        page.until("held.length > 1")
        assert page.value("looking")
        page.value("held[1]()")
        page.until("!looking")
        assert page.value("held.length") == 2

    await watched(tmp_path, watch)


@in_chromium
async def test_a_key_that_was_refused_is_not_tried_again(tmp_path: Path) -> None:
    async with door(tmp_path, *MODELS, keys=KEYS) as (service, _):

        def look() -> None:
            with browser(tmp_path) as page:
                page.open(f"http://{service.http_address}/")
                page.until("refused === '' && !looking")
                page.value(COUNT_LOOKS)
                page.value("lookUnasked(), look()")
                assert page.value("looks") == 0
                give_key(page, "a wrong one")
                page.until("refused === 'a wrong one' && !looking")
                page.value("lookUnasked(), look()")
                assert page.value("looks") == 1
                give_key(page, TOKEN)
                page.until("document.getElementById('models').children.length === 2 && !looking")
                page.value("lookUnasked()")
                page.until("looks > 2 && !looking")

        await asyncio.to_thread(look)


@in_chromium
async def test_where_keys_are_wanted_the_page_asks_for_one(tmp_path: Path) -> None:
    async with door(tmp_path, *MODELS, keys=KEYS) as (service, _):

        def look() -> None:
            with browser(tmp_path) as page:
                page.open(f"http://{service.http_address}/")
                page.until("!document.getElementById('keyrow').hidden")
                give_key(page, TOKEN)
                page.until("document.getElementById('models').children.length === 2")
                ask(page, tokens="5")
                assert page.value("document.getElementById('text').children.length") > 0

        await asyncio.to_thread(look)
