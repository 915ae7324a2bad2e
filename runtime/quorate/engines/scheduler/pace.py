"""How many prompt tokens a decode call takes while others decode, by what its calls took.

What a prompt token costs beside a decode step differs by more than ten times: between weights whose
kernels batch well and others, between one core and many, between empty and full KV caches. So the
size of the chunks is measured, not told: those who decode may wait for a few steps of theirs, and a
prompt gets what that leaves.
"""

from __future__ import annotations

import math
from collections.abc import Callable

STEPS_PER_CALL = 2.0
"""Decode steps that a call with prompt tokens may take as long as.

Nobody who decodes should wait for more than three; one is for what no average foresees.
"""

_STEPS_WHILE_LATE = 0.5
"""Decode steps of prompt tokens in a call that some who decode just miss: it comes on top of their
next one."""

FIRST_TOKENS = 8
"""The chunk of a model nothing is known of yet."""

TILE_TOKENS = 16
"""Prompt tokens that kernels take at once."""

_LONG_SECONDS = 0.25
"""A call that may take so long has whole tiles."""

_FEWEST_TOKENS = 4
"""A prompt gets on whatever it costs."""

_GROWTH = 4
"""Times that a chunk may outgrow the last: small ones hide what large ones cost."""

_SMOOTHING = 0.2
_LONE_SMOOTHING = 0.5
_UNLIMITED = 1 << 30


def without_limit() -> float:
    """As many seconds as it takes."""
    return math.inf


class PrefillPace:
    """Learns what decode steps and prompt tokens take, and sizes the chunks of prompts by it.

    Args:
        most: The most prompt tokens that suit one call, at least 1.
        seconds: How long a call with prompt tokens should take at most, since another model waits
            for it.
    """

    def __init__(self, most: int, seconds: Callable[[], float] = without_limit) -> None:
        self._most = most
        self._seconds = seconds
        self._tokens = min(FIRST_TOKENS, most)
        # Seconds of a step without prompt tokens, by the number of tokens it decoded.
        self._step_seconds: dict[int, float] = {}
        self._token_seconds = 0.0
        # The same where a call has nothing else, the reading of the weights included.
        self._lone_token_seconds = 0.0

    def tokens(self, decoding: int, anyone_late: bool) -> int:
        """Prompt tokens for the next call.

        Args:
            decoding: How many tokens of others it decodes.
            anyone_late: Whether some that decoded in the last calls miss it.
        """
        step = self._step(decoding)
        if step and self._token_seconds:
            steps = STEPS_PER_CALL - 1.0 if decoding and not anyone_late else _STEPS_WHILE_LATE
            affordable = int(steps * step / self._token_seconds)
            largest = min(self._most, _GROWTH * self._tokens)
            self._tokens = max(min(_FEWEST_TOKENS, self._most), min(affordable, largest))
        return self._tokens

    def most_tokens(self) -> int:
        """Prompt tokens for the next call, whoever decodes in it, so that it takes no longer.

        No fewer than a call must have to be worth the reading of the weights. Kernels take some
        tokens at once, and a few less take about as long: where who waits computes for long itself,
        that many are the fewest.
        """
        seconds = self._seconds()
        if seconds == math.inf:
            return _UNLIMITED
        if not self._lone_token_seconds:
            return self._most
        seconds = max(seconds, STEPS_PER_CALL * self._step(1))
        fewest = FIRST_TOKENS if seconds < _LONG_SECONDS else TILE_TOKENS
        affordable = int(min(seconds / self._lone_token_seconds, _UNLIMITED))
        if affordable > TILE_TOKENS:
            affordable -= affordable % TILE_TOKENS
        return max(min(fewest, self._most), affordable)

    def took(self, decoded: int, prompt_tokens: int, seconds: float) -> None:
        """Takes note of a call: how many tokens of each kind it had, and what it took.

        A call of prompts alone tells nothing of what a token costs beside others: in large batches
        it costs less.
        """
        if prompt_tokens and not decoded:
            cost = seconds / prompt_tokens
            known = self._lone_token_seconds or cost
            self._lone_token_seconds = known + _LONE_SMOOTHING * (cost - known)
        elif not prompt_tokens:
            known = self._step_seconds.get(decoded, seconds)
            self._step_seconds[decoded] = known + _SMOOTHING * (seconds - known)
        elif decoded and (step := self._step(decoded)):
            # Where the chunk was free the smallest of costs stands for it: it may grow.
            cost = max((seconds - step) / prompt_tokens, 1e-9)
            known = self._token_seconds or cost
            self._token_seconds = known + _SMOOTHING * (cost - known)

    def _step(self, decoding: int) -> float:
        """Seconds of a step that decodes so many tokens, or of the one that comes nearest; or 0."""
        if not self._step_seconds:
            return 0.0
        nearest = min(self._step_seconds, key=lambda known: abs(known - decoding))
        return self._step_seconds[nearest]
