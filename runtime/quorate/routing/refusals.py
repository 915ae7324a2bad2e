"""Why a request is refused where no plan may answer it."""

from __future__ import annotations

from collections.abc import Sequence

from quorate.errors import (
    ModelUnusable,
    OverBudget,
    QuorateError,
    TemplateRefused,
    Unavailable,
    UnsupportedPlan,
)
from quorate.fleet.status import ModelState
from quorate.request import Clause
from quorate.routing.assess import Assessed
from quorate.routing.snapshot import Snapshot

_RETRY_SECONDS = 2.0
_MAX_REASONS = 4
# What a request limits. A full queue, a context and a spent window say so themselves, when they are
# asked, and when to try again.
_LIMITS = frozenset({Clause.LATENCY, Clause.ENERGY})


def refuse_by_policy(nearest: Assessed, remotes: Sequence[Assessed], snapshot: Snapshot) -> None:
    """Refuses the local plan that would run, where it exceeds its limits and that is the policy.

    Raises:
        OverBudget: Names the limit.
    """
    rejections = nearest.candidate.rejections
    over = next((one for one in rejections if one.clause in _LIMITS), None)
    if snapshot.settings.policy != "reject" or over is None:
        return
    if any(one.clause is Clause.CAPACITY for one in rejections):
        return
    why = "".join(f"; {one.candidate.name}: {_reason(one)}" for one in remotes)
    raise OverBudget(f"no plan meets the budget: {over.message}{why}", clause=over.clause.value)


def own_error(assessed: Sequence[Assessed]) -> QuorateError | None:
    """Why the first of some plans cannot run, where that is an error of its own."""
    errors = (one.plan.error for one in assessed if one.plan is not None)
    return next((error for error in errors if error is not None), None)


def nothing_runs(local: Sequence[Assessed], snapshot: Snapshot) -> QuorateError:
    """The error of a service none of whose plans can run."""
    states = {model.id: model.state for model in snapshot.models.values()}
    settled = (ModelState.READY, ModelState.UNLOADED, ModelState.FAILED)
    soon = [model for model, state in states.items() if state not in settled]
    if soon:
        names = ", ".join(soon)
        return Unavailable(f"no model is ready yet; {names} may be soon", _RETRY_SECONDS)
    if ModelState.READY not in states.values():
        return ModelUnusable(
            "plan", "no model is loaded; name one in the configuration or load one"
        )
    reasons = "; ".join(_reason(one) for one in local[:_MAX_REASONS])
    clauses = {one.first_rejection.clause for one in local if one.first_rejection is not None}
    if Clause.TEMPLATE in clauses:
        return TemplateRefused("chat", f"no plan can read it: {reasons}")
    if clauses == {Clause.UNSUPPORTED}:
        return UnsupportedPlan("plan", f"no plan can run: {reasons}")
    return Unavailable(f"no plan can run now: {reasons or 'none may be chosen'}")


def _reason(one: Assessed) -> str:
    return "" if one.first_rejection is None else one.first_rejection.message
