"""One line about an answer: how much, how fast, at what cost, by whom."""

from __future__ import annotations

from quorate.cli.plan_words import answering, members_words, unit
from quorate.cli.quantities import energy_text, total_energy, usd_text
from quorate.v1 import inference_pb2, plan_pb2

_LIMITS = {
    inference_pb2.FINISH_REASON_MAX_TOKENS: "cut at the token limit",
    inference_pb2.FINISH_REASON_MAX_BYTES: "cut at the byte limit",
    inference_pb2.FINISH_REASON_CONTEXT_FULL: "cut where the context was full",
    inference_pb2.FINISH_REASON_CONTENT_FILTER: "cut by the remote's filter",
}


def summary_line(
    decision: plan_pb2.Decision, finished: inference_pb2.Finished, escalations: int = 0
) -> str:
    """Tokens, times, what it cost, who answered and how they were chosen, and the seed.

    Args:
        decision: The plan that ran.
        finished: The end of the answer.
        escalations: Stages of a cascade that gave way.
    """
    answered = answering(decision, escalations)
    # An answer that was held back until it was known to be kept has no speed of its own.
    parts = timing(finished, unit(answered), streamed=not decision.stages) + _cost(finished.usage)
    if decision.stages:
        parts.append(f"{members_words(decision)}, stage {escalations + 1} answered")
    else:
        parts.append(members_words(decision))
    parts += _route(decision)
    if not decision.remote:
        parts.append(f"seed {answered.seed}")
    return " \N{MIDDLE DOT} ".join(parts)


def timing(
    finished: inference_pb2.Finished, counted: str = "token", *, streamed: bool = True
) -> list[str]:
    """How many tokens, how fast, and what limit ended them.

    Args:
        finished: The end of the answer.
        counted: What it is counted in.
        streamed: Whether each token was shown when it came, so that there is a speed.
    """
    usage = finished.usage
    count = usage.generated_tokens
    parts = [f"{count} {counted}{'' if count == 1 else 's'}"]
    if usage.HasField("time_to_first_token_ms"):
        parts.append(f"first after {usage.time_to_first_token_ms:.0f} ms")
    speed = tokens_per_second(usage)
    if streamed and speed is not None:
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


def _cost(usage: inference_pb2.Usage) -> list[str]:
    """Energy with its tier, or that it is not known, and dollars where any were charged."""
    if not usage.models:
        return []
    total = total_energy([model.energy for model in usage.models])
    parts = [energy_text(total or inference_pb2.Energy())]
    charged = [model.usd for model in usage.models if model.HasField("usd")]
    if charged:
        parts.append(usd_text(sum(charged)))
    return parts


def _route(decision: plan_pb2.Decision) -> list[str]:
    """How the plan was come by, where it was not spelled out."""
    parts = [f"profile {decision.profile}"] if decision.profile else []
    if len(decision.candidates) > 1:
        parts.append(f"chosen from {len(decision.candidates)} plans")
    if decision.explored:
        parts.append("chosen to learn what it costs")
    return parts
