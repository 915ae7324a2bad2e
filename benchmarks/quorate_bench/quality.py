"""How good a plan's answers are: how well it predicts a text, and how often it is right."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quorate.calibration.dataset import read_dataset
from quorate.calibration.grading import is_right
from quorate.client import Client, ServiceError
from quorate.files import read_file
from quorate_bench.sweep import BenchPlan, Quality, temperature
from quorate_bench.texts import BITS_TEXT

_LONGEST_TEXT = 1 << 20
_ANSWER_SECONDS = 900.0


async def measure_quality(
    client: Client, plan: BenchPlan, quality: Quality, most_bytes: int
) -> dict[str, Any]:
    """Bits per byte and accuracy of a plan; null where one has none, with the reason.

    What keeps one of several answers gives no distribution of its own.

    Args:
        client: Of the server.
        plan: Which.
        quality: What is asked.
        most_bytes: Of the text; what every model of the sweep can hold, so that all read the same.
    """
    text = _text(quality)[:most_bytes].decode("utf-8", errors="ignore")
    found: dict[str, Any] = {
        "bits_per_byte": None, "bytes": len(text.encode()), "accuracy": None, "questions": 0,
        "problem": "",
    }  # fmt: skip
    try:
        if plan.is_one_vote:
            found["bits_per_byte"] = await _bits_per_byte(client, plan.options, text)
        if quality.questions:
            right, asked = await _answered(client, plan.options, quality)
            found |= {"accuracy": right / asked if asked else None, "questions": asked}
    except ServiceError as error:
        found["problem"] = str(error)
    return found


async def _bits_per_byte(client: Client, options: Mapping[str, Any], text: str) -> float:
    scored = {key: value for key, value in options.items() if not key.startswith("drafts")}
    response = await client.score("", text, timeout=_ANSWER_SECONDS, **scored)
    return round(-response.logprob / math.log(2) / len(text.encode()), 5)


async def _answered(
    client: Client, options: Mapping[str, Any], quality: Quality
) -> tuple[int, int]:
    cases = read_dataset(Path(quality.questions), "task").spread(quality.limit)
    right = 0
    for case in cases:
        asked: dict[str, Any] = {"messages": case.messages} if case.messages else {}
        text = await client.complete(
            case.prompt or None,
            **asked,
            temperature=temperature(options),
            seed=0,
            max_tokens=quality.max_tokens,
            timeout=_ANSWER_SECONDS,
            **options,
        )
        right += is_right(text, case)
    return right, len(cases)


def _text(quality: Quality) -> bytes:
    if not quality.text:
        return BITS_TEXT.encode()
    return read_file(Path(quality.text), "give a text in UTF-8")[:_LONGEST_TEXT]
