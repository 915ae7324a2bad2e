"""Answers of a running server, timed as their reader sees them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from quorate.client import Client
from quorate.errors import QuorateError
from quorate.v1 import inference_pb2
from quorate_bench.cases import Case
from quorate_bench.noise import Load
from quorate_bench.sweep import is_one_vote, temperature

TIERS = ("measured", "estimated", "unavailable")
"""How an energy is known, from the best to the worst."""

PARTS = tuple(field.name.removesuffix("_ms") for field in inference_pb2.StepTimes.DESCRIPTOR.fields)
"""Parts of the time of an answer's steps, as the service tells them."""

_ANSWER_SECONDS = 900.0
# Whose answers tell nothing of the plan.
_BROKEN = (
    inference_pb2.NOTICE_KIND_MEMBER_DROPPED,
    inference_pb2.NOTICE_KIND_FELL_BACK,
    inference_pb2.NOTICE_KIND_SUBSTITUTED,
)
_TIERS = {
    inference_pb2.ENERGY_TIER_MEASURED: "measured",
    inference_pb2.ENERGY_TIER_ESTIMATED: "estimated",
}


class Disturbed(QuorateError):
    """A measurement that does not count, since something went wrong meanwhile."""


@dataclass(frozen=True, slots=True)
class Timed:
    """One answer.

    Attributes:
        first_ms: From the request to the first token.
        gaps_ms: Time that each further token took; tokens that came together share it evenly, and
            an answer that came as a whole shares the time of its prompt too.
        tokens: Of the answer.
        prompt_tokens: In the first member's tokenizer.
        began: In seconds of a clock that all answers share.
        ended: When the last token came.
        busy_ms: Longest time that any one model was waited for; None where nobody tells.
        joules: Of all models; None where one of them has none.
        tier: ``measured``, ``estimated`` or ``unavailable``, the worst of its models.
        drafted: Tokens guessed ahead.
        accepted: Those of them that were chosen.
        parts_ms: Where the time of its steps went, by part, see ``PARTS``; empty where nobody
            tells.
    """

    first_ms: float
    gaps_ms: tuple[float, ...]
    tokens: int
    prompt_tokens: int
    began: float
    ended: float
    busy_ms: float | None
    joules: float | None
    tier: str
    drafted: int
    accepted: int
    parts_ms: Mapping[str, float]


async def measure(
    client: Client, case: Case, options: Mapping[str, Any], prompts: Sequence[str]
) -> dict[str, Any]:
    """One repetition of a case, as a record has it.

    Args:
        client: Of the server that runs the case's setting.
        case: What is measured.
        options: Arguments of the client for its plan.
        prompts: As many as answers are wanted at once.

    Raises:
        Disturbed: A member died, another plan answered, or an answer had no second token.
        ServiceError: The server refused.
    """
    began = time.perf_counter()
    asked = (timed_answer(client, prompt, options, case.answer_tokens) for prompt in prompts)
    return told(await all_at_once(asked), began)


def told(answers: Sequence[Timed], began: float) -> dict[str, Any]:
    """What answers that were asked at once are in a record.

    Args:
        answers: At least one.
        began: When they were asked, in seconds of their clock.
    """
    seconds = max(one.ended for one in answers) - began
    tokens = sum(one.tokens for one in answers)
    joules = [one.joules for one in answers if one.joules is not None]
    known = len(joules) == len(answers)
    return {
        "seconds": _rounded(seconds),
        "first_ms": [_rounded(one.first_ms) for one in answers],
        "gaps_ms": [_rounded(gap) for one in answers for gap in one.gaps_ms],
        "tokens": tokens,
        "read_tokens": sum(one.prompt_tokens for one in answers),
        "tokens_per_second": _rounded(tokens / seconds),
        "waited_share": _waited_share(answers),
        "joules": _rounded(sum(joules)) if known else None,
        "tier": max((one.tier for one in answers), key=TIERS.index),
        "drafted": sum(one.drafted for one in answers),
        "accepted": sum(one.accepted for one in answers),
        **_parts(answers),
    }


def measurement(
    case: Case, repetition: int, found: Mapping[str, Any], load: Load | None
) -> dict[str, Any]:
    """The record of one repetition, with what else the machine did meanwhile."""
    return {
        "kind": "measurement",
        **case.told(),
        "repetition": repetition,
        "at": time.time(),
        **found,
        "other_load": None if load is None else round(load.others, 4),
        "stolen": None if load is None else round(load.stolen, 4),
    }


