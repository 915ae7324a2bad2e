"""The standard health service, of which no watcher can hold up the others.

The one that comes with gRPC writes to a watcher while it holds the lock under which states change:
one that stops reading keeps them from changing, for everybody and for ever.
"""

from __future__ import annotations

import asyncio
from typing import Any, TypeAlias

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
_Response = health_pb2.HealthCheckResponse


class HealthServicer(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """Tells whether services serve, and watchers when that changes."""

    def __init__(self) -> None:
        self._states: dict[str, int] = {"": _Response.SERVING}
        self._ended = False
        self._changed = asyncio.Event()

    def set(self, service: str, serving: bool) -> None:
        """Notes whether a service serves; changes nothing any more after the end."""
        if not self._ended:
            self._set(service, _Response.SERVING if serving else _Response.NOT_SERVING)

    def end(self) -> None:
        """From here on nothing serves, for good."""
        self._ended = True
        for service in self._states:
            self._set(service, _Response.NOT_SERVING)

    async def Check(  # noqa: N802 - the name is the RPC's
        self, request: health_pb2.HealthCheckRequest, context: _Context
    ) -> health_pb2.HealthCheckResponse:
        """Tells of a service now."""
        state = self._states.get(request.service)
        if state is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such service, model or profile")
        return _Response(status=state)

    async def Watch(  # noqa: N802 - the name is the RPC's
        self, request: health_pb2.HealthCheckRequest, context: _Context
    ) -> None:
        """Tells of a service now and at each change; a slow reader misses what was between."""
        told = None
        while True:
            changed = self._changed
            state = self._states.get(request.service, _Response.SERVICE_UNKNOWN)
            if state != told:
                await context.write(_Response(status=state))
                told = state
            await changed.wait()

    def _set(self, service: str, state: int) -> None:
        if self._states.get(service) == state:
            return
        self._states[service] = state
        # Each event is of one change, so that nobody has to take it back.
        self._changed.set()
        self._changed = asyncio.Event()
