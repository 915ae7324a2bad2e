"""A service with a local model and a remote, and requests that no local plan is good enough for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from quorate.app.service import Service
from quorate.client import Client
from quorate.v1 import plan_pb2
from support.faulty_remote import Answer, FaultyRemote, faulty_remote
from support.streams import Stream, answer
from support.whole_service import scripted, whole_service

SAY = "the quick brown fox jumps over the lazy dog and runs away"
OVER_ENERGY = {"energy_joules": 1e-9}
"""A cap that nothing local keeps, once it is known what an answer takes."""

INPUT_USD = 3e-6
OUTPUT_USD = 15e-6
DEADLINE_SECONDS = 60.0


def chat(text: str = "Say it.") -> list[tuple[str, str]]:
    """A conversation of one message."""
    return [("user", text)]


def most_prompt_tokens(text: str) -> int:
    """Tokens that ``chat(text)`` has at most, as a reservation counts them."""
    return len(text.encode()) + len("user") + 8 + 64


def far(base_url: str, **settings: Any) -> dict[str, Any]:
    """A ``[remotes.NAME]`` table with prices; further settings go over it."""
    table = {
        "base_url": base_url,
        "model": "big",
        "input_usd_per_mtok": INPUT_USD * 1e6,
        "output_usd_per_mtok": OUTPUT_USD * 1e6,
        **settings,
    }
    return {name: value for name, value in table.items() if value is not None}


@asynccontextmanager
async def service_with_remote(
    home: Path,
    remote: Mapping[str, Any],
    *,
    model: Mapping[str, Any] | None = None,
    routing: Mapping[str, Any] | None = None,
    sections: Mapping[str, Any] | None = None,
    **server: Any,
) -> AsyncIterator[tuple[Service, Client]]:
    """A service over the local model ``a`` and the remote ``far``; it is known what ``a`` takes.

    Args:
        home: Home of the registry.
        remote: The remote's table.
        model: Options of the model.
        routing: Further keys of the section ``routing``.
        sections: Further sections.
        **server: Keys of the section ``server``.
    """
    given = {
        "routing": {"probe": False, "exploration": 0.0, **(routing or {})},
        "remotes": {"far": dict(remote)},
        **(sections or {}),
    }
    local = scripted("a", say=SAY, **(model or {}))
    async with whole_service(home, local, sections=given, **server) as (service, client):
        await learn_energy(client)
        yield service, client


@asynccontextmanager
async def place_with_remote(
    home: Path, *script: Answer, settings: Mapping[str, Any] | None = None, **service: Any
) -> AsyncIterator[tuple[FaultyRemote, Client]]:
    """A remote that gives these answers, and a client of a service that may ask it.

    Args:
        settings: Of the remote, over those of ``far``.
        **service: As for ``service_with_remote``.
    """
    async with (
        faulty_remote(*script) as remote,
        service_with_remote(home, far(remote.base_url, **(settings or {})), **service) as (
            _,
            client,
        ),
    ):
        yield remote, client


def ask_far(client: Client, request_id: str = "", text: str = "Say it.", **options: Any) -> Stream:
    """A greedy request that no local plan is good enough for, read in the background."""
    asked = {"messages": chat(text), "temperature": 0.0, "request_id": request_id}
    return Stream(client, None, **asked, **OVER_ENERGY, **options)


async def learn_energy(client: Client, model: str = "a") -> None:
    """Asks a model until it is known what an answer takes."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not await _energy_is_known(client, model):
            await answer(client, "teach", model=model, temperature=0.0)


def candidate(decision: plan_pb2.Decision, name: str) -> plan_pb2.Candidate:
    """What a decision says of one plan."""
    (found,) = [one for one in decision.candidates if one.name == name]
    return found


def clauses(decision: plan_pb2.Decision, name: str) -> list[int]:
    """Everything that spoke against one plan."""
    return [rejection.clause for rejection in candidate(decision, name).rejections]


async def _energy_is_known(client: Client, model: str) -> bool:
    decision = await client.explain("", model=model)
    return decision.candidates[0].HasField("joules")
