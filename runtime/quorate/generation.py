"""Domain values of one request: what is asked, how it shall be answered, what comes back.

These are plain frozen values. They know nothing of protobuf, of engines or of the clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class TextPrompt:
    """A prompt taken as it is; special tokens written in it stay text."""

    text: str


@dataclass(frozen=True, slots=True)
class ChatPrompt:
    """A chat, rendered for each member by that member's own template."""

    messages: tuple[Message, ...]


Prompt: TypeAlias = TextPrompt | ChatPrompt


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


class FailurePolicy(Enum):
    """What happens to a stream when one of its members dies.

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


@dataclass(frozen=True, slots=True)
class MemberSpec:
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
    """

    members: tuple[MemberSpec, ...]
    rule: CombinationRule = CombinationRule.LINEAR
    alignment: Alignment = Alignment.AUTO
    weighting: Weighting = Weighting.AUTO
    on_failure: FailurePolicy = FailurePolicy.AUTO
    forgetting: float | None = None
    beam: BeamOptions = field(default_factory=BeamOptions)


@dataclass(frozen=True, slots=True)
class AutoPlan:
    """Let the router choose."""


@dataclass(frozen=True, slots=True)
class ProfilePlan:
    """A named plan of the configuration."""

    name: str


PlanChoice: TypeAlias = Plan | AutoPlan | ProfilePlan


@dataclass(frozen=True, slots=True)
class SamplingOptions:
    """How a token is drawn from the mixture. ``None`` means "not set by the caller".

    Attributes:
        temperature: 0 is greedy; must be finite and not negative.
        top_p: Nucleus mass in (0, 1]; 1 keeps everything.
        top_k: Candidates kept; 0 keeps everything.
        min_p: Candidates below this share of the best are dropped, in [0, 1].
        seed: Seed of the generator; unset draws a fresh one.
        repetition_penalty: Greater than 0; 1 is none.
        presence_penalty: Subtracted once from a token already generated.
        frequency_penalty: Subtracted per earlier occurrence of a token.
        logit_bias: Token id -> amount added to its log-prob, in nats.
    """

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    seed: int | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoppingOptions:
    """When an answer ends, besides the models' own end of generation."""

    max_tokens: int | None = None
    max_bytes: int | None = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ResponseOptions:
    """What a stream shows besides text: this many top log-probs, and each member's vote."""

    top_logprobs: int = 0
    member_votes: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """One request for generation."""

    prompt: Prompt
    plan: PlanChoice | None = None
    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    stopping: StoppingOptions = field(default_factory=StoppingOptions)
    response: ResponseOptions = field(default_factory=ResponseOptions)
    request_id: str = ""


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
    """

    members: tuple[MemberSpec, ...]
    rule: CombinationRule
    alignment: Alignment
    weighting: Weighting
    on_failure: FailurePolicy
    context_tokens: int
    seed: int
    profile: str = ""
    forgetting: float | None = None
    beam: BeamOptions = field(default_factory=BeamOptions)


@dataclass(frozen=True, slots=True)
class TopCandidate:
    """A candidate of the mixture: its bytes and its log-prob in nats.

    In a byte-exact vote the candidates are those for the first byte of a piece.

    Attributes:
        token_id: Its id, or None where the members share no vocabulary.
    """

    token_id: int | None
    piece: bytes
    logprob: float


@dataclass(frozen=True, slots=True)
class Vote:
    """What one member wanted at one step, and how much it thought of what was chosen.

    Attributes:
        model: Id of the member.
        piece: Bytes of the member's own favourite token; in a byte-exact vote as much as was
            decided, and its own favourite from where it would have gone another way.
        logprob: The member's log-prob of that favourite, in nats.
        weight: Its normalised weight in this step.
        chosen_logprob: The member's log-prob of the token that was chosen, in nats.
    """

    model: str
    piece: bytes
    logprob: float
    weight: float
    chosen_logprob: float


@dataclass(frozen=True, slots=True)
class Token:
    """One chosen token, or in a byte-exact vote a word.

    Attributes:
        token_id: Its id, or None where the members share no vocabulary.
        logprob: Log-prob under the mixture before temperature and truncation, in nats.
        tied: Whether a majority vote had several winners; the higher weight of one member, then
            the earlier member, decided.
    """

    token_id: int | None
    piece: bytes
    logprob: float
    top: tuple[TopCandidate, ...] = ()
    votes: tuple[Vote, ...] = ()
    tied: bool = False


@dataclass(frozen=True, slots=True)
class Accepted:
    """First event of a stream: the plan that runs."""

    request_id: str
    decision: Decision


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of the answer: whole code points of text, and the tokens decided meanwhile."""

    text: str
    tokens: tuple[Token, ...]


