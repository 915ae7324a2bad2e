"""The object ``quorate``: what requests may say there, and what answers tell. Pure.

Its names are those of the gRPC API, whose fields mean the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import Enum
from typing import Any, TypeVar

from quorate.access import limits
from quorate.api.http.fields import Fields
from quorate.api.http.forms import FORM_FIELDS
from quorate.errors import InvalidRequest
from quorate.foreign_text import nearest_names, one_line
from quorate.request import (
    Budget,
    Candidate,
    Comparison,
    Decision,
    Finished,
    ModelUsage,
    Notice,
    Outcome,
    Selection,
    Token,
    Weighting,
    total_energy,
)

_Word = TypeVar("_Word", bound=Enum)

NAME = "quorate"
"""Of the object, in requests and in answers."""


@dataclass(frozen=True, slots=True)
class AnswersOptions:
    """How whole answers vote, as in ``AnswersPlan``.

    Attributes:
        path: Of the object.
    """

    path: str
    samples: int = 1
    select: Selection = Selection.MAJORITY
    compare: Comparison = Comparison.EXACT
    weighting: Weighting = Weighting.STATIC


@dataclass(frozen=True, slots=True)
class Extension:
    """What a request says beside what other servers know.

    Attributes:
        request_id: The caller's own; "" for none.
        votes: Whether each member's vote is told with each token.
        allow_text: Whether a member without a chat template may read a chat's texts instead.
        candidates: Whether the plans that were considered are told.
        answers: How whole answers vote, where they do; None leaves all of it open.
    """

    request_id: str = ""
    budget: Budget = field(default_factory=Budget)
    local_only: bool = False
    task: str = ""
    votes: bool = False
    allow_substitution: bool | None = None
    allow_text: bool = False
    candidates: bool = False
    answers: AnswersOptions | None = None


_KNOWN = (*(one.name for one in fields(Extension)), *FORM_FIELDS)


def read_extension(body: Fields) -> Extension:
    """What a body says in it.

    Raises:
        InvalidRequest: A field that is not known, or that can never be served.
    """
    given = body.object(NAME)
    if given is None:
        return Extension()
    _refuse_unknown(given, _KNOWN)
    return Extension(
        request_id=limits.request_id(given.path("request_id"), given.text("request_id") or ""),
        budget=_budget(given.object("budget")),
        local_only=given.flag("local_only") or False,
        task=limits.task(given.path("task"), given.text("task") or ""),
        votes=given.flag("votes") or False,
        allow_substitution=given.flag("allow_substitution"),
        allow_text=given.flag("allow_text") or False,
        candidates=given.flag("candidates") or False,
        answers=_answers(given.object("answers"), given.path("answers")),
    )


def _answers(given: Fields | None, path: str) -> AnswersOptions | None:
    if given is None:
        return None
    _refuse_unknown(given, ("samples", "select", "compare", "weighting"))
    samples = given.integer("samples", lowest=1)
    return AnswersOptions(
        path=path,
        samples=1 if samples is None else samples,
        select=_word(given, "select", Selection.MAJORITY),
        compare=_word(given, "compare", Comparison.EXACT),
        weighting=_word(given, "weighting", Weighting.STATIC),
    )


def _word(given: Fields, name: str, default: _Word) -> _Word:
    words = {one.value: one for one in type(default)}
    written = given.text(name)
    if written is None:
        return default
    if written not in words:
        raise InvalidRequest(given.path(name), f"is not known; known: {', '.join(words)}")
    return words[written]


def _budget(given: Fields | None) -> Budget:
    if given is None:
        return Budget()
    names = [one.name for one in fields(Budget)]
    _refuse_unknown(given, names)
    return Budget(
        **{name: limits.not_negative(given.path(name), given.number(name)) for name in names}
    )


def _refuse_unknown(given: Fields, known: Iterable[str]) -> None:
    known = list(known)
    for name in given.names():
        if name not in known:
            near = nearest_names(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
            raise InvalidRequest(given.path(one_line(name, 64)), f"is not known; {hint}")


def told_at_first(
    request_id: str, decision: Decision, *, candidates: bool = False
) -> dict[str, Any]:
    """What is told when an answer begins: what runs, and how it came about.

    Where ``candidates`` are asked for, every plan that was considered as well.
    """
    route = decision.route
    # Of whole answers each vote has but one member; its weight among all is the decision's.
    votes = (decision,) if route.answers is not None else decision.votes
    told: dict[str, Any] = {
        "request_id": request_id,
        "plan": route.name,
        "kind": route.kind.value,
        "members": [
            {"model": member.model, "weight": member.weight}
            for vote in votes
            for member in vote.members
        ],
        "seed": decision.seed,
        "input_form": decision.input_form.value,
    }
    if route.answers is not None:
        told["select"] = route.answers.select.value
        told["compare"] = route.answers.compare.value
        told["samples"] = route.answers.samples
        told["weighting"] = route.answers.weighting.value
    elif len(decision.members) > 1:
        told["rule"] = decision.rule.value
        told["alignment"] = decision.alignment.value
        told["weighting"] = decision.weighting.value
    named = {
        "profile": decision.profile,
        "remote": route.remote,
        "task": route.task,
        "instead_of": route.instead_of,
        "draft": decision.draft.model,
        "over_budget": one_line(route.over_budget.message) if route.over_budget else "",
    }
    if candidates:
        told["candidates"] = list(map(_candidate, route.candidates))
    return {**told, **{name: value for name, value in named.items() if value}}


def _candidate(one: Candidate) -> dict[str, Any]:
    return _known(
        {
            "name": one.name,
            "kind": one.kind.value,
            "chosen": one.chosen,
            "quality": one.quality,
            "time_ms": one.forecast.time_ms,
            "joules": one.forecast.joules,
            "usd": one.forecast.usd,
            "reasons": [one_line(rejection.message) for rejection in one.rejections],
        }
    )


def told_at_last(finished: Finished, notices: Iterable[Notice]) -> dict[str, Any]:
    """What is told when an answer has ended: what it took, and how whole answers voted.

    What is not known is left out.
    """
    usage, outcome = finished.usage, finished.outcome
    energy = total_energy([model.energy for model in usage.models])
    priced = [model.usd for model in usage.models if model.usd is not None]
    return _known(
        {
            "time_to_first_token_ms": usage.time_to_first_token_ms,
            "duration_ms": usage.duration_ms,
            "joules": energy.joules,
            "energy_tier": energy.tier.value,
            "usd": sum(priced) if priced else None,
            "drafted_tokens": usage.drafted_tokens,
            "accepted_tokens": usage.accepted_tokens,
            "models": [_told_of(model) for model in usage.models],
            "notices": [
                {"kind": one.kind.value, "model": one.model, "message": one_line(one.message)}
                for one in notices
            ],
            "outcome": None if outcome is None else _outcome(outcome),
        }
    )


def _outcome(outcome: Outcome) -> dict[str, Any]:
    return {
        "kept": outcome.kept,
        "tied": outcome.tied,
        "groups": [asdict(group) for group in outcome.groups],
        "answers": [_known(asdict(answer)) for answer in outcome.answers],
    }


def _told_of(model: ModelUsage) -> dict[str, Any]:
    return _known(
        {
            "model": model.model,
            "prompt_tokens": model.prompt_tokens,
            "cached_prompt_tokens": model.cached_prompt_tokens,
            "generated_tokens": model.generated_tokens,
            "busy_ms": model.busy_ms,
            "joules": model.energy.joules,
            "energy_tier": model.energy.tier.value,
            "usd": model.usd,
            "dropped_mass": model.dropped_mass,
        }
    )


def votes_of(token: Token) -> dict[str, Any]:
    """The votes for one token; pieces that are no whole text have marks in their place.

    A log-prob is null where a member has no such token, since JSON has no infinity.
    """
    return {
        "piece": piece_text(token.piece),
        "logprob": _finite(token.logprob),
        "votes": [
            {
                "model": vote.model,
                "piece": piece_text(vote.piece),
                "logprob": _finite(vote.logprob),
                "weight": vote.weight,
                "chosen_logprob": _finite(vote.chosen_logprob),
            }
            for vote in token.votes
        ],
    }


def piece_text(piece: bytes) -> str:
    """The bytes of a token as text."""
    return piece.decode("utf-8", errors="replace")


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _known(told: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in told.items() if value is not None}
