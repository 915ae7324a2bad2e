"""Why a request is refused where no plan may answer it, and when to come back."""

from __future__ import annotations

from collections.abc import Sequence

from quorate.errors import (
    BudgetSpent,
    ModelUnusable,
    OverBudget,
    PromptTooLong,
    QuorateError,
    TemplateRefused,
    Unavailable,
    UnsupportedPlan,
)
from quorate.fleet.status import ModelState
from quorate.request import Clause, Rejection
from quorate.routing.assess import Assessed
from quorate.routing.request import RoutingRequest
from quorate.routing.snapshot import Snapshot

_RETRY_SECONDS = 2.0
_MAX_REASONS = 4
# What a request limits. A full queue, a context and a spent window say so themselves, when they are
# asked, and when to try again.
_LIMITS = frozenset({Clause.LATENCY, Clause.ENERGY})
# What of a remote a request limits.
_REMOTE_LIMITS = frozenset({Clause.LATENCY, Clause.USD})
# What passes by itself.
_PASSING = frozenset({Clause.HEALTH, Clause.USD_WINDOW})


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
    why = "".join(f"; {_words(one)}" for one in remotes)
    raise OverBudget(f"no plan meets the budget: {over.message}{why}", clause=over.clause.value)


def own_error(assessed: Assessed) -> QuorateError | None:
    """Why a plan cannot run, where that is an error of its own."""
    return None if assessed.plan is None else assessed.plan.error


def nothing_runs(
    local: Sequence[Assessed],
    remotes: Sequence[Assessed],
    request: RoutingRequest,
    snapshot: Snapshot,
) -> QuorateError:
    """The error of a service none of whose plans can run: what stands in the way of each.

    It is the one that passes first. A remote that answers again, or a window with room for one, is
    worth waiting for where no model of this machine is about to be ready.
    """
    states = {model.id: model.state for model in snapshot.models.values()}
    settled = (ModelState.READY, ModelState.UNLOADED, ModelState.FAILED)
    soon = [model for model, state in states.items() if state not in settled]
    far = "".join(f"; {_words(one)}" for one in remotes[:_MAX_REASONS])
    ready = ModelState.READY in states.values()
    here = _nothing_here(local, ready)
    if soon:
        why = here if ready else f"no model is ready yet; {', '.join(soon)} may be soon"
        return Unavailable(f"{why}{far}", _RETRY_SECONDS)
    waits = [one for one in (_wait(remote, here, far, snapshot) for remote in remotes) if one]
    if waits:
        return min(waits, key=lambda error: error.retry_after_seconds)
    if ready and (never := _never_here(local, far)) is not None:
        return never
    if remotes:
        return _never(remotes, here, far, request)
    if ready and any(not _settled(one) for one in local):
        return Unavailable(here)
    forbidden = ", and nothing may leave this machine" if snapshot.remotes else ""
    return ModelUnusable("plan", f"{here}{forbidden}; name one in the configuration or load one")


def _nothing_here(local: Sequence[Assessed], ready: bool) -> str:
    if not ready:
        return "no model is loaded"
    return f"no plan can run now: {_reasons(local)}"


def _never_here(local: Sequence[Assessed], far: str) -> QuorateError | None:
    """What is of the request and no plan of this machine can ever do, however long it waits."""
    living = [one for one in local if not _settled(one)]
    clauses = {one.first_rejection.clause for one in living if one.first_rejection is not None}
    if Clause.TEMPLATE in clauses:
        return TemplateRefused("chat", f"no plan can read it: {_reasons(local)}{far}")
    if clauses != {Clause.UNSUPPORTED}:
        return None
    return UnsupportedPlan("plan", f"no plan can run: {_reasons(local)}{far}")


def _settled(one: Assessed) -> bool:
    """Whether a plan cannot run until somebody loads a model of it."""
    return isinstance(own_error(one), ModelUnusable)


def _wait(
    remote: Assessed, here: str, far: str, snapshot: Snapshot
) -> Unavailable | BudgetSpent | None:
    """What a caller who waits for a remote is told; None where waiting does not help."""
    rejections = {one.clause: one for one in remote.candidate.rejections}
    if not rejections or not rejections.keys() <= _PASSING:
        return None
    spent = None
    if Clause.USD_WINDOW in rejections:
        spent = _window(rejections[Clause.USD_WINDOW], remote, here, snapshot)
    if Clause.HEALTH not in rejections:
        return spent
    seconds = snapshot.remotes[remote.remote].retry_seconds
    if spent is not None and spent.retry_after_seconds > seconds:
        return spent
    return Unavailable(f"{here}{far}", seconds)


def _window(rejection: Rejection, remote: Assessed, here: str, snapshot: Snapshot) -> BudgetSpent:
    """The refusal of the window itself, which knows when it has room again."""
    ceiling = remote.candidate.forecast.usd_ceiling or 0.0
    ask = snapshot.remaining.usd_refusal
    refusal = None if ask is None else ask(ceiling)
    whose = f"; {here}, so that {remote.candidate.name} would have to answer"
    if refusal is None:
        return BudgetSpent("usd", f"{rejection.message}{whose}", _RETRY_SECONDS)
    return BudgetSpent(refusal.window, f"{refusal.problem}{whose}", refusal.retry_after_seconds)


def _never(
    remotes: Sequence[Assessed], here: str, far: str, request: RoutingRequest
) -> QuorateError:
    """Remotes do not answer such a request, however long it waits."""
    clauses = [{rejection.clause for rejection in one.candidate.rejections} for one in remotes]
    over = next((found for found in clauses if found and found <= _REMOTE_LIMITS), None)
    if over is not None:
        clause = Clause.USD if Clause.USD in over else Clause.LATENCY
        return OverBudget(f"no plan meets the budget: {here}{far}", clause=clause.value)
    if any(found == {Clause.CONTEXT} for found in clauses):
        return PromptTooLong("chat" if request.chat else "prompt", f"is too long: {here}{far}")
    return ModelUnusable("plan", f"{here}{far}")


def _reasons(local: Sequence[Assessed]) -> str:
    return "; ".join(map(_reason, local[:_MAX_REASONS])) or "none may be chosen"


def _words(one: Assessed) -> str:
    return f"{one.candidate.name}: {_reason(one)}"


def _reason(one: Assessed) -> str:
    return "" if one.first_rejection is None else one.first_rejection.message
