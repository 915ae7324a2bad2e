"""Messages from keyword arguments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypedDict, Unpack

from quorate.errors import InvalidRequest
from quorate.v1 import inference_pb2, plan_pb2

_SAMPLING = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "seed",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
)
_BEAM = {"beam_epsilon": "epsilon", "beam_width": "width"}
_PLAN_DETAILS = ("rule", "alignment", "weighting", "forgetting", *_BEAM, "failure_policy")


class PlanOptions(TypedDict, total=False):
    """The prompt and the plan: name a model, several models or a profile, or leave the choice open.

    None is as good as not given, here and in ``GenerateOptions``.

    Attributes:
        messages: A chat instead of a prompt: pairs of role and content.
        model: One model.
        models: Several models that vote, with or without weights.
        profile: A named plan of the server's configuration.
        rule: ``linear``, ``geometric`` or ``majority``; for ``models`` alone, as the next five.
        alignment: ``auto``, ``same_vocabulary``, ``byte_exact`` or ``union_top_k``.
        weighting: ``static``, ``bayesian``, ``prompt`` or ``confidence``.
        forgetting: Share of what Bayesian weights keep from byte to byte; 1 forgets nothing.
        beam_epsilon: Share from which a byte-exact vote follows a way to cut the text.
        beam_width: Most of them followed at once.
        failure_policy: ``continue``, ``replay`` or ``fail``, when a member dies in mid-stream.
        request_id: Chosen by the caller, echoed in the answer.
        timeout: Deadline in seconds from now.
    """

    messages: Iterable[tuple[str, str]] | None
    model: str | None
    models: Mapping[str, float | None] | Sequence[str] | None
    profile: str | None
    rule: str | None
    alignment: str | None
    weighting: str | None
    forgetting: float | None
    beam_epsilon: float | None
    beam_width: int | None
    failure_policy: str | None
    request_id: str | None
    timeout: float | None


class GenerateOptions(PlanOptions, total=False):
    """How an answer is drawn, when it ends, and what the stream shows.

    Attributes:
        temperature: 0 is greedy.
        top_p: Mass of the nucleus.
        top_k: Candidates kept; 0 keeps all.
        min_p: Candidates below this share of the best one's probability are dropped.
        seed: Makes an answer repeatable.
        repetition_penalty: 1 is none.
        presence_penalty: Subtracted once from tokens already generated.
        frequency_penalty: Subtracted for each earlier occurrence of a token.
        logit_bias: Token id to the amount added to its log-prob, in nats.
        max_tokens: Most tokens of the answer.
        max_bytes: Most bytes of the answer.
        stop: Strings before which the answer ends.
        top_logprobs: Number of the mixture's best candidates shown with each token.
        votes: Whether each token comes with each member's vote.
    """

    temperature: float | None
    top_p: float | None
    top_k: int | None
    min_p: float | None
    seed: int | None
    repetition_penalty: float | None
    presence_penalty: float | None
    frequency_penalty: float | None
    logit_bias: Mapping[int, float] | None
    max_tokens: int | None
    max_bytes: int | None
    stop: Sequence[str] | None
    top_logprobs: int | None
    votes: bool | None


def generate_request(
    prompt: str | None = None, **options: Unpack[GenerateOptions]
) -> inference_pb2.GenerateRequest:
    """Builds a request for text.

    Raises:
        InvalidRequest: Not exactly one of prompt and messages, more than one of model, models and
            profile, or a value that no message can hold.
    """
    given = _given(options)
    request = inference_pb2.GenerateRequest()
    _fill_input(request, prompt, given)
    _fill_plan(request, given)
    _fill(request.sampling, given, _SAMPLING)
    _fill(request.stopping, given, ("max_tokens", "max_bytes"))
    _fill(request.response, given, ("top_logprobs",))
    with _refusing("votes"):
        request.response.member_votes = given.get("votes", False)
    with _refusing("stop"):
        request.stopping.stop.extend(_list_of(given, "stop"))
    with _refusing("logit_bias"):
        request.sampling.logit_bias.update(given.get("logit_bias", {}))
    return request


def score_request(
    prompt: str | None, continuation: str, **options: Unpack[PlanOptions]
) -> inference_pb2.ScoreRequest:
    """Builds a request for a score.

    Raises:
        InvalidRequest: As for ``generate_request``.
    """
    given = _given(options)
    request = inference_pb2.ScoreRequest()
    with _refusing("continuation"):
        request.continuation = continuation
    _fill_input(request, prompt, given)
    _fill_plan(request, given)
    return request


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _fill(target: Any, given: Mapping[str, Any], names: Iterable[str]) -> None:
    for name in names:
        if name in given:
            with _refusing(name):
                setattr(target, name, given[name])


@contextmanager
def _refusing(name: str) -> Iterator[None]:
    """Names the argument that protobuf cannot take."""
    try:
        yield
    except UnicodeEncodeError:
        raise InvalidRequest(name, "is not valid Unicode text") from None
    except (AttributeError, TypeError, ValueError) as error:
        raise InvalidRequest(name, str(error)) from None


def _list_of(given: Mapping[str, Any], name: str) -> Iterable[Any]:
    """The values of an argument that must not be a single text."""
    values: Iterable[Any] = given.get(name, ())
    if isinstance(values, str):
        raise InvalidRequest(name, f"is the text {values!r}; give a list")
    return values


def _fill_input(request: Any, prompt: str | None, given: Mapping[str, Any]) -> None:
    if (prompt is None) == ("messages" not in given):
        raise InvalidRequest("prompt", "give either a prompt or messages")
    _fill(request, given, ("request_id",))
    if prompt is not None:
        _fill(request, {"prompt": prompt}, ("prompt",))
        return
    request.chat.SetInParent()
    with _refusing("messages"):
        for role, content in _list_of(given, "messages"):
            request.chat.messages.add(role=role, content=content)


def _fill_plan(request: Any, given: Mapping[str, Any]) -> None:
    named = [name for name in ("model", "models", "profile") if name in given]
    if len(named) > 1:
        raise InvalidRequest(named[1], f"cannot be combined with {named[0]}; give one of them")
    if "model" in given:
        _fill(request.plan.single, given, ("model",))
    if "models" in given:
        _fill_ensemble(request.plan.ensemble, given)
    _fill(request, given, ("profile",))
    lost = [name for name in _PLAN_DETAILS if name in given and not _has_place(name, named)]
    if lost:
        raise InvalidRequest(lost[0], "belongs to a plan; name the models it is for")
    if "failure_policy" in given:
        request.plan.failure_policy = _enum(given, "failure_policy", plan_pb2.FailurePolicy)


def _has_place(detail: str, named: Sequence[str]) -> bool:
    return named == ["models"] or (detail == "failure_policy" and named == ["model"])


def _fill_ensemble(ensemble: plan_pb2.EnsemblePlan, given: Mapping[str, Any]) -> None:
    models = given["models"]
    if isinstance(models, str):
        raise InvalidRequest("models", f"is the text {models!r}; give a list or model={models!r}")
    ensemble.SetInParent()
    with _refusing("models"):
        for model in models:
            weight = models[model] if isinstance(models, Mapping) else None
            ensemble.members.add(model=model, weight=weight)
    ensemble.rule = _enum(given, "rule", plan_pb2.CombinationRule)
    ensemble.alignment = _enum(given, "alignment", plan_pb2.Alignment)
    ensemble.weighting = _enum(given, "weighting", plan_pb2.Weighting)
    _fill(ensemble, given, ("forgetting",))
    for name, field in _BEAM.items():
        if name in given:
            with _refusing(name):
                setattr(ensemble.beam, field, given[name])


def _enum(given: Mapping[str, Any], name: str, kind: Any) -> Any:
    prefix = kind.keys()[0].removesuffix("UNSPECIFIED")
    known = {key.removeprefix(prefix).lower(): number for key, number in kind.items()}
    value = given.get(name, "unspecified")
    if not isinstance(value, str) or value not in known:
        choices = ", ".join(choice for choice in known if choice != "unspecified")
        raise InvalidRequest(name, f"is {value!r}; choose one of {choices}")
    return known[value]
