"""What is asked of a remote, and what comes back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from quorate.request import FinishReason, Prompt, SamplingOptions


@dataclass(frozen=True, slots=True)
class RemoteRequest:
    """One answer asked of a remote.

    A ``ChatPrompt`` goes to ``/chat/completions``. A ``TextPrompt`` goes to the older
    ``/completions``, as it is; what of it the remote takes for special tokens is the remote's
    business.

    Attributes:
        max_tokens: Most tokens of the answer. It has no default because it bounds the price.
        sampling: ``wire.unsupported`` tells what of it a remote cannot do; the rest is sent
            where it is set, else the remote's defaults hold.
        stop: Stop strings; the remote looks for them.
        max_bytes: Most bytes of UTF-8; the stream is cut at a whole code point.
        deadline_seconds: Time that the caller still has, retries and waiting included.
    """

    prompt: Prompt
    max_tokens: int
    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    stop: tuple[str, ...] = ()
    max_bytes: int | None = None
    deadline_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class RemoteUsage:
    """What the remote counted; None where it did not say."""

    prompt_tokens: int | None = None
    cached_prompt_tokens: int | None = None
    generated_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class RemoteText:
    """A piece of the answer: whole code points.

    Attributes:
        text: Empty where the remote generated what is no part of the answer, such as reasoning
            that it shows, so that a reader knows what it has cost.
        streamed_tokens: The ``TokenEstimate`` of what was streamed so far. A stream that is
            cancelled or cut is settled with the last one.
    """

    text: str
    streamed_tokens: int


@dataclass(frozen=True, slots=True)
class RemoteEnd:
    """Last event of a stream.

    Attributes:
        finish_reason: The protocol does not tell a stop string from the model's own end; both are
            ``END_OF_GENERATION``, unless the remote names the stop string as vLLM does.
        streamed_tokens: As in ``RemoteText``, for remotes that count nothing.
    """

    finish_reason: FinishReason
    usage: RemoteUsage
    streamed_tokens: int


RemoteEvent: TypeAlias = RemoteText | RemoteEnd
