"""What is asked of the router."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from quorate.request import Budget, ChatShape, PlanChoice

DEFAULT_MAX_TOKENS = 1024


@dataclass(frozen=True, slots=True)
class RoutingRequest:
    """A request, as far as the choice of a plan depends on it.

    Attributes:
        asked: The plan, profile or nothing that the request names.
        seed: Seed of the sampler, already settled.
        prompt_bytes: UTF-8 bytes of the prompt.
        prompt_token_bound: As in ``request.TextPrompt``.
        task: Tag of the request, given or guessed, or "".
        unsupported: What each remote cannot do of what the request asks for, by its name.
        failed: Names of candidates that were tried for this request and failed.
        elapsed_ms: Time since the request arrived.
        draw: A number drawn evenly from [0, 1), which decides whether to explore.
        chat: Whether the prompt is a chat, which templates frame.
        shape: What the chat asks of a template; None where there is none to ask.
        allow_text: Whether a member without a template may read the chat as a text.
        one_vote: Whether nothing but a single vote will do, as for a score.
        allow_substitution: Whether another plan may answer than the one that is named; None leaves
            it to the settings.
        constrained: Whether the answer must be of some form.
        from_mixture: Whether tokens are drawn from the mixture as it is, with nothing shown that
            only the mixture knows.
    """

    asked: PlanChoice | None = None
    seed: int = 0
    prompt_bytes: int = 0
    prompt_token_bound: int = 0
    max_tokens: int = DEFAULT_MAX_TOKENS
    budget: Budget = field(default_factory=Budget)
    local_only: bool = False
    task: str = ""
    unsupported: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    failed: frozenset[str] = frozenset()
    elapsed_ms: float = 0.0
    draw: float = 1.0
    chat: bool = False
    shape: ChatShape | None = None
    allow_text: bool = False
    one_vote: bool = False
    allow_substitution: bool | None = None
    constrained: bool = False
    from_mixture: bool = False