class NoticeKind(Enum):
    """What a notice tells of."""

    MEMBER_DROPPED = "member_dropped"
    MEMBER_REPLAYED = "member_replayed"


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the reader should know, while the stream goes on."""

    kind: NoticeKind
    model: str
    message: str


class FinishReason(Enum):
    """Why an answer ended."""

    END_OF_GENERATION = "end_of_generation"
    STOP_STRING = "stop_string"
    MAX_TOKENS = "max_tokens"
    MAX_BYTES = "max_bytes"
    CONTEXT_FULL = "context_full"


class EnergyTier(Enum):
    """How an energy figure was come by."""

    MEASURED = "measured"
    ESTIMATED = "estimated"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class Energy:
    """Energy in joules and how it is known; ``joules`` is None when it is not."""

    joules: float | None = None
    tier: EnergyTier = EnergyTier.UNAVAILABLE


@dataclass(frozen=True, slots=True)
class ModelUsage:
    """What one model spent on a request.

    Attributes:
        prompt_tokens: Tokens of the prompt in this model's tokenizer.
        cached_prompt_tokens: Those of them whose KV entries were reused.
        generated_tokens: Tokens appended after the prompt.
        busy_ms: Sum of the times this model was waited for.
        dropped_mass: Probability that a byte-exact vote pruned, for each byte; None elsewhere.
    """

    model: str
    prompt_tokens: int = 0
    cached_prompt_tokens: int = 0
    generated_tokens: int = 0
    busy_ms: float = 0.0
    energy: Energy = field(default_factory=Energy)
    dropped_mass: float | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """What a request cost."""

    prompt_tokens: int
    generated_tokens: int
    time_to_first_token_ms: float | None
    duration_ms: float
    models: tuple[ModelUsage, ...] = ()


@dataclass(frozen=True, slots=True)
class Finished:
    """Last event of a stream."""

    reason: FinishReason
    usage: Usage


Event: TypeAlias = Accepted | Delta | Notice | Finished


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """How probable is ``continuation`` after ``prompt`` under a plan?"""

    prompt: Prompt
    continuation: str
    plan: PlanChoice | None = None
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class MemberScore:
    """What one member alone thinks of a continuation, and what asking it took.

    Attributes:
        logprob: Sum over the continuation, in nats.
        tokens: Tokens of the continuation in this member's tokenizer.
        forwards: Tokens that were fed for it; more than ``tokens`` where several segmentations
            were followed.
        dropped_mass: Probability that was pruned, for each byte; None where nothing is pruned.
        weight: Mean of its weights over the continuation.
    """

    model: str
    logprob: float
    tokens: int
    forwards: int
    weight: float
    dropped_mass: float | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """Log-probability of a continuation.

    Attributes:
        logprob: Sum over the continuation's tokens, in nats.
        bytes: UTF-8 bytes of the continuation.
        tokens: The continuation's tokens with their log-probs under the mixture.
        members: What each member alone thinks of it; one that was dropped is missing.
    """

    request_id: str
    decision: Decision
    logprob: float
    bytes: int
    tokens: tuple[Token, ...]
    usage: Usage
    members: tuple[MemberScore, ...] = ()
