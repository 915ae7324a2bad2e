"""What the router knows at the moment of a decision: plans, models, queues, budgets, remotes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from quorate.costs.cost_model import CostModel
from quorate.errors import BudgetSpent, QuorateError
from quorate.fleet.status import ModelStatus
from quorate.ledger.prices import Price
from quorate.request import DecidedAnswers, DecidedStage, NamedPlan, PlanKind, WeightedModel
from quorate.routing.quality import QualityTable
from quorate.routing.settings import RoutingSettings


@dataclass(frozen=True, slots=True)
class ResolvedPlan:
    """A local plan under a candidate's name, resolved for the models as they are now.

    It is the same for every request, and so kept between them until a model changes its state; see
    ``assess.Assessed`` for what depends on the request.

    Attributes:
        name: Such as ``single:a`` or ``profile:pair``.
        models: Every model of every stage, once.
        stages: One vote, those of a cascade, or each member's own where whole answers vote, with a
            seed of 0; none where it cannot run.
        keys: Key of each stage's vote, see ``forecast.vote_key``.
        answers: How whole answers vote, where they do.
        members: Whose answers these are, with normalised weights.
        profile: Name of the profile it came from, or "".
        error: Why it cannot run.
    """

    name: str
    kind: PlanKind
    models: tuple[str, ...]
    stages: tuple[DecidedStage, ...] = ()
    keys: tuple[str, ...] = ()
    stream_early: bool = False
    profile: str = ""
    error: QuorateError | None = None
    answers: DecidedAnswers | None = None
    members: tuple[WeightedModel, ...] = ()

    @property
    def key(self) -> str:
        """Key of how good its answers are; "" where it cannot run."""
        if self.answers is not None:
            return answers_key([member.model for member in self.members], self.answers)
        return self.keys[-1] if self.keys else ""


def answers_key(models: Sequence[str], answers: DecidedAnswers) -> str:
    """Key of a vote of whole answers: members and manner, whatever the request and the weights."""
    manner = f"{answers.samples}:{answers.select.value}:{answers.compare.value}"
    return f"answers:{'+'.join(models)}:{manner}:{answers.weighting.value}"


@dataclass(frozen=True, slots=True)
class RemoteStatus:
    """A remote API as it is now.

    Attributes:
        price: What it charges, or None where nobody knows.
        unavailable: Why it cannot be asked now, or "".
        context_length: Most tokens of prompt and answer; 0 where it is not known.
        quality: Expected share of right answers, in [0, 1].
        tasks: Tags of what it is for; none is everything.
        first_token_ms: Time to its first token as the operator expects it; 0 is not known.
        tokens_per_second: Tokens it writes a second, likewise.
        retry_seconds: Where it cannot be asked now, when another try has a chance.
    """

    name: str
    price: Price | None = None
    unavailable: str = ""
    context_length: int = 0
    quality: float = 0.9
    tasks: tuple[str, ...] = ()
    first_token_ms: float = 0.0
    tokens_per_second: float = 0.0
    retry_seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class QueueState:
    """How busy the service is: how many requests run and wait, and how many may."""

    running: int = 0
    waiting: int = 0
    max_running: int = 1
    max_waiting: int = 1
    typical_ms: float = 0.0

    @property
    def full(self) -> bool:
        """Whether another request would be sent away."""
        return self.running >= self.max_running and self.waiting >= self.max_waiting

    @property
    def wait_ms(self) -> float:
        """How long another request is expected to wait for its turn."""
        if self.running < self.max_running:
            return 0.0
        return (self.waiting + 1) / self.max_running * self.typical_ms


@dataclass(frozen=True, slots=True)
class Remaining:
    """What the tightest windows of the budget have left for the caller; None is no limit.

    Attributes:
        usd_refusal: What the budgets would say now to so many dollars; None where they have room.
    """

    joules: float | None = None
    usd: float | None = None
    usd_refusal: Callable[[float], BudgetSpent | None] | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of the service that a decision rests on.

    Attributes:
        models: Every known model by id, in the order of the configuration.
        default_profile: Name of the profile for requests that name no plan, or "".
        costs: What votes took on this machine, by ``forecast.vote_key``; remotes by
            ``remote:NAME``.
        escalations: How often a cascade asked its next stage, by name of its candidate.
        wedged: Models that make no progress.
        plans: What ``candidates.open_plans`` makes of the models and profiles, where somebody kept
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
    remotes: Mapping[str, RemoteStatus] = field(default_factory=dict)
    queue: QueueState = field(default_factory=QueueState)
    remaining: Remaining = field(default_factory=Remaining)
    settings: RoutingSettings = field(default_factory=RoutingSettings)
    plans: tuple[ResolvedPlan, ...] | None = None
