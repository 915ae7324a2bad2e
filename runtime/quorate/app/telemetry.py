"""Metrics and traces of a service, as far as its configuration asks for them."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from quorate.app.about import program_version
from quorate.app.extras import need
from quorate.dispatch import Dispatcher
from quorate.fleet.fleet import Fleet
from quorate.settings import Settings
from quorate.telemetry.attempts import AttemptObserver
from quorate.telemetry.state import ModelGauges, ServiceState, WindowGauges
from quorate.threads import beside_loop

if TYPE_CHECKING:
    from quorate.telemetry.metrics import Metrics

_ANSWER_SECONDS = 2.0


class Telemetry:
    """What a service tells other programs of its work.

    Attributes:
        observers: To be told of every attempt.
        lines: What is told and where, for people.
    """

    def __init__(self) -> None:
        self.observers: list[AttemptObserver] = []
        self.lines: list[str] = []
        self.metrics_address = ""
        self._metrics: Metrics | None = None
        self._service: tuple[Fleet, Dispatcher] | None = None
        self._loop = asyncio.get_running_loop()
        self._last = ServiceState()

    def watch(self, fleet: Fleet, dispatcher: Dispatcher) -> None:
        """Tells of these from now on."""
        self._service = fleet, dispatcher

    def called(self, method: str, status: str, seconds: float) -> None:
        """Takes note of a call that ended; see ``Metrics.called``."""
        if self._metrics is not None:
            self._metrics.called(method, status, seconds)

    def measure(self, metrics: Metrics) -> None:
        """Counts in these metrics from now on."""
        self._metrics = metrics
        self.observers.append(metrics)

    def state(self) -> ServiceState:
        """How the service stands; asked from any thread but its own.

        A loop that is too busy to answer is told of as it stood last: metrics of a service in
        trouble are the ones that matter.
        """
        asked = asyncio.run_coroutine_threadsafe(self._read(), self._loop)
        try:
            self._last = asked.result(_ANSWER_SECONDS)
        except concurrent.futures.TimeoutError:
            asked.cancel()
        return self._last

    async def _read(self) -> ServiceState:
        return self._last if self._service is None else service_state(*self._service)


@asynccontextmanager
async def open_telemetry(settings: Settings) -> AsyncIterator[Telemetry]:
    """Metrics and traces for as long as the context lasts; nothing where nobody asked.

    Raises:
        SettingsError: The extra that it needs is not installed, or the port cannot be listened on.
    """
    told = Telemetry()
    stack = ExitStack()
    try:
        if settings.metrics.listen:
            need("metrics.listen")
            from quorate.telemetry.exposition import exposed
            from quorate.telemetry.metrics import Metrics

            metrics = Metrics(told.state, program_version())
            told.measure(metrics)
            address = stack.enter_context(exposed(settings.metrics, metrics.registry))
            told.metrics_address = address
            told.lines.append(f"metrics: http://{address}/metrics")
        if settings.traces.endpoint:
            need("traces.endpoint")
            from quorate.telemetry.traces import tracing

            told.observers.append(stack.enter_context(tracing(settings.traces, program_version())))
            told.lines.append(f"traces: {settings.traces.endpoint}")
        yield told
    finally:
        # Waits for scrapes, and for a collector to take what it has not yet.
        await beside_loop(stack.close)


def service_state(fleet: Fleet, dispatcher: Dispatcher) -> ServiceState:
    """How a service stands now, in plain values."""
    using = dispatcher.recorder.activity.now
    return ServiceState(
        running=dispatcher.running,
        waiting=dispatcher.waiting,
        aside=dispatcher.aside,
        models=tuple(
            ModelGauges(
                id=status.id,
                state=status.state.value,
                requests=using.get(status.id, 0),
                restarts=fleet.restarts(status.id),
                kv_usage=fleet.kv_usage(status.id),
                memory_bytes=status.memory_bytes,
            )
            for status in fleet.list()
        ),
        windows=tuple(
            WindowGauges(one.name, one.unit, one.limit, one.remaining)
            for one in dispatcher.recorder.budgets.all_status()
        ),
        ready_profiles=tuple(
            (profile, not why) for profile, why in dispatcher.profiles_down().items()
        ),
    )
