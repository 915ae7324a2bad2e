"""Opens what a service records its attempts in: energy meter, budgets, ledger, costs of plans."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from quorate.costs.cost_model import CostModels
from quorate.costs.machine import this_machine
from quorate.costs.store import CostStore
from quorate.dispatch import AttemptRecorder
from quorate.errors import QuorateError
from quorate.files import is_path
from quorate.fleet.fleet import Fleet
from quorate.ledger.budgets import Budgets
from quorate.ledger.ledger import Ledger
from quorate.metering.meter import Meter
from quorate.metering.open_meter import Host, open_meter
from quorate.request.work import WorkCosts
from quorate.settings import ModelSettings, Settings
from quorate.telemetry.attempts import AttemptObserver
from quorate.threads import beside_loop

_DAY_SECONDS = 86_400.0
_SAVE_SECONDS = 60.0
_LOOK_SECONDS = 20.0

_log = logging.getLogger(__name__)


@asynccontextmanager
async def open_recorder(
    settings: Settings,
    fleet: Fleet,
    home: Path,
    machine: Host | None = None,
    observers: Sequence[AttemptObserver] = (),
) -> AsyncIterator[tuple[AttemptRecorder, Sequence[str]]]:
    """The recorder, open for as long as the context lasts, and what its energy figures rest on.

    Args:
        settings: The configuration.
        fleet: The models whose energy is metered.
        home: Where the ledger and the cost models are, unless the configuration says otherwise.
        machine: As the meter sees it; None is this one.
        observers: Told of every attempt.

    Raises:
        SettingsError: The ledger cannot be opened, or the energy source asked for is missing.
    """
    store = CostStore(home / "costs", this_machine().fingerprint)
    identities = Identities(settings)
    loaded = await beside_loop(store.load, identities.of)
    if loaded.note:
        _log.warning("%s", loaded.note)
    meter, notes = open_meter(
        settings.energy, fleet.process_ids, lambda: work_costs(loaded.costs, fleet), host=machine
    )
    path = settings.ledger.located(home, Path.cwd())
    ledger = await beside_loop(
        lambda: Ledger.open(path, store_prompts=settings.ledger.store_prompts)
    )
    if ledger.lost:
        _log.warning("%d attempts were under way when the last server died", ledger.lost)
    budgets = Budgets(settings.budgets)
    # What was spent is dated by the present clock, however wrong that of its own time was.
    now = time.time()
    budgets.restore(await ledger.spent_since(now - _DAY_SECONDS), now)
    recorder = AttemptRecorder(
        budgets,
        ledger,
        meter,
        loaded.costs,
        settings.routing.version,
        observers=observers,
    )
    recorder.ratings.restore(await ledger.ratings())
    tasks = [
        asyncio.create_task(_tick(meter, settings.energy.window_seconds)),
        asyncio.create_task(_save_now_and_then(recorder.costs, store, identities)),
        asyncio.create_task(_compact_daily(ledger, settings.ledger.keep_days)),
        asyncio.create_task(_watch_clock(ledger)),
    ]
    try:
        yield recorder, notes
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await recorder.flush()
        await ledger.close()
        await _save(recorder.costs, store, identities)


class Identities:
    """What the models of a plan are, so that what was learned of others is not believed."""

    def __init__(self, settings: Settings) -> None:
        # What else is loaded takes nothing from a model as long as nobody asks it anything.
        self._models = {model.id: f"{_described(model)} in turn" for model in settings.models}
        self._remotes = {
            name: f"{remote.base_url} {remote.model}" for name, remote in settings.remotes.items()
        }

    def of(self, key: str) -> str | None:
        """From the key of a plan to what it is made of; None where that is not configured."""
        kind, _, rest = key.partition(":")
        if kind == "remote":
            return self._remotes.get(rest)
        together = rest.partition(":")[0]
        # A model may have a plus in its name; of a vote that is not worth a format of its own.
        members = [together] if kind == "single" else together.split("+")
        known = [self._models.get(member) for member in members]
        if any(one is None for one in known):
            return None
        return hashlib.blake2b(repr(known).encode(), digest_size=16).hexdigest()


def _described(model: ModelSettings) -> str:
    content = _content(Path(model.model)) if is_path(model.model) else 0
    options = sorted((name, repr(value)) for name, value in model.options.items())
    return f"{model.model} {content} {model.engine} {model.cores} {options}"


def _content(path: Path) -> object:
    """What changes with a model without reading it: the size of a file, of a folder its files."""
    try:
        if not path.is_dir():
            return path.stat().st_size
        found = [(file.name, file.stat()) for file in path.iterdir()]
    except OSError:
        return 0
    return sorted((name, status.st_size, status.st_mtime_ns) for name, status in found)


def work_costs(costs: CostModels, fleet: Fleet) -> Mapping[str, WorkCosts]:
    """What kinds of work cost each loaded model, in seconds, to share energy out by.

    Costs of different models must be of one unit: until all of them are known, none is used.
    """
    known = costs.snapshot()
    by_model = {}
    for model in fleet.process_ids():
        cost = known.get(f"single:{model}")
        if cost is None or cost.run.cold:
            return {}
        by_model[model] = cost.run.work_costs()
    return by_model


async def _tick(meter: Meter, seconds: float) -> None:
    told = False
    while True:
        await asyncio.sleep(seconds)
        try:
            meter.tick()
        except Exception as error:
            # A driver may answer anything; energy is metered again as soon as it answers soundly.
            if not told:
                _log.warning("energy cannot be metered for now: %r", error)
            told = True


async def _watch_clock(ledger: Ledger) -> None:
    """Tells of a clock that was set, and has the ledger keep that in mind."""
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        try:
            by = await ledger.note_clock()
        except QuorateError:
            # A request that is charged tells of it.
            continue
        if by:
            _log.warning(
                "the clock of this machine was set %s by %.0f s; budgets go on by the time since "
                "boot",
                "forward" if by > 0 else "back",
                abs(by),
            )


async def _save_now_and_then(costs: CostModels, store: CostStore, identities: Identities) -> None:
    saved = costs.observations
    while True:
        await asyncio.sleep(_SAVE_SECONDS)
        if costs.observations != saved:
            saved = costs.observations
            await _save(costs, store, identities)


async def _save(costs: CostModels, store: CostStore, identities: Identities) -> None:
    states = costs.states()
    if not states:
        return
    known = {key: identities.of(key) for key in states}
    named = {key: identity for key, identity in known.items() if identity is not None}
    note = await beside_loop(store.save, states, named)
    if note:
        _log.warning("%s", note)


async def _compact_daily(
    ledger: Ledger, keep_days: int, clock: Callable[[], float] = time.time
) -> None:
    while True:
        try:
            await ledger.compact(clock() - keep_days * _DAY_SECONDS)
        except QuorateError as error:
            _log.warning("the ledger was not compacted: %s", error.message)
        await asyncio.sleep(_DAY_SECONDS)
