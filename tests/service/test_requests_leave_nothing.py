"""What calls leave behind in a server that has not collected its garbage for a while."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from quorate.client import Client, ServiceError
from support.dispatching import until
from support.service import Service, scripted_service

DEADLINE_SECONDS = 30.0
LONG = 100_000


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    models = {"alpha": {"say": "hello", "seed": 1, "context_length": LONG + 10}}
    async with scripted_service(models) as running:
        gc.collect()
        gc.disable()
        try:
            yield running
        finally:
            gc.enable()


def large_ones() -> int:
    """Texts and bytes of a large request that something refers to."""
    found = set()
    for thing in gc.get_objects():
        found |= {
            id(part)
            for part in gc.get_referents(thing)
            if isinstance(part, bytes | str) and len(part) >= LONG
        }
    return len(found)


async def refused(service: Service, **options: Any) -> None:
    async with Client(service.target) as client:
        with pytest.raises(ServiceError):
            await client.complete(**{"model": "alpha", "timeout": DEADLINE_SECONDS, **options})


async def a_name(service: Service) -> None:
    await refused(service, prompt="x", task="t" * LONG)


async def a_prompt(service: Service) -> None:
    await refused(service, prompt="p" * 2 * LONG)


async def a_prompt_for_nobody(service: Service) -> None:
    await refused(service, prompt="p" * LONG, model="nobody")


async def a_prompt_that_is_answered(service: Service) -> None:
    async with Client(service.target) as client:
        asked = {"model": "alpha", "max_tokens": 1, "timeout": DEADLINE_SECONDS}
        await client.complete("p" * LONG, **asked)


async def a_prompt_whose_time_is_up(service: Service) -> None:
    await refused(service, prompt="p" * LONG, timeout=0.05)


@pytest.mark.parametrize(
    "ask",
    [
        a_name,
        a_prompt,
        a_prompt_for_nobody,
        a_prompt_that_is_answered,
        a_prompt_whose_time_is_up,
    ],
)
async def test_a_call_leaves_nothing_of_its_request_to_the_garbage_collector(
    service: Service, ask: Callable[[Service], Awaitable[None]]
) -> None:
    before = large_ones()
    for _ in range(2):
        await ask(service)
    await until(lambda: large_ones() <= before)
