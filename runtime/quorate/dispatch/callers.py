"""What each caller may ask for: requests at once and by the minute, tokens by the minute.

By the minute goes by a token bucket (RFC 2697 has its form): it holds a minute's worth, fills all
the time, and what is asked of an empty one is refused. How many tokens a request takes shows while
it runs, so that the bucket of tokens may go into debt, which is paid off before more is let in.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from quorate.amounts import span_text
from quorate.dispatch.attempt import Attempt
from quorate.dispatch.settings import CallerLimits
from quorate.engines.fair_turns import CALLER, Caller
from quorate.errors import LimitReached
from quorate.request import Delta, Event, Finished, Request, Score, ScoreRequest

_BYTES_OF_A_TOKEN = 4
_SHORTEST_RETRY_SECONDS = 1.0
_MINUTE_SECONDS = 60.0


class Bucket:
    """So much by the minute; ``per_minute`` 0 is no limit."""

    def __init__(self, per_minute: float, clock: Callable[[], float]) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._level = per_minute
        self._filled_at = clock()

    def wait_seconds(self, amount: float) -> float:
        """Time until it has so much; 0 where it has it now."""
        if not self._per_minute:
            return 0.0
        self._fill()
        missing = min(amount, self._per_minute) - self._level
        return max(0.0, missing) * _MINUTE_SECONDS / self._per_minute

    def take(self, amount: float) -> None:
        """Takes so much, also what it does not have; a negative amount is given back."""
        if self._per_minute:
            self._fill()
            self._level = min(self._per_minute, self._level - amount)

    def _fill(self) -> None:
        now = self._clock()
        gained = (now - self._filled_at) * self._per_minute / _MINUTE_SECONDS
        self._level, self._filled_at = min(self._per_minute, self._level + gained), now


@dataclass(slots=True)
class Tally:
    """The tokens of one request: those of its prompt by its size at first, then as they were."""

    bucket: Bucket
    estimate: int
    counted: int = 0

    def count(self, event: Event) -> None:
        """Counts what an event tells of."""
        if isinstance(event, Delta):
            self.counted += len(event.tokens)
            self.bucket.take(len(event.tokens))
        elif isinstance(event, Finished):
            self.settle(event.usage.prompt_tokens, event.usage.generated_tokens)

    def score(self, score: Score) -> None:
        """Counts what a score took."""
        self.settle(score.usage.prompt_tokens, score.usage.generated_tokens)

    def settle(self, prompt_tokens: int, generated_tokens: int) -> None:
        """Puts what it took in the place of what was counted."""
        # Where no model tells what it read, the estimate stays.
        self.bucket.take((prompt_tokens or self.estimate) - self.estimate)
        self.bucket.take(generated_tokens - self.counted)
        self.counted = generated_tokens

    def computed(self, tokens: int) -> None:
        """Counts what was computed and never told, however the request ended."""
        self.bucket.take(max(0, tokens - self.counted))


@asynccontextmanager
async def counted(attempt: Attempt, tally: Tally) -> AsyncIterator[None]:
    """Counts what a plan computes and may withhold, however its answer ends."""
    try:
        yield
    finally:
        route = attempt.decision.route
        if route.stages or route.answers is not None:
            tally.computed(attempt.computed_tokens)


@dataclass(slots=True)
class _Account:
    caller: Caller
    limits: CallerLimits
    requests: Bucket
    tokens: Bucket
    open: int = 0


class Callers:
    """Keeps callers to their limits. Those without a key have none, and take turns by origin.

    Args:
        limits: Of each key, by name.
        clock: Seconds that never run backwards; tests inject their own.
    """

    def __init__(
        self, limits: Mapping[str, CallerLimits], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._accounts: dict[str, _Account] = {}
        self._unlimited = Bucket(0.0, clock)
        self.change(limits)

    def change(self, limits: Mapping[str, CallerLimits]) -> None:
        """Takes other limits; what is open stays counted, and a bucket that stays keeps its level.

        Args:
            limits: Of each key, by name.
        """
        before = self._accounts
        self._accounts = {
            key: self._account(key, one, before.get(key), shares=len(limits) > 1)
            for key, one in limits.items()
        }

    def _account(
        self, key: str, limits: CallerLimits, known: _Account | None, *, shares: bool
    ) -> _Account:
        caller = Caller(f"key {key}", limits.weight, shares=shares)
        requests = Bucket(limits.requests_per_minute, self._clock)
        tokens = Bucket(limits.tokens_per_minute, self._clock)
        if known is None:
            return _Account(caller, limits, requests, tokens)
        # The same account: who is open will still count itself out of it.
        known.caller = caller
        if limits.requests_per_minute != known.limits.requests_per_minute:
            known.requests = requests
        if limits.tokens_per_minute != known.limits.tokens_per_minute:
            known.tokens = tokens
        known.limits = limits
        return known

    def caller(self, key: str, origin: str) -> Caller:
        """Whose turns a request takes: those of its key, or without one of where it comes from."""
        account = self._accounts.get(key)
        if account is not None:
            return account.caller
        return Caller(f"key {key}" if key else origin)

    def refusal(self, request: Request | ScoreRequest) -> LimitReached | None:
        """What ``request`` would raise now; says to the task for whom it works."""
        CALLER.set(self.caller(request.key, request.origin))
        account = self._accounts.get(request.key)
        return None if account is None else _refusal(request.key, account)

    def call(self, key: str) -> None:
        """Counts a call that asks no model as a request of its key.

        Raises:
            LimitReached: It is more than the key may ask for by the minute.
        """
        if (account := self._accounts.get(key)) is not None:
            if (refusal := _refusal(key, account, opens=False)) is not None:
                raise refusal
            account.requests.take(1)

    @contextmanager
    def request(self, request: Request | ScoreRequest) -> Iterator[Tally]:
        """One request, for as long as the context lasts; says to the task for whom it works.

        Raises:
            LimitReached: It is more than its key may ask for.
        """
        if (refusal := self.refusal(request)) is not None:
            raise refusal
        account = self._accounts.get(request.key)
        if account is None:
            yield Tally(self._unlimited, 0)
            return
        size = request.prompt.size_bytes
        if isinstance(request, ScoreRequest):
            size += request.continuation_bytes
        tally = Tally(account.tokens, size // _BYTES_OF_A_TOKEN + 1)
        account.requests.take(1)
        account.tokens.take(tally.estimate)
        account.open += 1
        try:
            yield tally
        finally:
            account.open -= 1


def _refusal(key: str, account: _Account, *, opens: bool = True) -> LimitReached | None:
    """Why a request is refused; one that ``opens`` nothing needs no place among those that do."""
    limits = account.limits
    if opens and limits.max_requests and account.open >= limits.max_requests:
        return LimitReached(
            f"max_requests of key {key}",
            f"{account.open} requests are open, of {limits.max_requests}; wait until one ends",
            _SHORTEST_RETRY_SECONDS,
        )
    if wait := account.requests.wait_seconds(1.0):
        return LimitReached(
            f"requests_per_minute of key {key}",
            f"all {limits.requests_per_minute:g} are used; the next one is free in "
            f"{span_text(wait)}",
            wait,
        )
    if wait := account.tokens.wait_seconds(1.0):
        return LimitReached(
            f"tokens_per_minute of key {key}",
            f"all {limits.tokens_per_minute:g} are used; the next are free in {span_text(wait)}",
            wait,
        )
    return None
