"""Which profiles could run now, as the health of the service tells it."""

from __future__ import annotations

from quorate.routing.candidates import profile_plan
from quorate.routing.snapshot import Snapshot


def profiles_down(snapshot: Snapshot) -> dict[str, str]:
    """Why each profile cannot run, in one line; "" for one that can."""
    return {name: _problem(name, snapshot) for name in snapshot.profiles}


def _problem(name: str, snapshot: Snapshot) -> str:
    plan = profile_plan(name, snapshot)
    if plan.error is not None:
        return plan.error.message
    stuck = [model for model in plan.models if model in snapshot.wedged]
    return f"{stuck[0]} makes no progress" if stuck else ""
