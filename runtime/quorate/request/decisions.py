"""The plan that runs, and what was considered beside it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from quorate.request.plans import (
    Alignment,
    BeamOptions,
    CombinationRule,
    Comparison,
    FailurePolicy,
    Selection,
    WeightedModel,
    Weighting,
)
from quorate.request.usage import EnergyTier


class PlanKind(Enum):
    """What kind of plan answers."""

    SINGLE = "single"
    ENSEMBLE = "ensemble"
    CASCADE = "cascade"
    ANSWERS = "answers"
    REMOTE = "remote"


class Clause(Enum):
    """Why a plan was ruled out, or was found to be over budget."""

    LATENCY = "latency"
    ENERGY = "energy"
    ENERGY_WINDOW = "energy_window"
    USD = "usd"
    USD_WINDOW = "usd_window"
    CAPACITY = "capacity"
    HEALTH = "health"
    CONTEXT = "context"
    UNSUPPORTED = "unsupported"
    TASK = "task"
    PRICE_UNKNOWN = "price_unknown"
    LOCAL_ONLY = "local_only"
    WITHIN_BUDGET = "within_budget"
    FAILED_BEFORE = "failed_before"
    TEMPLATE = "template"


class InputForm(Enum):
    """How the members of a vote read what was asked."""

    TEXT = "text"
    CHAT = "chat"
    MIXED = "mixed"


@dataclass(frozen=True, slots=True)
class Rejection:
    """One reason against a plan.

    Attributes:
        predicted: What the plan would take, in the unit of the clause; None where that is no
            number.
        limit: What it may take, in the same unit.
        message: One line for people.
    """

    clause: Clause
    message: str
    predicted: float | None = None
    limit: float | None = None


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a plan is expected to take for one request; ``None`` is not known.

    Attributes:
        time_ms: From arrival to the end of the answer, waiting included; half take no longer.
        time_q90_ms: The same, and nine answers of ten take no longer.
        joules: Mean energy.
        joules_q90: As ``joules``, and nine of ten take no more.
        usd: What a remote is expected to charge.
        usd_ceiling: Most that it can charge, given ``max_tokens``.
        cold: Nothing like it was measured on this machine yet.
        limited_by_tokens: Most tokens of the answer, where these make ``time_q90_ms`` so long;
            None where answers do not come near it.
    """

    time_ms: float | None = None
    time_q90_ms: float | None = None
    joules: float | None = None
    joules_q90: float | None = None
    tier: EnergyTier = EnergyTier.UNAVAILABLE
    usd: float | None = None
    usd_ceiling: float | None = None
    prompt_tokens: float = 0.0
    generated_tokens: float = 0.0
    cold: bool = True
    limited_by_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A plan that was considered.

    Attributes:
        name: Such as ``single:a``, ``profile:pair`` or ``remote:cloud``.
        models: The models of all its stages; the remote's name for a remote.
        quality: Expected share of right answers, in [0, 1].
        cost: What the choice minimises; None where it was ruled out before it was priced.
        rejections: Everything that speaks against it.
    """

    name: str
    kind: PlanKind
    models: tuple[str, ...]
    forecast: Forecast = field(default_factory=Forecast)
    quality: float | None = None
    cost: float | None = None
    rejections: tuple[Rejection, ...] = ()
    chosen: bool = False


@dataclass(frozen=True, slots=True)
class DecidedDraft:
    """Who guesses tokens ahead of the choice.

    Attributes:
        model: The member that does, or "". What is drawn for a seed depends on it.
        most: Most tokens guessed at once, by it or from what was said before; 0 where nobody
            guesses.
        problem: Why no member does, or ""; one line for people.
        member_first: Whether each token is drawn from one member, which is itself drawn by its
            weight, so that the others need not compute anything for it.
    """

    model: str = ""
    most: int = 0
    problem: str = ""
    member_first: bool = False


@dataclass(frozen=True, slots=True)
class DecidedGate:
    """When one member goes on alone; as in ``GateOptions``, filled in."""

    leader: str
    threshold: float
    share: float | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The plan that runs, with everything that was left open filled in.

    Attributes:
        members: Models with their normalised weights, in the order of the plan.
        alignment: The alignment in use, never ``AUTO``.
        weighting: The weighting in use, never ``AUTO``.
        context_tokens: The smallest context length among the members.
        seed: Seed of the sampler, so that the answer can be had again.
        profile: Name of the profile it came from, or "".
        forgetting: As in ``Plan``, filled in where the weights are Bayesian.
        beam: As in ``Plan``, filled in where the vote is byte-exact.
        draft: Who guesses tokens ahead of the choice.
        gate: When one member goes on alone; None where all are asked at every step.
        route: How it came about. Where a remote answers there are no members.
        input_form: Whether the members read a chat by their templates, or a text.
        text_members: Members without a chat template, which read a chat's messages as a text.
        system_moved: Members whose template has no place for a system message that was given, so
            that its text stands in a message of the user.
    """

    members: tuple[WeightedModel, ...]
    rule: CombinationRule
    alignment: Alignment
    weighting: Weighting
    on_failure: FailurePolicy
    context_tokens: int
    seed: int
    profile: str = ""
    forgetting: float | None = None
    beam: BeamOptions = field(default_factory=BeamOptions)
    draft: DecidedDraft = field(default_factory=DecidedDraft)
    gate: DecidedGate | None = None
    route: Route = field(default_factory=lambda: Route())
    input_form: InputForm = InputForm.TEXT
    text_members: tuple[str, ...] = ()
    system_moved: tuple[str, ...] = ()

    @property
    def votes(self) -> tuple[Decision, ...]:
        """Every vote that may run for it: those of its stages, its members' own, or itself."""
        if self.route.answers is not None:
            return self.route.answers.votes
        return tuple(stage.decision for stage in self.route.stages) or (self,)

    @property
    def models(self) -> tuple[str, ...]:
        """Every model of every vote, once."""
        members = (member.model for vote in self.votes for member in vote.members)
        return tuple(dict.fromkeys(members))


