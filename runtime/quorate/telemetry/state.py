"""How a service stands at one moment, as far as metrics tell."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ModelGauges:
    """One model.

    Attributes:
        state: Such as ``ready``.
        requests: Requests that use it.
        restarts: How often its worker was started again since it was loaded.
        kv_usage: Share of its KV cache that sessions hold, in [0, 1]; None while it is not known.
        memory_bytes: Resident memory of its processes.
    """

    id: str
    state: str
    requests: int = 0
    restarts: int = 0
    kv_usage: float | None = None
    memory_bytes: int = 0


@dataclass(frozen=True, slots=True)
class WindowGauges:
    """One window of a budget.

    Attributes:
        name: Such as ``usd per day``.
        unit: ``joules`` or ``usd``.
    """

    name: str
    unit: str
    limit: float
    remaining: float


@dataclass(frozen=True, slots=True)
class ServiceState:
    """Everything that is read when metrics are scraped.

    Attributes:
        running: Requests that run, without those that a remote answers.
        waiting: Requests that wait for their turn.
        aside: Requests that wait for a member to come back.
        ready_profiles: Whether each profile can run now.
    """

    running: int = 0
    waiting: int = 0
    aside: int = 0
    models: tuple[ModelGauges, ...] = ()
    windows: tuple[WindowGauges, ...] = ()
    ready_profiles: tuple[tuple[str, bool], ...] = ()