async def timed_answer(
    client: Client, prompt: str, options: Mapping[str, Any], tokens: int
) -> Timed:
    """Reads one answer to its end, greedy unless it is one of several samples.

    Raises:
        Disturbed: See ``measure``.
        ServiceError: The server refused.
    """
    began = time.perf_counter()
    moments: list[float] = []
    finished: inference_pb2.Finished | None = None
    async for event in client.generate(
        prompt,
        temperature=temperature(options),
        seed=0,
        max_tokens=tokens,
        timeout=_ANSWER_SECONDS,
        **options,
    ):
        if event.notice.kind in _BROKEN:
            raise Disturbed(event.notice.message)
        if event.notice.kind == inference_pb2.NOTICE_KIND_ESCALATED:
            # What was shown until now is no part of the answer any longer.
            moments.clear()
        if event.HasField("delta"):
            moments += [time.perf_counter()] * len(event.delta.tokens)
        if event.HasField("finished"):
            finished = event.finished
    if finished is None:
        raise Disturbed(f"an answer ended after {len(moments)} tokens")
    usage = finished.usage
    joules, tier = _energy(usage)
    found = timed(began, moments, usage.prompt_tokens)
    # Once it is settled it comes at once, in as many messages as it has.
    withheld = not is_one_vote(options) and not options.get("stream_early")
    return replace(
        found,
        gaps_ms=_shares(moments, began) if withheld else found.gaps_ms,
        busy_ms=max((model.busy_ms for model in usage.models), default=0.0),
        joules=joules,
        tier=tier,
        drafted=usage.drafted_tokens,
        accepted=usage.accepted_tokens,
        parts_ms={part: getattr(usage.step_times, f"{part}_ms") for part in PARTS},
    )


def timed(began: float, moments: Sequence[float], prompt_tokens: int) -> Timed:
    """An answer of which nothing is known but when its tokens came.

    Args:
        began: When it was asked, in seconds.
        moments: When each token came, of the same clock.
        prompt_tokens: Of its prompt.

    Raises:
        Disturbed: It had no second token.
    """
    if len(moments) < 2:
        raise Disturbed(f"an answer ended after {len(moments)} tokens")
    return Timed(
        1e3 * (moments[0] - began),
        _gaps(moments) or _shares(moments, began),
        len(moments),
        prompt_tokens,
        began,
        moments[-1],
        busy_ms=None,
        joules=None,
        tier="unavailable",
        drafted=0,
        accepted=0,
        parts_ms={},
    )


def _parts(answers: Sequence[Timed]) -> dict[str, dict[str, float]]:
    """Where the time went, of all answers; nothing where one of them does not tell."""
    if not all(one.parts_ms for one in answers):
        return {}
    sums = {part: _rounded(sum(one.parts_ms[part] for one in answers)) for part in PARTS}
    return {"parts_ms": sums}


def _gaps(moments: Sequence[float]) -> tuple[float, ...]:
    """Milliseconds that each token after the first took.

    Of several that came in one moment the first had to be waited for, and the others with it: each
    has its share, so that the sum is what the reader waited.
    """
    if moments[0] == moments[-1]:
        return ()
    gaps: list[float] = []
    index = 1
    while index < len(moments):
        end = index + 1
        while end < len(moments) and moments[end] == moments[index]:
            end += 1
        share = 1e3 * (moments[index] - moments[index - 1]) / (end - index)
        gaps += [share] * (end - index)
        index = end
    return tuple(gaps)


def _shares(moments: Sequence[float], began: float) -> tuple[float, ...]:
    """Each token's share of all the waiting, of an answer that was withheld until settled."""
    return (1e3 * (moments[-1] - began) / len(moments),) * (len(moments) - 1)


def _energy(usage: inference_pb2.Usage) -> tuple[float | None, str]:
    energies = [model.energy for model in usage.models]
    tiers = [_TIERS.get(one.tier, "unavailable") for one in energies] or ["unavailable"]
    known = bool(energies) and all(one.HasField("joules") for one in energies)
    total = sum(one.joules for one in energies) if known else None
    return total, max(tiers, key=TIERS.index)


def _waited_share(answers: Sequence[Timed]) -> float | None:
    """Share of the answers' time in which a model was waited for; the rest is the coordinator's."""
    busy = [one.busy_ms for one in answers if one.busy_ms is not None]
    whole = sum(one.ended - one.began for one in answers) * 1e3
    if len(busy) < len(answers):
        return None
    return _rounded(min(1.0, sum(busy) / whole)) if whole else 0.0


async def all_at_once(asked: Iterable[Coroutine[Any, Any, Timed]]) -> list[Timed]:
    """All answers; the first that fails ends the others."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in asked]
    except ExceptionGroup as group:
        raise group.exceptions[0] from None
    return [task.result() for task in tasks]


def _rounded(value: float) -> float:
    return float(f"{value:.5g}")
