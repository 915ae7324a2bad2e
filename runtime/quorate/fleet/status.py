"""What can be said of a model of the fleet at any moment."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from quorate.engines.template_facts import TemplateFacts
from quorate.engines.vocabulary import Vocabulary
from quorate.errors import ModelUnusable, QuorateError, Unavailable


class ModelState(Enum):
    """Where a model is in its life."""

    UNLOADED = "unloaded"
    DOWNLOADING = "downloading"
    LOADING = "loading"
    READY = "ready"
    RESTARTING = "restarting"
    UNLOADING = "unloading"
    FAILED = "failed"


_RETRY_SECONDS = {
    ModelState.DOWNLOADING: 30.0,
    ModelState.LOADING: 2.0,
    ModelState.RESTARTING: 1.0,
    ModelState.UNLOADING: 1.0,
}


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """One model's state; numbers that are not known yet are 0, texts "".

    Attributes:
        message: Why it failed, or what it is doing; one line for people.
        progress: Of the current state, in [0, 1], or None where it is not known.
        vocabulary_fingerprint: Equal fingerprints can vote token by token.
        vocabulary: What decides whether others can, see ``engines.near_equal``; None while it is
            not known.
        chat: Whether it has a chat template that can be used.
        template: What that template can do; where it cannot be used, why.
        has_bytes: Whether its vocabulary says what bytes its tokens stand for.
        sessions: Most sessions at once.
        cores: Processor cores it computes on when it is asked; none where it is not pinned.
        memory_bytes: Resident memory of its worker.
        full_sessions: How many sessions its KV cache holds at full length, where sessions that
            branch share none; as many as there are where they do share.
        warnings: What may make its answers worse, one line each.
        served: Whether it has been ready since it was unloaded last. What is known of it then stays
            known while it is away: it was lost, and is not a model that never worked.
        rewinds: Whether its sessions can forget their last tokens.
        block_rows: Rows that it computes in one step.
        size_bytes: What its weights and KV cache take, as its engine estimates it.
    """

    id: str
    state: ModelState
    engine: str
    message: str = ""
    progress: float | None = None
    description: str = ""
    context_length: int = 0
    vocabulary_size: int = 0
    vocabulary_fingerprint: str = ""
    chat: bool = False
    has_bytes: bool = False
    sessions: int = 0
    cores: tuple[int, ...] = ()
    memory_bytes: int = 0
    full_sessions: int = 0
    warnings: tuple[str, ...] = ()
    vocabulary: Vocabulary | None = field(default=None, repr=False)
    served: bool = False
    template: TemplateFacts = field(default_factory=TemplateFacts)
    rewinds: bool = False
    block_rows: int = 0
    size_bytes: int = 0


def why_not_ready(status: ModelStatus) -> QuorateError:
    """The error of a model that is not ready."""
    model = status.id
    if status.state is ModelState.FAILED:
        return ModelUnusable(model, status.message or "could not be loaded")
    if status.state is ModelState.UNLOADED:
        return ModelUnusable(model, "is not loaded; call LoadModel first")
    return Unavailable(f"model {model} is {status.state.value}", _RETRY_SECONDS[status.state])
