"""What is asked of a remote, and what comes back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from quorate.request import FinishReason, Prompt, SamplingOptions


@dataclass(frozen=True, slots=True)
class RemoteUsage:
    """What the remote counted, as far as it is believed; None where that is not known.

    ``counts.believed`` has the rules. A prompt that is None may have all the tokens it can have.
    """

    prompt_tokens: int | None = None
    cached_prompt_tokens: int | None = None
    generated_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class FailedCall:
    """What is known of a call that failed, whether or not another one follows.

    Attributes:
        free: Whether nothing was sent, or the remote itself said that it gives no answer; else it
            may charge for the call.
        begun: Whether anything of its answer came.
        usage: What it had counted until then.
        streamed_tokens: As in ``RemoteText``.
        again: Whether it is to be tried again.
        kind: What it failed of, such as ``quota``.
    """

    free: bool
    begun: bool
    usage: RemoteUsage
    streamed_tokens: int
    again: bool
    kind: str = ""


def _nobody() -> None:
    """Nobody wants to know."""


async def _anybody(failed: FailedCall) -> bool:
    """Nobody wants to know, and all may go on."""
    return True


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
        retry_seconds: Time within which another try may begin; None is no limit of its own.
        on_sent: Called when a call is about to leave this machine, so that it may be charged for.
        on_failed: Asked after each call that failed whether there may be another one; what it says
            after the last one is of no use.
    """

    prompt: Prompt
    max_tokens: int
    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    stop: tuple[str, ...] = ()
    max_bytes: int | None = None
    deadline_seconds: float | None = None
    retry_seconds: float | None = None
    on_sent: Callable[[], None] = _nobody
    on_failed: Callable[[FailedCall], Awaitable[bool]] = _anybody


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
        word: The remote's own word for the end, where it is none of the protocol and the answer is
            taken to have ended by itself; else "".
        doubts: What is wrong with what it counted, in a few words each.
    """

    finish_reason: FinishReason
    usage: RemoteUsage
    streamed_tokens: int
    word: str = ""
    doubts: tuple[str, ...] = ()


RemoteEvent: TypeAlias = RemoteText | RemoteEnd
