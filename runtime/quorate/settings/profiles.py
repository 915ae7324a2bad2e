"""The named plans of the configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any, TypeVar

from quorate.errors import InvalidRequest, NotFound, SettingsError
from quorate.options import (
    Faults,
    as_float,
    as_table,
    field_names,
    option,
    read_options,
    refuse_unknown,
)
from quorate.request import (
    MAX_DRAFT,
    MAX_SAMPLES,
    Alignment,
    AnswersPlan,
    BeamOptions,
    CascadePlan,
    CombinationRule,
    Comparison,
    DraftMode,
    DraftOptions,
    FailurePolicy,
    GateOptions,
    NamedPlan,
    Plan,
    Selection,
    Stage,
    WeightedModel,
    Weighting,
)
from quorate.request.plans import DEFAULT_WIDTH
from quorate.routing.answers import answers_problems
from quorate.routing.drafting import draft_problems
from quorate.routing.gating import DEFAULT_THRESHOLD, gate_problems
from quorate.routing.resolve import (
    DEFAULT_EPSILON,
    DEFAULT_FORGETTING,
    MAX_EPSILON,
    MAX_WIDTH,
    share_weights,
)

_OF_ANSWERS = ("answers", "select", "compare", "weighting", "on_failure")
_CHOICES = ("members", "rule", "alignment", "weighting", "on_failure", "drafts", "gate_leader")
_Choice = TypeVar("_Choice", bound=Enum)


@dataclass(frozen=True, slots=True)
class _PlanNumbers:
    """The numbers of a profile; those that are not given stay open."""

    forgetting: float = option(DEFAULT_FORGETTING, lowest=1e-9, highest=1)
    beam_epsilon: float = option(DEFAULT_EPSILON, lowest=0, highest=MAX_EPSILON)
    beam_width: int = option(DEFAULT_WIDTH, lowest=1, highest=MAX_WIDTH)
    drafts_most: int = option(MAX_DRAFT, lowest=1, highest=MAX_DRAFT)
    gate_threshold: float = option(DEFAULT_THRESHOLD, lowest=0, highest=1)
    gate_share: float = option(0.0, lowest=0, highest=1)


@dataclass(frozen=True, slots=True)
class _CascadeOptions:
    """What a cascade may say beside its stages."""

    stream_early: bool = False


@dataclass(frozen=True, slots=True)
class _StageOptions:
    """What a stage of a cascade may say beside its plan."""

    confidence: float = option(0.0, lowest=0, highest=1)


@dataclass(frozen=True, slots=True)
class _AnswersOptions:
    """What a vote of whole answers may say beside its members and what is one of several words."""

    samples: int = option(1, lowest=1, highest=MAX_SAMPLES)
    stream_early: bool = False


def read_profile(table: Mapping[str, Any], where: str, models: Sequence[str]) -> NamedPlan:
    """Reads a profile of the models that there are.

    It is a vote, with ``stages`` a cascade of votes, and with ``answers`` a vote of whole answers.

    Raises:
        SettingsError: Names the key that is wrong.
    """
    if "stages" in table:
        return _cascade(table, where, models)
    if "answers" in table:
        return _answers(table, where, models)
    return _vote(table, where, models)


def _cascade(table: Mapping[str, Any], where: str, models: Sequence[str]) -> CascadePlan:
    faults = Faults()
    faults.check(
        lambda: refuse_unknown(table, ("stages", *field_names(_CascadeOptions)), where), None
    )
    known = {name: table[name] for name in field_names(_CascadeOptions) if name in table}
    options = faults.check(lambda: read_options(_CascadeOptions, known, where), _CascadeOptions())
    stages = table["stages"]
    if not isinstance(stages, list) or len(stages) < 2:
        faults.add(SettingsError(f"{where}.stages: must be a list with at least two stages"))
        faults.refuse()
    read = [
        faults.check(partial(_stage, stage, f"{where}.stages[{index}]", models), None)
        for index, stage in enumerate(stages)
    ]
    faults.refuse()
    return CascadePlan(tuple(stage for stage in read if stage), options.stream_early)


def _answers(table: Mapping[str, Any], where: str, models: Sequence[str]) -> AnswersPlan:
    faults = Faults()
    check, names = faults.check, field_names(_AnswersOptions)
    check(lambda: refuse_unknown(table, (*_OF_ANSWERS, *names), where), None)
    known = {name: table[name] for name in names if name in table}
    options = check(lambda: read_options(_AnswersOptions, known, where), _AnswersOptions())
    nobody: tuple[WeightedModel, ...] = ()
    members = check(lambda: _members(table["answers"], where, models, "answers"), nobody)
    select = check(lambda: _choice(table, "select", Selection.MAJORITY, where), None)
    compare = check(lambda: _choice(table, "compare", Comparison.EXACT, where), None)
    weighting = check(lambda: _choice(table, "weighting", Weighting.STATIC, where), None)
    on_failure = check(lambda: _choice(table, "on_failure", FailurePolicy.AUTO, where), None)
    faults.refuse()
    plan = AnswersPlan(
        members=members,
        samples=options.samples,
        select=select or Selection.MAJORITY,
        compare=compare or Comparison.EXACT,
        weighting=weighting or Weighting.STATIC,
        on_failure=on_failure or FailurePolicy.AUTO,
        stream_early=options.stream_early,
    )
    for problem in answers_problems(plan):
        name = problem.field.removeprefix("plan.answers.")
        raise SettingsError(f"{where}.{name}: {problem.problem}")
    return plan


def _stage(value: Any, where: str, models: Sequence[str]) -> Stage:
    table, faults = as_table(value, where), Faults()
    own = {name: value for name, value in table.items() if name in field_names(_StageOptions)}
    options = faults.check(lambda: read_options(_StageOptions, own, where), _StageOptions())
    rest = {name: value for name, value in table.items() if name not in own}
    vote = faults.check(lambda: _vote(rest, where, models), None)
    faults.refuse()
    assert vote is not None
    return Stage(vote, options.confidence if own else None)


def _vote(table: Mapping[str, Any], where: str, known: Sequence[str]) -> Plan:
    faults = Faults()
    check = faults.check
    check(lambda: refuse_unknown(table, (*_CHOICES, *field_names(_PlanNumbers)), where), None)
    given = {name: table[name] for name in field_names(_PlanNumbers) if name in table}
    details = check(lambda: read_options(_PlanNumbers, given, where), _PlanNumbers())
    numbers = {name: getattr(details, name) for name in given}
    nobody: tuple[WeightedModel, ...] = ()
    members = check(lambda: _members(table.get("members"), where, known), nobody)
    rule = check(lambda: _choice(table, "rule", CombinationRule.LINEAR, where), None)
    alignment = check(lambda: _choice(table, "alignment", Alignment.AUTO, where), None)
    weighting = check(lambda: _choice(table, "weighting", Weighting.AUTO, where), None)
    on_failure = check(lambda: _choice(table, "on_failure", FailurePolicy.AUTO, where), None)
    draft = DraftOptions()
    if members:
        most = numbers.get("drafts_most")
        draft = check(lambda: _draft(table, members, most, where), draft)
    gate = GateOptions(
        table.get("gate_leader"), numbers.get("gate_threshold"), numbers.get("gate_share")
    )
    check(lambda: _check_gate(gate, members, where), None)
    faults.refuse()
    return Plan(
        members=members,
        rule=rule or CombinationRule.LINEAR,
        alignment=alignment or Alignment.AUTO,
        weighting=weighting or Weighting.AUTO,
        on_failure=on_failure or FailurePolicy.AUTO,
        forgetting=numbers.get("forgetting"),
        beam=BeamOptions(numbers.get("beam_epsilon"), numbers.get("beam_width")),
        draft=draft,
        gate=gate,
    )


def _members(
    entries: Any, where: str, known: Sequence[str], name: str = "members"
) -> tuple[WeightedModel, ...]:
    if not isinstance(entries, list) or not entries:
        raise SettingsError(f"{where}.{name}: must be a list with at least one member")
    faults = Faults()
    read = [
        faults.check(partial(_member, entry, f"{where}.{name}[{index}]", known), None)
        for index, entry in enumerate(entries)
    ]
    faults.refuse()
    members = tuple(member for member in read if member)
    if len({member.model for member in members}) < len(members):
        raise SettingsError(f"{where}.{name}: a model is named twice; give it one weight instead")
    try:
        share_weights([member.weight for member in members])
    except InvalidRequest as error:
        place = error.field.removeprefix("plan.ensemble.members")
        raise SettingsError(f"{where}.{name}{place}: {error.problem}") from error
    return members


def _draft(
    table: Mapping[str, Any], members: Sequence[WeightedModel], most: int | None, where: str
) -> DraftOptions:
    """Reads who guesses: a mode by its name, or a member by its id."""
    value = table.get("drafts", DraftMode.AUTO.value)
    modes = {mode.value: mode for mode in DraftMode}
    if not isinstance(value, str):
        raise SettingsError(
            f"{where}.drafts: must be one of {', '.join(modes)}, or a member, not {value!r}"
        )
    draft = DraftOptions(modes[value], None, most) if value in modes else None
    draft = draft or DraftOptions(model=value, most=most)
    for problem in draft_problems(draft, [member.model for member in members]):
        raise SettingsError(
            f"{where}.drafts: must be one of {', '.join(modes)}, or a member; it {problem.problem}"
        )
    return draft


def _check_gate(gate: GateOptions, members: Sequence[WeightedModel], where: str) -> None:
    if gate.leader is not None and not isinstance(gate.leader, str):
        raise SettingsError(f"{where}.gate_leader: must be the id of a member, not {gate.leader!r}")
    for problem in gate_problems(gate, [member.model for member in members]):
        name = problem.field.removeprefix("plan.ensemble.").replace(".", "_")
        raise SettingsError(f"{where}.{name}: {problem.problem}")


def _member(entry: Any, where: str, known: Sequence[str]) -> WeightedModel:
    named: Mapping[str, Any] = {"model": entry}
    table = named if isinstance(entry, str) else as_table(entry, where)
    faults = Faults()
    faults.check(lambda: refuse_unknown(table, ("model", "weight"), where), None)
    model, weight = table.get("model"), table.get("weight")
    if not isinstance(model, str):
        faults.add(SettingsError(f"{where}.model: must be the id of a model, not {model!r}"))
    elif model not in known:
        faults.add(SettingsError(f"{where}.model: {NotFound('model', model, known).message}"))
    if weight is not None and type(weight) not in (int, float):
        faults.add(SettingsError(f"{where}.weight: must be a number, not {weight!r}"))
    faults.refuse()
    assert isinstance(model, str)
    return WeightedModel(model, None if weight is None else as_float(weight))


def _choice(table: Mapping[str, Any], name: str, default: _Choice, where: str) -> _Choice:
    value = table.get(name, default.value)
    choices = {choice.value: choice for choice in type(default)}
    if not isinstance(value, str) or value not in choices:
        raise SettingsError(f"{where}.{name}: must be one of {', '.join(choices)}, not {value!r}")
    return choices[value]
