"""One line about an answer: how much, how fast, by whom."""

from __future__ import annotations

from quorate.cli.plan_words import notable_manner, unit
from quorate.v1 import inference_pb2, plan_pb2

_LIMITS = {
    inference_pb2.FINISH_REASON_MAX_TOKENS: "cut at the token limit",
    inference_pb2.FINISH_REASON_MAX_BYTES: "cut at the byte limit",
    inference_pb2.FINISH_REASON_CONTEXT_FULL: "cut where the context was full",
}


def summary_line(decision: plan_pb2.Decision, finished: inference_pb2.Finished) -> str:
    """Tokens, time to first token, speed, members with their weights, and the seed."""
    return " · ".join(
        [*timing(finished, unit(decision)), _members(decision), f"seed {decision.seed}"]
    )


def timing(finished: inference_pb2.Finished, counted: str = "token") -> list[str]:
    """How many tokens, how fast, and what limit ended them.

    Args:
        finished: The end of the answer.
        counted: What it is counted in.
    """
    usage = finished.usage
    count = usage.generated_tokens
    parts = [f"{count} {counted}{'' if count == 1 else 's'}"]
    if usage.HasField("time_to_first_token_ms"):
        parts.append(f"first after {usage.time_to_first_token_ms:.0f} ms")
    speed = tokens_per_second(usage)
    if speed is not None:
        parts.append(f"{speed:.1f} {counted}s/s")
    if finished.reason in _LIMITS:
        parts.append(_LIMITS[finished.reason])
    return parts


def tokens_per_second(usage: inference_pb2.Usage) -> float | None:
    """Speed of decoding after the first token, or None where there is nothing to measure."""
    if usage.generated_tokens < 2 or not usage.HasField("time_to_first_token_ms"):
        return None
    seconds = (usage.duration_ms - usage.time_to_first_token_ms) / 1e3
    return (usage.generated_tokens - 1) / seconds if seconds > 0 else None


def _members(decision: plan_pb2.Decision) -> str:
    if len(decision.members) == 1:
        return decision.members[0].model
    names = " + ".join(f"{member.model} {member.weight:.2g}" for member in decision.members)
    return f"{names}, {notable_manner(decision)}"
