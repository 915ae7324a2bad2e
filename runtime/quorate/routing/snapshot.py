"""What the router knows at the moment of a decision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from quorate.engines.status import ModelStatus
from quorate.generation import Plan


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of the service that a decision rests on.

    Attributes:
        models: Every known model by id, in the order of the configuration.
        profiles: Named plans of the configuration.
        default_profile: Name of the profile for requests that name no plan, or "".
    """

    models: Mapping[str, ModelStatus]
    profiles: Mapping[str, Plan] = field(default_factory=dict)
    default_profile: str = ""
