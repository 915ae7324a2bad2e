"""The whole service, put together and run."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from quorate.access.keys import KeyRing
from quorate.api.grpc.lifecycle import GrpcServer
from quorate.app.accounts import open_recorder
from quorate.app.knowledge import KnowledgeKeeper
from quorate.app.probing import Prober
from quorate.app.registry import open_registry
from quorate.app.remotes import open_remotes
from quorate.app.sources import Sources
from quorate.dispatch import Dispatcher
from quorate.engines.spec import EngineSpec
from quorate.engines.worker.engine import HostedEngine
from quorate.engines.worker.limits import WorkerLimits
from quorate.errors import QuorateError
from quorate.fleet.cores import CoreClaims, machine_cores
from quorate.fleet.fleet import Fleet
from quorate.metering.open_meter import Host
from quorate.settings import ModelSettings, Settings
from quorate_registry import Registry
from quorate_registry.store import owner_note

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Service:
    """A service that listens.

    Attributes:
        address: ``HOST:PORT`` it listens on.
        energy: What its energy figures rest on, in lines for people.
    """

    fleet: Fleet
    dispatcher: Dispatcher
    server: GrpcServer
    address: str
    energy: tuple[str, ...] = ()


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
    fleet = Fleet(_starter(settings.models), cores, sources.find, CoreClaims())
    for model in settings.models:
        fleet.add(sources.configured(model))
    async with AsyncExitStack() as stack:
        accounts = open_recorder(settings, fleet, registry.home, machine)
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
        )
        required = [model.id for model in settings.models if model.required]
        server = GrpcServer(dispatcher, fleet, settings.server, keys, required)
        port = await server.start()
        stack.push_async_callback(server.stop)
        work = [*_work(settings, fleet, dispatcher), keeper.watch()]
        await stack.enter_async_context(_background(work))
        host = settings.server.listen.rpartition(":")[0]
        yield Service(fleet, dispatcher, server, f"{host}:{port}", tuple(energy))


def _work(
    settings: Settings, fleet: Fleet, dispatcher: Dispatcher
) -> Iterator[Coroutine[Any, Any, None]]:
    """What goes on in the background while the service listens."""
    for model in settings.models:
        if model.load:
            yield _load(fleet, model.id)
    if settings.routing.probe:
        yield Prober(fleet, dispatcher).run()


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


async def serve(settings: Settings, on_ready: Callable[[Service], None]) -> None:
    """Serves until SIGTERM or SIGINT, then drains; a second signal ends it at once.

    ``on_ready`` is called once the address is listened on.

    Raises:
        SettingsError: The address cannot be listened on.
    """
    async with running(settings) as service:
        stop = _Signals((signal.SIGTERM, signal.SIGINT))
        on_ready(service)
        for line in service.energy:
            _log.info("%s", line)
        await stop.first.wait()
        _log.info("draining; running requests may end within %g s", settings.server.drain_seconds)
        drained = asyncio.ensure_future(service.server.drain())
        hurry = asyncio.ensure_future(stop.second.wait())
        await asyncio.wait((drained, hurry), return_when=asyncio.FIRST_COMPLETED)
        for task in (drained, hurry):
            task.cancel()
        await asyncio.gather(drained, hurry, return_exceptions=True)


class _Signals:
    """Events of the first and of a further signal."""

    def __init__(self, numbers: Sequence[signal.Signals]) -> None:
        self.first = asyncio.Event()
        self.second = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in numbers:
            loop.add_signal_handler(number, self._arrived)

    def _arrived(self) -> None:
        (self.second if self.first.is_set() else self.first).set()


def _starter(
    models: Sequence[ModelSettings],
) -> Callable[[EngineSpec, Sequence[int]], HostedEngine]:
    """What starts a model in a worker process of its own, within the limits configured for it."""
    limits = {
        model.id: WorkerLimits(
            step_timeout_seconds=model.step_timeout_seconds,
            load_timeout_seconds=model.load_timeout_seconds,
            wedged_after_seconds=model.step_timeout_seconds / 4,
        )
        for model in models
    }

    def start(spec: EngineSpec, cores: Sequence[int]) -> HostedEngine:
        engine = HostedEngine(spec, cores, limits=limits.get(spec.model))
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
