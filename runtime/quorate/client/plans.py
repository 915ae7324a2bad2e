"""The plan of a request from keyword arguments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from quorate.client.filling import enum_of, fill, list_of, refusing
from quorate.errors import InvalidRequest
from quorate.v1 import plan_pb2

_CHOICES = ("model", "models", "stages", "profile", "auto")
_BEAM = {"beam_epsilon": "epsilon", "beam_width": "width"}
_VOTE = ("rule", "alignment", "weighting", "forgetting", *_BEAM, "drafts", "drafts_most")


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
        "failure_policy": ("model", "models", "stages"),
        "stream_early": ("stages",),
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
    for name, field in _BEAM.items():
        if name in given:
            with refusing(name):
                setattr(ensemble.beam, field, given[name])
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


def _fill_members(
    ensemble: plan_pb2.EnsemblePlan, models: Mapping[str, float | None] | Sequence[str], name: str
) -> None:
    ensemble.SetInParent()
    with refusing(name):
        for model in models:
            weight = models[model] if isinstance(models, Mapping) else None
            ensemble.members.add(model=model, weight=weight)


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
