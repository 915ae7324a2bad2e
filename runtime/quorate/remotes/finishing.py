"""From a remote's word for the end of an answer to ours."""

from __future__ import annotations

from quorate.remotes.failures import CallFailed, Failure, FailureKind, broken
from quorate.request import FinishReason

_OWN_ENDS = ("stop", "eos", "eos_token")
_LENGTHS = ("length", "max_tokens")
_CONTEXT_LENGTHS = ("model_length",)


def finish_reason(
    word: str, stop_string: str | None, generated: int | None, max_tokens: int
) -> FinishReason:
    """Reads ``finish_reason`` of the OpenAI API and the words that other servers have for it.

    Args:
        word: The remote's word.
        stop_string: The stop string that ended the answer, where the remote names it.
        generated: Tokens it counted; fewer than ``max_tokens`` at a limit of length mean that the
            context was full.
        max_tokens: The limit that was asked for.

    Raises:
        CallFailed: The answer was withheld, or ended for a reason that text does not have.
    """
    if word in _OWN_ENDS:
        return FinishReason.STOP_STRING if stop_string else FinishReason.END_OF_GENERATION
    if word in _LENGTHS:
        full = generated is not None and generated < max_tokens
        return FinishReason.CONTEXT_FULL if full else FinishReason.MAX_TOKENS
    if word in _CONTEXT_LENGTHS:
        return FinishReason.CONTEXT_FULL
    if word == "content_filter":
        raise CallFailed(Failure(FailureKind.REFUSED, "its content filter ended the answer"))
    known = word if word.isascii() and word.replace("_", "").isalnum() and len(word) <= 32 else ""
    raise broken(f"ended the answer for a reason that is not known here {known}".rstrip())
