"""A decision in words: who answers and how, and why this plan and no other."""

from __future__ import annotations

from collections.abc import Iterator

from quorate.cli.messages import enum_name
from quorate.cli.views.outcome import answers_manner
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
    plan_pb2.CLAUSE_TEMPLATE: "chat template",
}
_WINDOWS = (plan_pb2.CLAUSE_ENERGY_WINDOW, plan_pb2.CLAUSE_USD_WINDOW)


def unit(decision: plan_pb2.Decision) -> str:
    """What the answer of a plan is counted in."""
    return "word" if decision.alignment == plan_pb2.ALIGNMENT_BYTE_EXACT else "token"


def answering(decision: plan_pb2.Decision, escalations: int) -> plan_pb2.Decision:
    """The vote that answers: the decision itself, or the stage after so many escalations."""
    if not decision.stages:
        return decision
    return decision.stages[min(escalations, len(decision.stages) - 1)].decision


def kind_name(kind: int) -> str:
    """Name of a kind of plan."""
    return enum_name(plan_pb2.PlanKind.DESCRIPTOR, kind)


def members_words(decision: plan_pb2.Decision) -> str:
    """Who answers: one model, several with their weights, stages one after the other, a remote."""
    if decision.remote:
        return f"remote {decision.remote}"
    if decision.stages:
        return " \N{RIGHTWARDS ARROW} ".join(
            "+".join(member.model for member in stage.decision.members) for stage in decision.stages
        )
    if decision.HasField("answers"):
        names = " + ".join(f"{member.model} {member.weight:.2g}" for member in decision.members)
        return f"{names}, {answers_manner(decision)}"
    if len(decision.members) == 1:
        return decision.members[0].model
    names = " + ".join(f"{member.model} {member.weight:.2g}" for member in decision.members)
    return f"{names}, {notable_manner(decision)}"


def manner(decision: plan_pb2.Decision) -> str:
    """Rule, alignment and weighting."""
    return ", ".join(_names(decision))


def notable_manner(decision: plan_pb2.Decision) -> str:
    """The rule, and what of alignment and weighting is not what everybody expects."""
    rule, alignment, weighting = _names(decision)
    names = [rule]
    if decision.alignment not in (
        plan_pb2.ALIGNMENT_UNSPECIFIED,
        plan_pb2.ALIGNMENT_SAME_VOCABULARY,
    ):
        names.append(alignment)
    if decision.weighting not in (plan_pb2.WEIGHTING_UNSPECIFIED, plan_pb2.WEIGHTING_STATIC):
        names.append(weighting)
    return ", ".join(names)


def drafts_words(decision: plan_pb2.Decision) -> list[str]:
    """How tokens are had for less than a step of everybody; empty where they are not."""
    draft, gate = decision.draft, decision.gate
    if decision.HasField("gate"):
        return [f"{gate.leader} goes on alone from a margin of {gate.threshold:.2g}"]
    words = [f"{draft.model} guesses up to {draft.most} tokens"] if draft.model else []
    if draft.member_first:
        words.append("each token from one member, drawn by weight")
    return words


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


def over_budget_line(decision: plan_pb2.Decision, *, told: bool = False) -> str:
    """Why the best local plan is not good enough and what runs instead; empty where it is.

    Where everything against the candidates was ``told`` already, it is not said again.
    """
    if not decision.HasField("over_budget"):
        return ""
    if decision.remote:
        answers = f"remote {decision.remote} answers"
    elif told and decision.over_budget.clause in _WINDOWS:
        # A window is a limit whatever the policy: this is no answer that goes beyond its own.
        answers = "as the window stands, it would be refused"
    else:
        answers = f"{chosen_name(decision) or 'the plan'} answers all the same"
    why = decision.over_budget.message
    against = (one.message for each in decision.candidates for one in each.rejections)
    if told and why in against:
        return f"over budget: {answers}"
    return f"over budget: {why}; {answers}"


def substitution_line(decision: plan_pb2.Decision, *, told: bool = False) -> str:
    """Which plan answers instead of the one that was asked for, and why; empty where none does.

    ``told`` is as for ``over_budget_line``.
    """
    if not decision.instead_of:
        return ""
    asked = next(each for each in decision.candidates if each.name == decision.instead_of)
    line = f"{chosen_name(decision)} answers instead of {asked.name}"
    return line if told else f"{line}: {reasons(asked)}"


def detours(decision: plan_pb2.Decision) -> Iterator[str]:
    """What a caller should know before the answer and no notice tells: what is over budget."""
    if decision.instead_of:
        return
    line = over_budget_line(decision)
    if line:
        yield line
    elif decision.remote:
        yield f"remote {decision.remote} answers"


def _names(decision: plan_pb2.Decision) -> tuple[str, str, str]:
    return (
        enum_name(plan_pb2.CombinationRule.DESCRIPTOR, decision.rule),
        enum_name(plan_pb2.Alignment.DESCRIPTOR, decision.alignment).replace("_", "-"),
        enum_name(plan_pb2.Weighting.DESCRIPTOR, decision.weighting),
    )
