"""What the router knows at the moment of a decision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from quorate.costs.cost_model import CostModel
from quorate.fleet.status import ModelStatus
from quorate.ledger.prices import Price
from quorate.request import NamedPlan
from quorate.routing.option import Option
from quorate.routing.quality import QualityTable
from quorate.routing.settings import RoutingSettings


@dataclass(frozen=True, slots=True)
class Remote:
    """A remote API.

    Attributes:
        price: What it charges, or None where nobody knows.
        unavailable: Why it cannot be asked now, or "".
        context_length: Most tokens of prompt and answer; 0 where it is not known.
        quality: Expected share of right answers, in [0, 1].
        tasks: Tags of what it is for; none is everything.
        first_token_ms: Time to its first token as the operator expects it; 0 is not known.
        tokens_per_second: Tokens it writes a second, likewise.
    """

    name: str
    price: Price | None = None
    unavailable: str = ""
    context_length: int = 0
    quality: float = 0.9
    tasks: tuple[str, ...] = ()
    first_token_ms: float = 0.0
    tokens_per_second: float = 0.0


@dataclass(frozen=True, slots=True)
class Room:
    """The door of the service: how many requests run and wait, and how many may."""

    running: int = 0
    waiting: int = 0
    most_running: int = 1
    most_waiting: int = 1
    typical_ms: float = 0.0

    @property
    def full(self) -> bool:
        """Whether another request would be sent away."""
        return self.running >= self.most_running and self.waiting >= self.most_waiting

    @property
    def wait_ms(self) -> float:
        """How long another request is expected to wait at the door."""
        if self.running < self.most_running:
            return 0.0
        return (self.waiting + 1) / self.most_running * self.typical_ms


@dataclass(frozen=True, slots=True)
class Left:
    """What the tightest windows of the budget have left for the caller; None is no limit."""

    joules: float | None = None
    usd: float | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of the service that a decision rests on.

    Attributes:
        models: Every known model by id, in the order of the configuration.
        profiles: Named plans of the configuration.
        default_profile: Name of the profile for requests that name no plan, or "".
        costs: What votes took on this machine, by ``forecast.vote_key``; remotes by
            ``remote:NAME``.
        active: Requests that run now, by model.
        escalations: How often a cascade asked its next stage, by name of its candidate.
        wedged: Models that make no progress.
        remotes: Every remote of the configuration by name.
        options: What ``options.open_options`` makes of the models and profiles, where somebody kept
            it, since that takes longer than the choice itself; None leaves it to the choice.
    """

    models: Mapping[str, ModelStatus]
    profiles: Mapping[str, NamedPlan] = field(default_factory=dict)
    default_profile: str = ""
    costs: Mapping[str, CostModel] = field(default_factory=dict)
    active: Mapping[str, int] = field(default_factory=dict)
    escalations: Mapping[str, float] = field(default_factory=dict)
    wedged: frozenset[str] = frozenset()
    quality: QualityTable = field(default_factory=QualityTable)
    remotes: Mapping[str, Remote] = field(default_factory=dict)
    room: Room = field(default_factory=Room)
    left: Left = field(default_factory=Left)
    settings: RoutingSettings = field(default_factory=RoutingSettings)
    options: tuple[Option, ...] | None = None
