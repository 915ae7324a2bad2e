"""The servicer of ``ServerService``."""

from __future__ import annotations

from typing import Any, TypeAlias

import grpc

from quorate.access.about import ServerFacts
from quorate.access.keys import KeyRing
from quorate.api.grpc.health import HealthReporter
from quorate.api.grpc.settings import ServerSettings
from quorate.api.grpc.translation.server import field_limits, profile_messages, server_message
from quorate.dispatch import Dispatcher
from quorate.v1 import server_pb2, server_pb2_grpc

_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class ServerServicer(server_pb2_grpc.ServerServiceServicer):
    """Tells what the server is. Everybody who may call sees it, as everybody sees the models."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        health: HealthReporter,
        facts: ServerFacts,
        settings: ServerSettings,
        keys: KeyRing,
    ) -> None:
        self._dispatcher = dispatcher
        self._health = health
        self._facts = facts
        self._settings = settings
        self._keys = keys

    async def GetServer(  # noqa: N802 - the name is the RPC's
        self, request: server_pb2.GetServerRequest, context: _Context
    ) -> server_pb2.GetServerResponse:
        """Tells version, engines, machine, limits, and what goes on."""
        dispatcher, admission = self._dispatcher, self._dispatcher.admission
        server = server_message(self._facts)
        server.limits.extend(field_limits(self._settings.max_message_bytes))
        server.running, server.waiting = dispatcher.running, dispatcher.waiting
        server.max_running, server.max_waiting = admission.max_running, admission.max_waiting
        server.draining = dispatcher.draining
        server.problem = self._health.problem
        server.tls = bool(self._settings.tls_certificate)
        server.keys = self._keys.wanted
        return server_pb2.GetServerResponse(server=server)

    async def ListProfiles(  # noqa: N802 - the name is the RPC's
        self, request: server_pb2.ListProfilesRequest, context: _Context
    ) -> server_pb2.ListProfilesResponse:
        """Lists every profile with its plan, and why it cannot run."""
        dispatcher = self._dispatcher
        return server_pb2.ListProfilesResponse(
            profiles=profile_messages(
                dispatcher.profiles, dispatcher.profiles_down(), dispatcher.default_profile
            )
        )
