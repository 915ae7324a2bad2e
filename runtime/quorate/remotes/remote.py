"""One configured remote, as the rest of the runtime sees it."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from quorate.amounts import span_text
from quorate.errors import RemoteFailed, SettingsError
from quorate.remotes.breaker import Admission, BreakerPolicy, CircuitBreaker
from quorate.remotes.contract import RemoteEnd, RemoteEvent, RemoteRequest
from quorate.remotes.cooldown import Cooldown
from quorate.remotes.failures import CallFailed, Failure, FailureKind
from quorate.remotes.generator import RemoteGenerator, Timing
from quorate.remotes.settings import RemoteSettings, read_key
from quorate.remotes.wire import unsupported
from quorate.request import Request

_FULL_RETRY_SECONDS = 1.0

_log = logging.getLogger(__name__)


class Remote:
    """A remote with its circuit breaker and its limit of concurrency.

    It connects when the first request is made and not before.

    Args:
        settings: Already checked.
        environ: Where its key is read, once.
        timing: Clocks, sleep and chance; tests inject their own.

    Attributes:
        cooldown: The rest that it asked for when it told a request to come later.
        running: Requests running now.

    Raises:
        SettingsError: The key is missing, or the ``remote`` extra is not installed.
    """

    def __init__(
        self,
        name: str,
        settings: RemoteSettings,
        environ: Mapping[str, str] = os.environ,
        policy: BreakerPolicy | None = None,
        timing: Timing | None = None,
    ) -> None:
        timing = timing or Timing()
        key = read_key(settings.api_key_env, environ, f"remotes.{name}")
        try:
            from quorate.remotes.calls import Calls
        except ImportError as error:
            raise SettingsError(
                f"remotes.{name}: remotes need the package {error.name}; install quorate[remote]"
            ) from None
        self.name = name
        self.settings = settings
        self.breaker = CircuitBreaker(policy, timing.clock)
        self._calls = Calls(settings, key, timing.wall_clock)
        self.cooldown = Cooldown(timing.clock)
        self._generator = RemoteGenerator(settings, self._calls, timing, self.cooldown)
        self.running = 0
        self._closed = False

    def available(self) -> str | None:
        """Why a request would be refused now, in one line; None where it would not be."""
        if self._closed:
            return "it is closed"
        if self.running >= self.settings.max_concurrent:
            return f"{self.running} requests run, which is its limit"
        if self.breaker.admits:
            rest = self.cooldown.seconds
            return (
                f"it wants to rest for {span_text(rest)}: {self.cooldown.cause}" if rest else None
            )
        return f"its circuit breaker is {self.breaker.state.value}: {self.breaker.reason}"

    @property
    def retry_after_seconds(self) -> float:
        """When another try has a chance."""
        wait = max(self.breaker.retry_after_seconds, self.cooldown.seconds)
        return wait or _FULL_RETRY_SECONDS

    def unsupported(self, request: Request) -> tuple[str, ...]:
        """Names the fields of a request that this remote would have to ignore."""
        return unsupported(request, self.settings)

    async def generate(self, request: RemoteRequest) -> AsyncGenerator[RemoteEvent, None]:
        """Gives pieces of text and at last a ``RemoteEnd``.

        Closing or cancelling it closes the connection at once. What was streamed until then stands
        in the last event that it gave; ``on_sent`` and ``on_failed`` of the request tell what else
        may be charged for.

        Raises:
            RemoteFailed: The remote is not available or failed; after a piece was given, too.
            DeadlinePassed: The caller's deadline ended first.
        """
        refusal = self.available()
        admission = None if refusal else self.breaker.admit()
        if admission is None:
            raise RemoteFailed(self.name, refusal or "not available", self.retry_after_seconds)
        self.running += 1
        outcome = _Outcome(self.breaker, admission)
        try:
            async with aclosing(self._generator.generate(request)) as events:
                async for event in events:
                    outcome.answered = True
                    if isinstance(event, RemoteEnd):
                        self._log_oddities(event)
                    yield event
        except CallFailed as error:
            outcome.failed(error.failure)
            raise self._translated(error.failure) from None
        finally:
            self.running -= 1
            outcome.close()

    async def close(self) -> None:
        """Closes all connections; streams that run fail."""
        self._closed = True
        await self._calls.close()

    def _log_oddities(self, end: RemoteEnd) -> None:
        if end.word:
            _log.info("remote %s ended an answer with %s", self.name, end.word)
        for doubt in end.doubts:
            _log.warning("remote %s %s; the dearer reading is charged", self.name, doubt)

    def _translated(self, failure: Failure) -> RemoteFailed:
        after = failure.retry_after_seconds
        return RemoteFailed(
            self.name, failure.cause, self.retry_after_seconds if after is None else after
        )


class _Outcome:
    """Tells the breaker once how a request ended, however it did."""

    def __init__(self, breaker: CircuitBreaker, admission: Admission) -> None:
        self._breaker = breaker
        self._admission = admission
        self._told = False
        self.answered = False

    def failed(self, failure: Failure) -> None:
        """The remote failed, or refused the request."""
        breaker, admission, self._told = self._breaker, self._admission, True
        if failure.kind is FailureKind.TRANSIENT:
            breaker.failed(admission, failure.cause)
        elif failure.kind is FailureKind.QUOTA:
            breaker.quota_spent(admission, failure.cause, failure.retry_after_seconds)
        elif failure.kind is FailureKind.MISCONFIGURED:
            breaker.misconfigured(admission, failure.cause)
        else:
            breaker.withdrawn(admission)

    def close(self) -> None:
        """The request is over; without a failure it was answered, or given up by the caller."""
        if self._told:
            return
        if self.answered:
            self._breaker.succeeded(self._admission)
        else:
            self._breaker.withdrawn(self._admission)