@dataclass(frozen=True, slots=True)
class DecidedStage:
    """A stage of the cascade that runs.

    Attributes:
        decision: The vote of this stage.
        confidence: Least confidence with which its answer is kept; 0 in the last stage.
    """

    decision: Decision
    confidence: float


@dataclass(frozen=True, slots=True)
class DecidedAnswers:
    """The vote of whole answers that runs; the weights are those of the decision's members.

    Attributes:
        votes: What each member runs alone, in the order of the plan.
        judge: The vote of all members that says how probable an answer is, where that selects.
    """

    votes: tuple[Decision, ...]
    samples: int
    select: Selection
    compare: Comparison
    weighting: Weighting
    judge: Decision | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """How a decision came about.

    Attributes:
        name: Name of the chosen candidate; also the key of its cost model.
        stages: Those of a cascade, else none.
        answers: How whole answers vote, where they do.
        stream_early: As in ``CascadePlan`` and ``AnswersPlan``.
        remote: Name of the remote that answers, or "".
        candidates: Every plan that was considered, the chosen one among them.
        over_budget: Why the best local plan is not good enough: what sent the request to a remote,
            or what the plan that runs anyway exceeds.
        explored: Whether the plan was chosen to learn what it costs.
        task: Tag of the request, given or guessed, or "".
        instead_of: Name of the candidate that was asked for, where another one answers, or "".
        replaceable: Whether another plan may answer where this one fails before its first byte.
    """

    name: str = ""
    kind: PlanKind = PlanKind.SINGLE
    stages: tuple[DecidedStage, ...] = ()
    answers: DecidedAnswers | None = None
    stream_early: bool = False
    remote: str = ""
    candidates: tuple[Candidate, ...] = ()
    over_budget: Rejection | None = None
    explored: bool = False
    task: str = ""
    instead_of: str = ""
    replaceable: bool = False
