"""What a remote will take for one request, and what it may charge."""

from __future__ import annotations

import math

from quorate.costs.prediction import RunShape
from quorate.costs.prompts import PromptSizeModel
from quorate.request import Forecast
from quorate.routing.snapshot import Remote, Snapshot
from quorate.routing.wish import Wish


def forecast_remote(remote: Remote, wish: Wish, snapshot: Snapshot) -> Forecast:
    """What a remote will take: measured where it was asked before, else as the operator expects."""
    known = snapshot.costs.get(f"remote:{remote.name}")
    prompt = PromptSizeModel().tokens(wish.prompt_bytes)
    generated = float(wish.max_tokens)
    time, likely, cold = _expected_remote(remote, generated)
    if known is not None and not known.run.cold:
        prompt = known.prompt_tokens(wish.prompt_bytes, wish.chat)
        lengths = known.lengths(wish.task)
        generated = lengths.expected(wish.max_tokens)
        shape = RunShape(prompt, generated)
        longest = RunShape(prompt, lengths.quantile(0.9, wish.max_tokens))
        time = known.run.time(shape).mean_ms
        likely, cold = known.run.time(longest).q90_ms, False
    usd = ceiling = None
    if remote.price is not None:
        usd = float(remote.price.cost(math.ceil(prompt), 0, math.ceil(generated)))
        ceiling = float(remote.price.ceiling(wish.most_prompt_tokens, wish.max_tokens))
    return Forecast(
        time_ms=time,
        time_q90_ms=likely,
        usd=usd,
        usd_ceiling=ceiling,
        prompt_tokens=prompt,
        generated_tokens=generated,
        cold=cold,
    )


def _expected_remote(remote: Remote, generated: float) -> tuple[float | None, float | None, bool]:
    if not remote.tokens_per_second:
        return None, None, True
    time = remote.first_token_ms + generated / remote.tokens_per_second * 1000.0
    return time, time, True
