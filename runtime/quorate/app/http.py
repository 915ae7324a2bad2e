"""The HTTP door of a service, where its configuration asks for one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from quorate.access.keys import KeyRing
from quorate.access.record import ObserveCall
from quorate.api.grpc.lifecycle import GrpcServer
from quorate.api.http.settings import HttpSettings
from quorate.app.extras import need
from quorate.dispatch import Dispatcher
from quorate.fleet.fleet import Fleet

if TYPE_CHECKING:
    from quorate.api.http.server import HttpServer


@asynccontextmanager
async def http_door(
    settings: HttpSettings,
    dispatcher: Dispatcher,
    fleet: Fleet,
    keys: KeyRing,
    server: GrpcServer,
    observe: ObserveCall,
) -> AsyncIterator[HttpServer | None]:
    """Listens for as long as the context lasts; yields None where there is no door.

    Args:
        settings: Where it listens, if anywhere.
        dispatcher: Runs requests.
        fleet: Knows the models.
        keys: Who may call.
        server: The other door, with which calls are counted together.
        observe: Told of each request that ended.

    Raises:
        SettingsError: The address cannot be bound, the TLS files are no good, or the extra that it
            needs is not installed.
    """
    if not settings.listen:
        yield None
        return
    need("http.listen")
    from quorate.api.http.server import HttpServer

    door = HttpServer(
        dispatcher,
        fleet,
        settings,
        keys,
        server.open_calls,
        lambda: "the server is draining" if dispatcher.draining else server.problem,
        observe,
    )
    await door.start()
    try:
        yield door
    finally:
        await door.stop()
