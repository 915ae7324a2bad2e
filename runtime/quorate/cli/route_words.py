"""How a plan was chosen, told in words."""

from __future__ import annotations

from collections.abc import Iterator

from quorate.v1 import plan_pb2

_CLAUSES = {
    plan_pb2.CLAUSE_LATENCY: "too slow",
    plan_pb2.CLAUSE_ENERGY: "too much energy",
    plan_pb2.CLAUSE_ENERGY_WINDOW: "energy spent",
    plan_pb2.CLAUSE_USD: "too dear",
    plan_pb2.CLAUSE_USD_WINDOW: "dollars spent",
    plan_pb2.CLAUSE_CAPACITY: "no place",
    plan_pb2.CLAUSE_HEALTH: "not ready",
    plan_pb2.CLAUSE_CONTEXT: "prompt too long",
    plan_pb2.CLAUSE_UNSUPPORTED: "unsupported",
    plan_pb2.CLAUSE_TASK: "other tasks",
    plan_pb2.CLAUSE_PRICE_UNKNOWN: "price unknown",
    plan_pb2.CLAUSE_LOCAL_ONLY: "local only",
    plan_pb2.CLAUSE_WITHIN_BUDGET: "not needed",
    plan_pb2.CLAUSE_FAILED_BEFORE: "failed",
}


def verdict(candidate: plan_pb2.Candidate) -> str:
    """Whether a plan was chosen, else the kinds of reasons against it, in few words."""
    if candidate.chosen:
        return "chosen"
    if not candidate.rejections:
        return "costs more"
    words = [_CLAUSES.get(rejection.clause, "ruled out") for rejection in candidate.rejections]
    return ", ".join(dict.fromkeys(words))


def reasons(candidate: plan_pb2.Candidate) -> str:
    """Everything that speaks against a plan, in whole sentences; empty where nothing does."""
    return "; ".join(rejection.message for rejection in candidate.rejections)


def chosen_name(decision: plan_pb2.Decision) -> str:
    """Name of the plan that runs, or empty."""
    return next((each.name for each in decision.candidates if each.chosen), "")


def over_budget_line(decision: plan_pb2.Decision) -> str:
    """Why the best local plan is not good enough and what runs instead; empty where it is."""
    if not decision.HasField("over_budget"):
        return ""
    if decision.remote:
        answers = f"remote {decision.remote} answers"
    else:
        answers = f"{chosen_name(decision) or 'the plan'} answers all the same"
    return f"over budget: {decision.over_budget.message}; {answers}"


def detours(decision: plan_pb2.Decision) -> Iterator[str]:
    """What a caller should know before the answer: plans that failed, and what is over budget."""
    failed = [
        each.name
        for each in decision.candidates
        if any(one.clause == plan_pb2.CLAUSE_FAILED_BEFORE for one in each.rejections)
    ]
    if failed:
        yield f"{', '.join(failed)} failed before the first byte; {chosen_name(decision)} answers"
    line = over_budget_line(decision)
    if line:
        yield line
    elif decision.remote:
        yield f"remote {decision.remote} answers"
