"""Feeds the standard health service from the state of the models.

Names that can be checked and watched:

- ``""`` and ``quorate.v1.InferenceService``: every required model is ready, the default profile can
  run, at least one model is ready, none is stuck, and the server is not draining. The log tells
  which of them is missing.
- ``quorate.v1.ModelService`` and the other services: the server is not draining.
- ``quorate.model/ID``: that model is ready and not stuck.
- ``quorate.profile/NAME``: that profile can run: none of its models is stuck, and none is down but
  those that its failure policy goes on without.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping
from contextlib import aclosing

from quorate.api.grpc.health_servicer import HealthServicer
from quorate.dispatch import Dispatcher
from quorate.fleet.fleet import Fleet
from quorate.fleet.status import ModelState, ModelStatus
from quorate.v1 import accounting_pb2, inference_pb2, models_pb2, server_pb2

MODEL_PREFIX = "quorate.model/"
"""Before a model's id, this makes the service name of the model's health."""

PROFILE_PREFIX = "quorate.profile/"
"""The same before the name of a profile."""

INFERENCE_SERVICE: str = inference_pb2.DESCRIPTOR.services_by_name["InferenceService"].full_name
ACCOUNTING_SERVICE: str = accounting_pb2.DESCRIPTOR.services_by_name["AccountingService"].full_name
SERVER_SERVICE: str = server_pb2.DESCRIPTOR.services_by_name["ServerService"].full_name
MODEL_SERVICE: str = models_pb2.DESCRIPTOR.services_by_name["ModelService"].full_name

_log = logging.getLogger(__name__)

_ARRIVING = (ModelState.UNLOADED, ModelState.DOWNLOADING, ModelState.LOADING)


class HealthReporter:
    """Keeps the health service in step with the fleet.

    Every ``interval_seconds`` it looks at what no event tells of: a stuck model.

    Args:
        fleet: The models.
        dispatcher: Knows the profiles.
        required: Models without which the service as a whole does not serve.

    Attributes:
        servicer: The health service to add to a server.
        required: As given; it may be changed.
    """

    def __init__(
        self,
        fleet: Fleet,
        dispatcher: Dispatcher,
        interval_seconds: float,
        required: Collection[str] = (),
    ) -> None:
        self._fleet = fleet
        self._dispatcher = dispatcher
        self.required = tuple(required)
        self._told = ""
        self._logged: str | None = None
        self._was_green = False
        # Also those that the configuration no longer has.
        self._profiles: set[str] = set()
        self._interval_seconds = interval_seconds
        self._tasks: list[asyncio.Task[None]] = []
        self.servicer = HealthServicer()

    @property
    def problem(self) -> str:
        """Why the service as a whole does not serve, in one line; "" where it does."""
        return self._told

    async def start(self) -> None:
        """Reports the state of now, and from here on each change."""
        self._report()
        self._tasks = [
            asyncio.create_task(self._follow(), name="health follows the models"),
            asyncio.create_task(self._look(), name="health looks for stuck models"),
        ]
        for task in self._tasks:
            task.add_done_callback(_log_failure)

    async def drain(self) -> None:
        """Turns everything red, for good."""
        self.servicer.end()

    async def stop(self) -> None:
        """Stops reporting."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _follow(self) -> None:
        async with aclosing(self._fleet.watch()) as changes:
            async for _ in changes:
                self._report()

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(self._interval_seconds)
            self._report()

    def _report(self) -> None:
        statuses = dict(self._fleet.statuses)
        serving = {model for model, status in statuses.items() if self._serves(status)}
        profiles = self._dispatcher.profiles_down()
        problem = self._problem(statuses, serving, profiles)
        self._tell(problem, arriving=any(one.state in _ARRIVING for one in statuses.values()))
        self.servicer.set("", not problem)
        self.servicer.set(INFERENCE_SERVICE, not problem)
        self.servicer.set(MODEL_SERVICE, True)
        self.servicer.set(ACCOUNTING_SERVICE, True)
        self.servicer.set(SERVER_SERVICE, True)
        for model in statuses:
            self.servicer.set(f"{MODEL_PREFIX}{model}", model in serving)
        for profile in self._profiles - profiles.keys():
            self.servicer.set(f"{PROFILE_PREFIX}{profile}", False)
        self._profiles |= profiles.keys()
        for profile, why in profiles.items():
            self.servicer.set(f"{PROFILE_PREFIX}{profile}", not why)

    def _problem(
        self, statuses: Mapping[str, ModelStatus], serving: set[str], profiles: Mapping[str, str]
    ) -> str:
        """Why the service as a whole does not serve, in one line; "" where it does."""
        stuck = next((model for model in statuses if self._fleet.wedged(model)), None)
        if stuck is not None:
            return f"{stuck} makes no progress"
        default = self._dispatcher.default_profile
        if profiles.get(default):
            return f"the default profile {default} cannot run: {profiles[default]}"
        for model in self.required:
            if model not in serving and model in statuses:
                status = statuses[model]
                why = f": {status.message}" if status.message else ""
                return f"the required model {model} is {status.state.value}{why}"
        return "" if serving else "no model is ready"

    def _tell(self, problem: str, arriving: bool) -> None:
        self._told = problem
        self._was_green |= not problem
        # While the first models arrive it is red, as everybody expects.
        if problem == self._logged or (problem and not self._was_green and arriving):
            return
        self._logged = problem
        _log.info("%s", f"health is red: {problem}" if problem else "health is green")

    def _serves(self, status: ModelStatus) -> bool:
        return status.state is ModelState.READY and not self._fleet.wedged(status.id)


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        _log.error("%s: stopped", task.get_name(), exc_info=task.exception())
