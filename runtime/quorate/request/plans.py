"""Which models answer, and how."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

DEFAULT_WIDTH = 8
"""Hypotheses that a byte-exact vote follows at once, if nothing says other."""
HEALING_KV_TOKENS = 16
"""KV tokens kept back for healing, which feeds a few tokens at once."""
_KV_TOKENS_PER_HYPOTHESIS = 8


class CombinationRule(Enum):
    """How next-token distributions become one; see ``ensemble.fusion``."""

    LINEAR = "linear"
    GEOMETRIC = "geometric"
    MAJORITY = "majority"


class Alignment(Enum):
    """How members with different vocabularies are compared."""

    AUTO = "auto"
    SAME_VOCABULARY = "same_vocabulary"
    BYTE_EXACT = "byte_exact"
    UNION_TOP_K = "union_top_k"


class Weighting(Enum):
    """Where the members' weights come from.

    ``AUTO`` is static where the members share a vocabulary and Bayesian where they do not.
    """

    AUTO = "auto"
    STATIC = "static"
    BAYESIAN = "bayesian"
    PROMPT = "prompt"
    CONFIDENCE = "confidence"
    GATED = "gated"


class FailurePolicy(Enum):
    """What happens to a request when one of its members dies, see ``ensemble.losses``.

    ``AUTO`` continues while another member remains and replays for the last one.
    """

    AUTO = "auto"
    CONTINUE = "continue"
    REPLAY = "replay"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class BeamOptions:
    """How a byte-exact vote prunes; ``None`` means the default.

    Attributes:
        epsilon: A segmentation is followed while it holds more than this share of its member's
            probability, in [0, 0.5]; 0 follows all that there is room for.
        width: Most segmentations followed at once, 1 to 64.
    """

    epsilon: float | None = None
    width: int | None = None


def beam_margin(width: int) -> int:
    """KV tokens for what a byte beam holds beside its best hypothesis, and for healing."""
    return HEALING_KV_TOKENS + _KV_TOKENS_PER_HYPOTHESIS * width


class DraftMode(Enum):
    """Who guesses what will be chosen next; see ``ensemble.drafts``.

    ``AUTO`` is the smallest member, where it is much smaller than the largest, and what was said
    before; ``PROMPT`` is only the latter.
    """

    AUTO = "auto"
    OFF = "off"
    PROMPT = "prompt"


MAX_DRAFT = 8
"""Most tokens guessed at once."""


@dataclass(frozen=True, slots=True)
class DraftOptions:
    """How what will be chosen next is guessed; ``None`` means the default.

    Attributes:
        model: The member that guesses, instead of the smallest.
        most: Most tokens guessed at once.
    """

    mode: DraftMode = DraftMode.AUTO
    model: str | None = None
    most: int | None = None


@dataclass(frozen=True, slots=True)
class GateOptions:
    """When one member goes on alone, where the weighting is gated; ``None`` means the default.

    Attributes:
        leader: The member that does, instead of the one that weighs most, the first of several.
        threshold: Least margin with which it does, in [0, 1], see ``ensemble.gated``.
        share: Share of symbols at which the others are asked, in [0, 1]; it moves the threshold,
            and 0 leaves it where it is.
    """

    leader: str | None = None
    threshold: float | None = None
    share: float | None = None


@dataclass(frozen=True, slots=True)
class WeightedModel:
    """One member of a plan; ``weight`` need not be normalised. ``None`` means an equal share."""

    model: str
    weight: float | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """An explicit plan: the members that vote and how. One member is a vote of one.

    Attributes:
        forgetting: How much of what Bayesian weights learned is kept from byte to byte, in (0, 1];
            1 forgets nothing. ``None`` means the default.
        beam: How a byte-exact vote prunes.
        draft: How several tokens are computed in one step.
        gate: When one member goes on alone.
    """

    members: tuple[WeightedModel, ...]
    rule: CombinationRule = CombinationRule.LINEAR
    alignment: Alignment = Alignment.AUTO
    weighting: Weighting = Weighting.AUTO
    on_failure: FailurePolicy = FailurePolicy.AUTO
    forgetting: float | None = None
    beam: BeamOptions = field(default_factory=BeamOptions)
    draft: DraftOptions = field(default_factory=DraftOptions)
    gate: GateOptions = field(default_factory=GateOptions)


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a cascade.

    Attributes:
        plan: The models that answer in it.
        confidence: The answer is kept from this confidence on, in [0, 1]; below it the next stage
            is asked. ``None`` means the default; without effect on the last stage.
    """

    plan: Plan
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class CascadePlan:
    """Stages in rising cost; the first answer that is sure enough of itself is kept.

    Attributes:
        stages: At least two.
        stream_early: Whether the text of a stage is streamed before it is known to be kept. A
            notice then tells that what follows replaces it.
    """

    stages: tuple[Stage, ...]
    stream_early: bool = False


class Selection(Enum):
    """Which of several whole answers is kept; see ``ensemble.ballot``.

    ``LIKELIHOOD`` is the one that all members together find most probable, for each of its bytes.
    """

    MAJORITY = "majority"
    LIKELIHOOD = "likelihood"


class Comparison(Enum):
    """Which answers say the same; see ``comparing``."""

    EXACT = "exact"
    NUMERIC = "numeric"
    CHOICE = "choice"


MAX_SAMPLES = 16
"""Most answers of one member."""


@dataclass(frozen=True, slots=True)
class AnswersPlan:
    """Members that answer on their own, and of whose answers one is kept.

    Attributes:
        members: At least one, with the weights of their answers.
        samples: Answers of each member, which share its weight; 1 to ``MAX_SAMPLES``.
        select: Which answer is kept.
        compare: Which answers say the same.
        weighting: ``STATIC``, or ``CONFIDENCE`` for weights times how sure each answer is.
        on_failure: What a member's death ends, see ``FailurePolicy``; the other answers vote.
        stream_early: Whether the text of the first answer is streamed before it is known to be
            kept. A notice then tells that what follows replaces it.
    """

    members: tuple[WeightedModel, ...]
    samples: int = 1
    select: Selection = Selection.MAJORITY
    compare: Comparison = Comparison.EXACT
    weighting: Weighting = Weighting.STATIC
    on_failure: FailurePolicy = FailurePolicy.AUTO
    stream_early: bool = False


@dataclass(frozen=True, slots=True)
class AutoPlan:
    """Let the router choose."""


@dataclass(frozen=True, slots=True)
class ProfilePlan:
    """A named plan of the configuration."""

    name: str


NamedPlan: TypeAlias = Plan | CascadePlan | AnswersPlan
"""What a profile may hold."""

PlanChoice: TypeAlias = NamedPlan | AutoPlan | ProfilePlan


def plan_models(plan: NamedPlan) -> tuple[str, ...]:
    """Every model that a plan names, once."""
    plans = [stage.plan for stage in plan.stages] if isinstance(plan, CascadePlan) else [plan]
    return tuple(dict.fromkeys(member.model for one in plans for member in one.members))
