"""The plans that a calibration asks: models alone, votes and profiles of a server."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from quorate.cli.members import Member
from quorate.client import Client, PlanOptions
from quorate.errors import CannotRun
from quorate.request import (
    Alignment,
    CombinationRule,
    Decision,
    FailurePolicy,
    WeightedModel,
    Weighting,
)
from quorate.routing.forecast import vote_key
from quorate.v1 import models_pb2, plan_pb2

_PROFILE = "profile:"
_ANY_PROMPT = "."


@dataclass(frozen=True, slots=True)
class AskedPlan:
    """One plan.

    Attributes:
        name: For people.
        options: The client's arguments for it.
        decision: What the server makes of it.
        vote: Key of the vote, see ``forecast.vote_key``; "" for a cascade, which is none.
        models: Description of each of its models, by id.
        chat: Whether all of its models have a chat template.
    """

    name: str
    options: PlanOptions
    decision: plan_pb2.Decision
    vote: str
    models: Mapping[str, str]
    chat: bool

    @property
    def members(self) -> tuple[str, ...]:
        """Ids of the models that vote in it."""
        return tuple(member.model for member in self.decision.members)

    @property
    def key(self) -> str:
        """Changes with anything that an answer depends on, the question and its limit left out."""
        content = plan_pb2.Decision(
            members=self.decision.members,
            rule=self.decision.rule,
            alignment=self.decision.alignment,
            weighting=self.decision.weighting,
            stages=self.decision.stages,
        )
        for stage in content.stages:
            stage.decision.ClearField("seed")
            stage.decision.ClearField("candidates")
        if self.decision.HasField("forgetting"):
            content.forgetting = self.decision.forgetting
        if self.decision.HasField("beam"):
            content.beam.CopyFrom(self.decision.beam)
        known = json.dumps([sorted(self.models.items()), self.chat]).encode()
        wire = content.SerializeToString(deterministic=True)
        return hashlib.blake2b(wire + known, digest_size=12).hexdigest()


async def plans_of(
    client: Client, members: Sequence[Member], profiles: Sequence[str]
) -> list[AskedPlan]:
    """Finds out what shall be asked.

    Each of the members alone and, where there are several, their vote; and each profile. Without
    any of both it is every model that is ready and every profile that the server chooses from, and
    where it has none the vote of all models.

    Raises:
        ServiceError: The server does not know a model or profile, or cannot run it.
        CannotRun: No model is ready.
    """
    from quorate.settings import default_id

    known = {model.id: model for model in await client.models()}
    weights = {default_id(member.name): member.weight for member in members}
    ready = [m.id for m in known.values() if m.state == models_pb2.MODEL_STATE_READY]
    names = list(profiles)
    if not members and not profiles:
        if not ready:
            raise CannotRun(client.target, "no model is ready; see: quorate models")
        weights = dict.fromkeys(ready)
        names = await _profiles(client)
    wanted: list[tuple[str, PlanOptions]] = [(model, {"model": model}) for model in weights]
    if len(weights) > 1 and (members or not names):
        wanted.append((" + ".join(weights), {"models": weights}))
    wanted += [(f"profile {name}", {"profile": name}) for name in names]
    return [await _asked(client, name, options, known) for name, options in wanted]


async def _profiles(client: Client) -> list[str]:
    """Names of the profiles that the server chooses from."""
    decision = await client.explain(_ANY_PROMPT, auto=True, local_only=True)
    names = [candidate.name for candidate in decision.candidates]
    return [name.removeprefix(_PROFILE) for name in names if name.startswith(_PROFILE)]


async def _asked(
    client: Client, name: str, options: PlanOptions, known: Mapping[str, models_pb2.Model]
) -> AskedPlan:
    decision = await client.explain(_ANY_PROMPT, local_only=True, **options)
    models = sorted(set(_models(decision)))
    return AskedPlan(
        name=name,
        options=options,
        decision=decision,
        vote="" if decision.stages else _vote_key(decision),
        models={model: known[model].description if model in known else "" for model in models},
        chat=all(model in known and known[model].chat for model in models),
    )


def _models(decision: plan_pb2.Decision) -> Iterator[str]:
    yield from (member.model for member in decision.members)
    for stage in decision.stages:
        yield from _models(stage.decision)


def _vote_key(decision: plan_pb2.Decision) -> str:
    """The key that the server knows the vote by."""
    return vote_key(
        Decision(
            members=tuple(WeightedModel(member.model) for member in decision.members),
            rule=CombinationRule.LINEAR,
            alignment=Alignment(_name(plan_pb2.Alignment, decision.alignment)),
            weighting=Weighting(_name(plan_pb2.Weighting, decision.weighting)),
            on_failure=FailurePolicy.AUTO,
            context_tokens=0,
            seed=0,
        )
    )


def _name(kind: object, value: int) -> str:
    prefix = kind.Name(0).removesuffix("UNSPECIFIED")  # type: ignore[attr-defined]
    name: str = kind.Name(value).removeprefix(prefix).lower()  # type: ignore[attr-defined]
    return name
