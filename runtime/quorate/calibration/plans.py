"""A plan that a calibration asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from quorate.request import Plan


@dataclass(frozen=True, slots=True)
class CalibratedPlan:
    """One plan.

    Attributes:
        name: For people.
        key: Changes with anything that an answer depends on, the question and its limit left out.
        plan: Its members and how they vote; of a cascade those of its first stage.
        vote: Key of the vote, see ``forecast.vote_key``; "" for a cascade, which is none.
        models: Description of each of its models, by id.
    """

    name: str
    key: str
    plan: Plan
    vote: str
    models: Mapping[str, str]

    @property
    def members(self) -> tuple[str, ...]:
        """Ids of the models that vote in it."""
        return tuple(member.model for member in self.plan.members)
