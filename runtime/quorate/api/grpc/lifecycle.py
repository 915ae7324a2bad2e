"""From a bound port to the last word of the last stream."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from itertools import chain

import grpc
from grpc_channelz.v1 import channelz
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from quorate.access.about import ServerFacts
from quorate.access.keys import KeyRing
from quorate.access.record import ObserveCall
from quorate.api.grpc.accounting import AccountingServicer
from quorate.api.grpc.certificates import Certificates
from quorate.api.grpc.connections import Connections
from quorate.api.grpc.health import (
    ACCOUNTING_SERVICE,
    INFERENCE_SERVICE,
    MODEL_SERVICE,
    SERVER_SERVICE,
    HealthReporter,
)
from quorate.api.grpc.inference import InferenceServicer
from quorate.api.grpc.interceptor import RequestInterceptor
from quorate.api.grpc.listening import bind
from quorate.api.grpc.models import ModelServicer
from quorate.api.grpc.reading import RequestReader
from quorate.api.grpc.server import ServerServicer
from quorate.api.grpc.settings import STANDARD_SERVICES, ServerSettings
from quorate.api.grpc.strangers import Strangers, connected_peers
from quorate.api.grpc.transport import server_options
from quorate.api.open_calls import OpenCalls
from quorate.dispatch import Dispatcher
from quorate.fleet.fleet import Fleet
from quorate.v1 import (
    accounting_pb2_grpc,
    inference_pb2_grpc,
    models_pb2_grpc,
    server_pb2_grpc,
)

# Between the end of a request and the moment its last bytes have left.
_LAST_WORDS_SECONDS = 0.5


class GrpcServer:
    """The server of the gRPC API.

    Start it once; ``drain`` and ``stop`` may be called at any time, more than once. Signals are
    the caller's business. Without keys everybody may call. Health is red while a model of
    ``required`` is not ready. ``observe`` is told of each call that ended.

    Attributes:
        certificates: What it shows clients, once it listens; None without TLS.
        strangers: Takes what the transport says of clients that speak something else.
        open_calls: Of each caller; calls of other doors count with them.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        fleet: Fleet,
        settings: ServerSettings,
        keys: KeyRing | None = None,
        required: Collection[str] = (),
        facts: ServerFacts | None = None,
        observe: ObserveCall = lambda *_: None,
    ) -> None:
        self._dispatcher = dispatcher
        self._keys = keys or KeyRing({})
        self._settings = settings
        self._fleet = fleet
        self._reader = RequestReader(dispatcher.turns.enter)
        self._health = HealthReporter(fleet, dispatcher, settings.health_interval_seconds, required)
        self._facts = facts or ServerFacts()
        opened = (STANDARD_SERVICES[name] for name in settings.open_services)
        self.strangers = Strangers(bool(settings.tls_certificate), connected_peers)
        self._connections = Connections(settings.max_connections, settings.stall_seconds)
        self.open_calls = OpenCalls(settings.max_calls)
        self._interceptor = RequestInterceptor(
            self._keys,
            settings,
            self._connections,
            self.open_calls,
            self._reader,
            dispatcher.turns,
            dispatcher.caller,
            list(chain.from_iterable(opened)),
            self.strangers.called,
            observe,
        )
        self._watch: asyncio.Task[None] | None = None
        self.certificates: Certificates | None = None
        self._server: grpc.aio.Server | None = None

    async def start(self) -> int:
        """Listens and serves.

        Returns:
            The port, which is the one chosen by the system where the settings say 0.

        Raises:
            SettingsError: The address cannot be bound, or the TLS files are no good.
        """
        server = grpc.aio.server(
            interceptors=[self._interceptor], options=server_options(self._settings)
        )
        self._add_services(server)
        self.certificates = self._certificates()
        port = bind(server, self._settings, self.certificates)
        await self._health.start()
        await server.start()
        self._watch = asyncio.create_task(self._connections.watch(port), name="connections")
        self._server = server
        return port

    def replace_certificate(self, path: str, pair: tuple[bytes, bytes]) -> None:
        """Shows new connections another certificate, from ``read_pair``, where there is TLS."""
        if self.certificates is not None:
            self.certificates.replace(path, pair)

    @property
    def problem(self) -> str:
        """Why the service is not healthy, or ""."""
        return self._health.problem

    def set_required(self, required: Collection[str]) -> None:
        """Health is red while one of these models is not ready."""
        self._health.required = tuple(required)

    async def drain(self) -> bool:
        """Takes no new requests and waits for the running ones, at most ``drain_seconds``.

        Meanwhile the server still listens: new requests are told that it drains, and health is red.

        Returns:
            Whether all requests ended in time.
        """
        await self._health.drain()
        return await self._dispatcher.drain(self._settings.drain_seconds)

    async def stop(self) -> None:
        """Closes the port at once, and ends what is still running: its callers are told why."""
        if self._server is None:
            return
        server, self._server = self._server, None
        await self._health.stop()
        if self._watch is not None:
            self._watch.cancel()
        stopped = asyncio.ensure_future(server.stop(_LAST_WORDS_SECONDS))
        # Once the port takes no further calls, so that none begins unseen.
        await asyncio.sleep(0)
        self._interceptor.end_all()
        await stopped
        self._reader.close()

    def _certificates(self) -> Certificates | None:
        certificate, key = self._settings.tls_certificate, self._settings.tls_key
        return Certificates(certificate, key) if certificate else None

    def _add_services(self, server: grpc.aio.Server) -> None:
        inference_pb2_grpc.add_InferenceServiceServicer_to_server(  # type: ignore[no-untyped-call]
            InferenceServicer(self._dispatcher, self._reader), server
        )
        models_pb2_grpc.add_ModelServiceServicer_to_server(  # type: ignore[no-untyped-call]
            ModelServicer(self._fleet, self._settings.unload_seconds), server
        )
        accounting_pb2_grpc.add_AccountingServiceServicer_to_server(  # type: ignore[no-untyped-call]
            AccountingServicer(self._dispatcher.recorder), server
        )
        server_pb2_grpc.add_ServerServiceServicer_to_server(  # type: ignore[no-untyped-call]
            ServerServicer(self._dispatcher, self._health, self._facts, self._settings, self._keys),
            server,
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health.servicer, server)
        if self._settings.channelz:
            channelz.add_channelz_servicer(server)
        if self._settings.reflection:
            reflection.enable_server_reflection(_service_names(self._settings), server)


def _service_names(settings: ServerSettings) -> list[str]:
    names = [
        INFERENCE_SERVICE,
        MODEL_SERVICE,
        ACCOUNTING_SERVICE,
        SERVER_SERVICE,
        health.SERVICE_NAME,
        reflection.SERVICE_NAME,
    ]
    if settings.channelz:
        names.extend(STANDARD_SERVICES["channelz"])
    return names
