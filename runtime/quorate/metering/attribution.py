"""Who spent the energy of a window: requests, the idle machine, or nobody we know. Pure.

For every window the joules given to requests, the idle ones and the unattributed ones add up to
what the counter rose by.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from math import fsum
from typing import Final, TypeAlias, TypeVar

from quorate.metering.cpu_time import COORDINATOR
from quorate.request.work import Work, WorkCosts

Share: TypeAlias = tuple[Hashable, str]
ANSWERED: Final = None
"""Stands for the requests that were answered while the window was still open."""
_Key = TypeVar("_Key")


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time between two readings of a counter.

    Attributes:
        work: What each request added on each model it uses; that may be nothing.
        cpu_seconds: CPU time of each model's processes, and of the coordinator under ``""``.
        alive_seconds: How long each request was alive in it.
    """

    seconds: float = 0.0
    work: Mapping[Share, Work] = field(default_factory=dict)
    cpu_seconds: Mapping[str, float] = field(default_factory=dict)
    alive_seconds: Mapping[Hashable, float] = field(default_factory=dict)

    def joined(self, later: Window) -> Window:
        """This window and the one after it as one."""
        if not (self.seconds or self.work or self.cpu_seconds or self.alive_seconds):
            return later
        work = dict(self.work)
        for share, added in later.work.items():
            work[share] = work.get(share, Work()) + added
        return Window(
            self.seconds + later.seconds,
            work,
            _summed(self.cpu_seconds, later.cpu_seconds),
            _summed(self.alive_seconds, later.alive_seconds),
        )

    def answered(self, job: Hashable) -> Window:
        """The window once a request was answered: its work stays, in the sum of all such."""
        work: dict[Share, Work] = {}
        for (owner, model), done in self.work.items():
            share = (ANSWERED if owner == job else owner, model)
            work[share] = work.get(share, Work()) + done
        alive = dict(self.alive_seconds)
        if job in alive:
            alive[ANSWERED] = alive.get(ANSWERED, 0.0) + alive.pop(job)
        return Window(self.seconds, work, self.cpu_seconds, alive)


@dataclass(frozen=True, slots=True)
class Attribution:
    """Where the joules of a window went.

    Attributes:
        requests: To the work of a request on a model.
        idle: To the machine being on, or to nobody being there.
        unattributed: To work that belongs to no request that is still there to be told.
        idle_shares: The part of ``idle`` that fell into each request's time, divided among those
            that were alive together.
    """

    requests: Mapping[Share, float]
    idle: float
    unattributed: float
    idle_shares: Mapping[Hashable, float] = field(default_factory=dict)


def attribute_cpu(
    joules: float, window: Window, idle_watts: float, costs: Mapping[str, WorkCosts]
) -> Attribution:
    """Attributes the energy of a processor.

    Models share by the CPU time of their workers, and requests share a model by the cost of their
    work. The coordinator's CPU time is shared by all of it. Where the CPU time of a model that
    worked is not known, all share by the cost of their work.

    Args:
        joules: What the counter rose by.
        window: What happened meanwhile.
        idle_watts: What the domain draws when nothing runs.
        costs: Cost of work by model; a model that is missing has the defaults.
    """
    weights = _weights(window.work, costs)
    seconds = window.cpu_seconds
    worked = {model for (_, model), work in window.work.items() if work}
    if not worked <= seconds.keys() or fsum(seconds.values()) <= 0:
        return _attribute(joules, window, idle_watts, [(1.0, weights)])
    parts = [
        (used, weights if model == COORDINATOR else _of_model(weights, model))
        for model, used in seconds.items()
    ]
    return _attribute(joules, window, idle_watts, parts)


def attribute_gpu(
    joules: float, window: Window, idle_watts: float, costs: Mapping[str, WorkCosts]
) -> Attribution:
    """Attributes the energy of a GPU as ``attribute_cpu`` does, by the cost of work on it alone."""
    return _attribute(joules, window, idle_watts, [(1.0, _weights(window.work, costs))])


def _attribute(
    joules: float,
    window: Window,
    idle_watts: float,
    parts: Sequence[tuple[float, Mapping[Share, float]]],
) -> Attribution:
    """Attributes joules to parts by their size, and each part's to shares by their weight."""
    if not window.alive_seconds:
        return Attribution({}, joules, 0.0)
    idle = min(joules, idle_watts * window.seconds)
    active, whole = joules - idle, fsum(size for size, _ in parts)
    requests: dict[Share, float] = {}
    nobody = [] if whole > 0 else [active]
    for size, weights in parts:
        of_part = active * (size / whole) if whole > 0 else 0.0
        for share, fraction in _fractions(weights).items():
            requests[share] = requests.get(share, 0.0) + of_part * fraction
        if not weights:
            nobody.append(of_part)
    for share in [share for share in requests if share[0] is ANSWERED]:
        nobody.append(requests.pop(share))
    shares = {
        job: idle * fraction
        for job, fraction in _fractions(window.alive_seconds).items()
        if job is not ANSWERED
    }
    return Attribution(requests, idle, fsum(nobody), shares)


def _weights(work: Mapping[Share, Work], costs: Mapping[str, WorkCosts]) -> dict[Share, float]:
    default = WorkCosts()
    return {share: costs.get(share[1], default).of(done) for share, done in work.items()}


def _of_model(weights: Mapping[Share, float], model: str) -> dict[Share, float]:
    return {share: weight for share, weight in weights.items() if share[1] == model}


def _fractions(weights: Mapping[_Key, float]) -> dict[_Key, float]:
    """Weights as shares of one.

    Where none weighs anything they are equal: a long prompt is counted only when it is done, and
    until then the request that waits for it is the one that the model works for.
    """
    largest = max(weights.values(), default=0.0)
    if largest <= 0:
        return dict.fromkeys(weights, 1.0 / len(weights)) if weights else {}
    scaled = {key: weight / largest for key, weight in weights.items()}
    total = fsum(scaled.values())
    return {key: weight / total for key, weight in scaled.items()}


def _summed(first: Mapping[_Key, float], second: Mapping[_Key, float]) -> dict[_Key, float]:
    total = dict(first)
    for key, value in second.items():
        total[key] = total.get(key, 0.0) + value
    return total
