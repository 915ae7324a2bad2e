"""The whole service, put together and run."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import (
    AsyncIterator,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    Sequence,
)
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from quorate.access.about import ServerFacts
from quorate.access.keys import KeyRing
from quorate.api.grpc.lifecycle import GrpcServer
from quorate.app.about import server_facts, start_lines
from quorate.app.accounts import open_recorder
from quorate.app.comparing import compare_as_they_come
from quorate.app.descriptors import with_room_for_models
from quorate.app.http import http_door
from quorate.app.interpreter import settle_interpreter
from quorate.app.knowledge import KnowledgeKeeper
from quorate.app.memory import memory_given_back
from quorate.app.probing import Prober
from quorate.app.registry import open_registry
from quorate.app.reloading import Living, Reloader, caller_limits
from quorate.app.remotes import open_remotes
from quorate.app.service_manager import ServiceManager
from quorate.app.signals import Signals
from quorate.app.sources import Sources
from quorate.app.telemetry import open_telemetry
from quorate.dispatch import Dispatcher
from quorate.engines.confinement.plan import Isolation
from quorate.engines.confinement.survey import survey
from quorate.engines.spec import EngineSpec
from quorate.engines.worker.engine import HostedEngine
from quorate.engines.worker.limits import WorkerLimits
from quorate.engines.worker.turns import Turns
from quorate.errors import QuorateError
from quorate.fleet.cores import CoreClaims, machine_cores
from quorate.fleet.fleet import Fleet
from quorate.guides.guides import Guides
from quorate.metering.open_meter import Host
from quorate.settings import Settings
from quorate.threads import beside_loop
from quorate_registry import Registry
from quorate_registry.store import owner_note

if TYPE_CHECKING:
    from quorate.api.http.server import HttpServer

_DAY_SECONDS = 86_400.0
_CLOSING_SECONDS = 30.0
"""How long workers and books may take to close when everything has drained."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Service:
    """A service that listens.

    Attributes:
        address: ``HOST:PORT`` it listens on.
        keys: Who may call.
        facts: What it tells of itself.
        notes: What its energy figures rest on, and what else it tells, in lines for people.
        metrics_address: ``HOST:PORT`` that metrics can be scraped from, or "".
        http: The HTTP door; None where none is configured.
    """

    fleet: Fleet
    dispatcher: Dispatcher
    server: GrpcServer
    address: str
    keys: KeyRing
    facts: ServerFacts
    notes: tuple[str, ...] = ()
    metrics_address: str = ""
    http: HttpServer | None = None

    @property
    def http_address(self) -> str:
        """``HOST:PORT`` of the HTTP door, or ""."""
        return "" if self.http is None else self.http.address


@asynccontextmanager
async def running(
    settings: Settings, registry: Registry | None = None, machine: Host | None = None
) -> AsyncIterator[Service]:
    """Runs the service for as long as the context lasts; models load in the background.

    Without a registry it is the user's; ``machine`` is as the energy meter sees it, else this one.

    Raises:
        SettingsError: The address cannot be listened on, the ledger cannot be opened, a secret
            that the configuration names is not there, or a model has options of another engine
            than it gets.
    """
    registry = registry or open_registry()
    keys = KeyRing(settings.keys)
    sources = Sources(registry)
    settings = replace(settings, models=sources.settled(settings.models))
    if note := owner_note(registry.home):
        _log.warning("%s", note)
    cores = machine_cores(pin=settings.fleet.pin_cores)
    guides = Guides(Isolation(secrets=_secrets(settings)))
    fleet = Fleet(_starter(settings), cores, sources.find, CoreClaims(), guides)
    for model in settings.models:
        fleet.add(sources.configured(model))
    async with AsyncExitStack() as stack:
        telemetry = await stack.enter_async_context(open_telemetry(settings))
        accounts = open_recorder(settings, fleet, registry.home, machine, telemetry.observers)
        recorder, energy = await stack.enter_async_context(accounts)
        stack.push_async_callback(fleet.close)
        remotes, price = await stack.enter_async_context(open_remotes(settings.remotes))
        keeper = KnowledgeKeeper(settings, registry.home)
        await keeper.read()
        dispatcher = Dispatcher(
            fleet,
            settings.dispatch,
            settings.profiles,
            settings.default_profile,
            recorder=recorder,
            routing=settings.routing,
            remotes=remotes,
            price=price,
            knowledge=keeper.knowledge,
            limits=caller_limits(settings.keys),
        )
        telemetry.watch(fleet, dispatcher)
        required = [model.id for model in settings.models if model.required]
        facts = await beside_loop(server_facts)
        grpc, http_room = with_room_for_models(settings.server, settings.http, len(settings.models))
        server = GrpcServer(dispatcher, fleet, grpc, keys, required, facts, telemetry.called)
        port = await server.start()
        stack.push_async_callback(server.stop)
        http = await stack.enter_async_context(
            http_door(http_room, dispatcher, fleet, keys, server, telemetry.called)
        )
        work = [*_work(settings, fleet, dispatcher), keeper.watch(), _watch_certificate(server)]
        await stack.enter_async_context(_background(work))
        host = settings.server.listen.rpartition(":")[0]
        yield Service(
            fleet,
            dispatcher,
            server,
            f"{host}:{port}",
            keys,
            facts,
            (*energy, *telemetry.lines),
            telemetry.metrics_address,
            http,
        )


