"""Real servers on free ports, over real or fake dispatchers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from quorate.access.keys import KeyRing
from quorate.api.grpc.lifecycle import GrpcServer
from quorate.api.grpc.settings import ServerSettings
from quorate.client import Client, ServiceError
from quorate.dispatch import Dispatcher, DispatchSettings
from quorate.fleet.fleet import Fleet
from quorate.request import Plan
from support.managed_engines import Cast, loaded_fleet
from support.streams import refused

DEADLINE_SECONDS = 30.0

TWO_MODELS: dict[str, dict[str, Any]] = {
    "alpha": {"say": "hello world", "seed": 1},
    "beta": {"say": "hello there", "seed": 2},
}


@dataclass
class Service:
    """A server that runs, and what is behind it."""

    server: GrpcServer
    port: int
    fleet: Fleet
    cast: Cast
    dispatcher: Any

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    def client(self) -> Client:
        return Client(self.target)

    async def refusal(self, **options: Any) -> ServiceError:
        """What a request for text is answered with."""
        async with self.client() as client:
            asked = {"prompt": "x", "timeout": DEADLINE_SECONDS, **options}
            return await refused(client.complete(**asked))


@asynccontextmanager
async def service_over(
    dispatcher: Any,
    fleet: Fleet,
    cast: Cast,
    required: Sequence[str] = (),
    keys: KeyRing | None = None,
    **settings: Any,
) -> AsyncIterator[Service]:
    """A server over this dispatcher on a free port, stopped at the end."""
    values = {"listen": "127.0.0.1:0", "health_interval_seconds": 0.01, **settings}
    server = GrpcServer(
        dispatcher, fleet, ServerSettings.from_mapping(values, "server"), keys, required
    )
    port = await server.start()
    try:
        yield Service(server, port, fleet, cast, dispatcher)
    finally:
        await server.stop()
        await fleet.close()


@asynccontextmanager
async def scripted_service(
    models: dict[str, dict[str, Any]] | None = None,
    *,
    limits: DispatchSettings | None = None,
    profiles: dict[str, Plan] | None = None,
    default_profile: str = "",
    required: Sequence[str] = (),
    **settings: Any,
) -> AsyncIterator[Service]:
    """A server over the real dispatcher and scripted models inside the event loop, all loaded."""
    cast = Cast()
    fleet = await loaded_fleet(cast, **(TWO_MODELS if models is None else models))
    dispatcher = Dispatcher(fleet, limits or DispatchSettings(), profiles, default_profile)
    async with service_over(dispatcher, fleet, cast, required, **settings) as service:
        yield service


@asynccontextmanager
async def fake_service(dispatcher: Any, **settings: Any) -> AsyncIterator[Service]:
    """A server over a fake dispatcher, with two loaded models beside it."""
    cast = Cast()
    fleet = await loaded_fleet(cast, **TWO_MODELS)
    async with service_over(dispatcher, fleet, cast, **settings) as service:
        yield service
