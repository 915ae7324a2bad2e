"""The plan of a request from keyword arguments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from quorate.client.filling import enum_of, fill, list_of, refusing
from quorate.errors import InvalidRequest
from quorate.v1 import plan_pb2

_CHOICES = ("model", "models", "stages", "answers", "profile", "auto")
_BEAM = {"beam_epsilon": "epsilon", "beam_width": "width"}
_GATE = {"gate_leader": "leader", "gate_threshold": "threshold", "gate_share": "share"}
_ANSWERS = ("samples", "select", "compare")
_VOTE = ("rule", "alignment", "weighting", "forgetting", *_BEAM, "drafts", "drafts_most", *_GATE)


def fill_plan(request: Any, given: Mapping[str, Any]) -> None:
    """Writes the plan into a request that has ``plan`` and ``profile``.

    Raises:
        InvalidRequest: More than one choice of a plan, or details without the plan they are for.
    """
    named = [name for name in _CHOICES if given.get(name, False) is not False]
    if len(named) > 1:
        raise InvalidRequest(named[1], f"cannot be combined with {named[0]}; give one of them")
    choice = named[0] if named else ""
    for name in _lost(given, choice):
        raise InvalidRequest(name, "belongs to a plan; name the models it is for")
    if choice == "model":
        fill(request.plan.single, given, ("model",))
    if choice == "models":
        _fill_ensemble(request.plan.ensemble, given)
    if choice == "stages":
        _fill_cascade(request.plan.cascade, given)
    if choice == "answers":
        _fill_answers(request.plan.answers, given)
    if choice == "auto":
        request.plan.auto.SetInParent()
    fill(request, given, ("profile",))
    if "failure_policy" in given:
        request.plan.failure_policy = enum_of(
            "failure_policy", given["failure_policy"], plan_pb2.FailurePolicy
        )


def _lost(given: Mapping[str, Any], choice: str) -> Iterator[str]:
    """Details that have no place in the plan that was chosen."""
    places = {
        **dict.fromkeys(_VOTE, ("models",)),
        "weighting": ("models", "answers"),
        **dict.fromkeys(_ANSWERS, ("answers",)),
        "failure_policy": ("model", "models", "stages", "answers"),
        "stream_early": ("stages", "answers"),
    }
    for name, choices in places.items():
        if given.get(name, False) is not False and choice not in choices:
            yield name


def _fill_ensemble(ensemble: plan_pb2.EnsemblePlan, given: Mapping[str, Any]) -> None:
    models = given["models"]
    if isinstance(models, str):
        raise InvalidRequest("models", f"is the text {models!r}; give a list or model={models!r}")
    _fill_members(ensemble, models, "models")
    kinds = {
        "rule": plan_pb2.CombinationRule,
        "alignment": plan_pb2.Alignment,
        "weighting": plan_pb2.Weighting,
    }
    for name, kind in kinds.items():
        setattr(ensemble, name, enum_of(name, given.get(name, "unspecified"), kind))
    fill(ensemble, given, ("forgetting",))
    for message, names in ((ensemble.beam, _BEAM), (ensemble.gate, _GATE)):
        for name, field in names.items():
            if name in given:
                with refusing(name):
                    setattr(message, field, given[name])
    _fill_draft(ensemble, given)


def _fill_draft(ensemble: plan_pb2.EnsemblePlan, given: Mapping[str, Any]) -> None:
    """A mode by its name; any other name is that of the member that guesses."""
    if "drafts" in given:
        with refusing("drafts"):
            modes: dict[str, Any] = dict(plan_pb2.DraftMode.items())
            mode = modes.get(f"DRAFT_MODE_{given['drafts'].upper()}")
            if mode is not None:
                ensemble.draft.mode = mode
            else:
                ensemble.draft.model = given["drafts"]
    if "drafts_most" in given:
        with refusing("drafts_most"):
            ensemble.draft.most = given["drafts_most"]


def _fill_answers(answers: plan_pb2.AnswersPlan, given: Mapping[str, Any]) -> None:
    models = given["answers"]
    if isinstance(models, str):
        raise InvalidRequest("answers", f"is the text {models!r}; give a list")
    _fill_members(answers, models, "answers")
    kinds = {
        "select": plan_pb2.Selection,
        "compare": plan_pb2.Comparison,
        "weighting": plan_pb2.Weighting,
    }
    for name, kind in kinds.items():
        setattr(answers, name, enum_of(name, given.get(name, "unspecified"), kind))
    fill(answers, given, ("samples", "stream_early"))


def _fill_members(
    target: plan_pb2.EnsemblePlan | plan_pb2.AnswersPlan,
    models: Mapping[str, float | None] | Sequence[str],
    name: str,
) -> None:
    target.SetInParent()
    with refusing(name):
        for model in models:
            weight = models[model] if isinstance(models, Mapping) else None
            target.members.add(model=model, weight=weight)


def _fill_cascade(cascade: plan_pb2.CascadePlan, given: Mapping[str, Any]) -> None:
    cascade.SetInParent()
    fill(cascade, given, ("stream_early",))
    for index, choice in enumerate(list_of(given, "stages")):
        _fill_stage(cascade.stages.add(), choice, f"stages[{index}]")


def _fill_stage(stage: plan_pb2.CascadeStage, choice: Any, name: str) -> None:
    models, confidence = choice, None
    if isinstance(choice, tuple):
        if len(choice) != 2 or isinstance(choice[1], str):
            raise InvalidRequest(
                name, f"is the tuple {choice!r}; a tuple is (stage, confidence), models are a list"
            )
        models, confidence = choice
    if isinstance(models, str):
        fill(stage.single, {"model": models}, ("model",))
    else:
        _fill_members(stage.ensemble, models, name)
    if confidence is not None:
        with refusing(name):
            stage.confidence = confidence