def _work(
    settings: Settings, fleet: Fleet, dispatcher: Dispatcher
) -> Iterator[Coroutine[Any, Any, None]]:
    """What goes on in the background while the service listens."""
    for model in settings.models:
        if model.load:
            yield _load(fleet, model.id)
    yield compare_as_they_come(fleet)
    if settings.routing.probe:
        yield Prober(fleet, dispatcher).run()


async def _watch_certificate(server: GrpcServer) -> None:
    """Warns of a certificate that has expired or soon will, now and every day."""
    while server.certificates is not None:
        if server.certificates.problem:
            _log.warning("%s %s", server.certificates.path, server.certificates.problem)
        await asyncio.sleep(_DAY_SECONDS)


@asynccontextmanager
async def _background(work: Iterable[Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Runs these until the context ends."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def serve(
    settings: Settings,
    on_ready: Callable[[Service], None],
    load: Callable[[], Settings] | None = None,
    source: str = "",
    manager: ServiceManager | None = None,
) -> None:
    """Serves until SIGTERM or SIGINT, then drains; a second signal ends it at once.

    Args:
        settings: What is served.
        on_ready: Called once the address is listened on.
        load: Reads the settings anew at SIGHUP; None where they stand in no file.
        source: What the settings were read from, for the log.
        manager: Told of reloads and of the end, and that the event loop turns. That the start is
            over is told by whoever knows what was to be loaded.

    Raises:
        SettingsError: The address cannot be listened on.
    """
    manager = manager or ServiceManager()
    async with (
        _background([manager.keep_alive()]),
        running(settings) as service,
        memory_given_back(),
    ):
        settle_interpreter()
        signals = Signals()
        on_ready(service)
        addresses = service.address, service.http_address
        for line in start_lines(settings, service.facts, addresses, source):
            _log.info("%s", line)
        for line in (*service.notes, survey()):
            _log.info("%s", line)
        living = Living(service.dispatcher, service.server, service.keys, service.http)
        reloader = None if load is None else Reloader(settings, load, living)
        async with _background([_reload(signals, reloader, manager)]):
            await signals.first.wait()
        seconds = settings.server.drain_seconds
        draining = f"draining; running requests may end within {seconds:g} s"
        _log.info("%s", draining)
        manager.stopping(draining, seconds + _CLOSING_SECONDS)
        drained = asyncio.ensure_future(service.server.drain())
        hurry = asyncio.ensure_future(signals.second.wait())
        await asyncio.wait((drained, hurry), return_when=asyncio.FIRST_COMPLETED)
        for task in (drained, hurry):
            task.cancel()
        await asyncio.gather(drained, hurry, return_exceptions=True)


async def _reload(signals: Signals, reloader: Reloader | None, manager: ServiceManager) -> None:
    """Reads the configuration anew at every SIGHUP; one that comes meanwhile is one more."""
    while True:
        await signals.hangup.wait()
        signals.hangup.clear()
        manager.reloading()
        if reloader is None:
            _log.warning("SIGHUP: there is no configuration file to be read anew")
        else:
            await reloader.reload()
        manager.reloaded()


def _secrets(settings: Settings) -> frozenset[str]:
    """Variables of the environment that no process inherits."""
    return frozenset(
        {remote.api_key_env for remote in settings.remotes.values()}
        | {key.token_env for key in settings.keys.values()}
    )


def _starter(settings: Settings) -> Callable[[EngineSpec, Sequence[int]], HostedEngine]:
    """What starts a model in a worker process of its own, within the limits configured for it."""
    models = settings.models
    secrets = _secrets(settings)
    open_ones = {model.id for model in models if not model.sandbox}
    limits = {
        model.id: WorkerLimits(
            step_timeout_seconds=model.step_timeout_seconds,
            load_timeout_seconds=model.load_timeout_seconds,
            wedged_after_seconds=model.step_timeout_seconds / 4,
        )
        for model in models
    }

    turns = Turns()

    def start(spec: EngineSpec, cores: Sequence[int]) -> HostedEngine:
        isolation = Isolation(spec.model not in open_ones, secrets)
        engine = HostedEngine(
            spec, cores, limits=limits.get(spec.model), isolation=isolation, turns=turns
        )
        # Returns at once; the engine's ``watch`` tells when it is ready.
        engine.start()
        return engine

    return start


async def _load(fleet: Fleet, model: str) -> None:
    """Loads a model; one that fails is told of and leaves the others alone."""
    try:
        await fleet.load(model)
    except QuorateError as error:
        _log.error("%s", error.message)
