"""One request, with everything a caller may set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from quorate.large_texts import utf8_size
from quorate.request.constraints import OutputConstraint
from quorate.request.plans import PlanChoice
from quorate.request.prompts import ChatPrompt, Prompt
from quorate.request.tools import Tool, ToolChoice, ToolMode

PROBE_KEY = "(probes)"
"""Stands for a caller's key where the server asks itself, so that sums by key tell it apart."""


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
    """What a stream shows besides text: this many top log-probs, and each member's vote.

    Attributes:
        omit_logprobs: Whether tokens come without their own log-prob, where neither is shown.
    """

    top_logprobs: int = 0
    member_votes: bool = False
    omit_logprobs: bool = False

    @property
    def shows_logprobs(self) -> bool:
        """Whether anything is told that takes the whole mixture to know."""
        return bool(self.top_logprobs) or self.member_votes or not self.omit_logprobs


@dataclass(frozen=True, slots=True)
class Budget:
    """What a request may cost at most; ``None`` is no limit.

    Attributes:
        latency_ms: From its arrival to the end of the answer, waiting included.
    """

    latency_ms: float | None = None
    energy_joules: float | None = None
    usd: float | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One request for generation.

    Attributes:
        budget: What it may cost.
        local_only: Nothing of it may leave this machine.
        task: Tag of what kind of request it is, or "".
        key: Name of the caller's key, "" for none; budgets and ledger go by it.
        origin: Where it comes from; turns of callers without a key go by it.
        deadline_seconds: Time the caller waits for the whole answer, from its arrival.
        probe: Whether the server asks itself, to learn what a model takes.
        allow_substitution: Whether another plan may answer where the named one cannot; None leaves
            it to the configuration.
        trace_parent: The caller's trace, as W3C's Trace Context writes it, or "".
        constraint: What the answer must be; None where it may be any text.
        tool_choice: How it may call the tools of its chat, where that has any.
        takes_replacements: Whether its caller can be told that what follows replaces the text so
            far; else no text is streamed that may be replaced, whatever the plan says.
    """

    prompt: Prompt
    plan: PlanChoice | None = None
    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    stopping: StoppingOptions = field(default_factory=StoppingOptions)
    response: ResponseOptions = field(default_factory=ResponseOptions)
    request_id: str = ""
    budget: Budget = field(default_factory=Budget)
    local_only: bool = False
    task: str = ""
    key: str = ""
    origin: str = ""
    deadline_seconds: float | None = None
    probe: bool = False
    allow_substitution: bool | None = None
    trace_parent: str = ""
    constraint: OutputConstraint | None = None
    tool_choice: ToolChoice = field(default_factory=ToolChoice)
    takes_replacements: bool = True

    @property
    def tools(self) -> tuple[Tool, ...]:
        """Those that the answer may call."""
        if not isinstance(self.prompt, ChatPrompt) or self.tool_choice.mode is ToolMode.NONE:
            return ()
        return self.prompt.tools

    @property
    def is_held(self) -> bool:
        """Whether the answer is held to a grammar."""
        return self.constraint is not None or bool(self.tools)


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """How probable is ``continuation`` after ``prompt`` under a plan?

    Attributes:
        key: Name of the caller's key, "" for none.
        trace_parent: As in ``Request``.
        origin: As in ``Request``.
        continuation_bytes: Of it in UTF-8; counted where the request is made.
        continuation_tokens: The continuation in tokens of the members, in place of a text.
        top_logprobs: Candidates shown with each token.
    """

    prompt: Prompt
    continuation: str
    plan: PlanChoice | None = None
    request_id: str = ""
    key: str = ""
    trace_parent: str = ""
    origin: str = ""
    continuation_bytes: int = -1
    continuation_tokens: tuple[int, ...] = ()
    top_logprobs: int = 0

    def __post_init__(self) -> None:
        """Counts the bytes, unless it is a copy."""
        if self.continuation_bytes < 0:
            size = len(self.continuation_tokens) or utf8_size(self.continuation)
            object.__setattr__(self, "continuation_bytes", size)
