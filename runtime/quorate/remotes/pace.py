"""How long a call is waited for: until it begins, between two pieces, and after its end. Pure.

Only what takes the answer on is progress. Comments, blank lines and pings, which keep a connection
alive, are none: a dead upstream behind a proxy sends them for ever.
"""

from __future__ import annotations

from dataclasses import dataclass

from quorate.remotes.settings import RemoteSettings


@dataclass(frozen=True, slots=True)
class PaceLimits:
    """What is asked of a call, in seconds of waiting for it.

    Attributes:
        first_seconds: Until the first event of an answer, connecting included.
        between_seconds: Between two pieces of it.
        grace_seconds: From the word that ends it to the end of the stream.
        tokens_per_second: Least speed after the first event, once ``between_seconds`` have passed;
            0 asks for none.
    """

    first_seconds: float
    between_seconds: float
    grace_seconds: float
    tokens_per_second: float

    @classmethod
    def of(cls, settings: RemoteSettings) -> PaceLimits:
        """Those of a remote; what is not set follows from its ``read_timeout_seconds``."""
        silence, first = settings.read_timeout_seconds, settings.first_event_timeout_seconds
        between = settings.progress_timeout_seconds
        return cls(
            settings.connect_timeout_seconds + silence if first is None else first,
            silence if between is None else between,
            settings.end_grace_seconds,
            settings.min_tokens_per_second,
        )


class Pace:
    """The pace of one call.

    It counts the time that was spent waiting for the remote and no other: a reader of ours that is
    slow is not the remote's fault.
    """

    def __init__(self, limits: PaceLimits) -> None:
        self._limits = limits
        self._begun = False
        self.ended = False
        self._idle = 0.0
        self._since_first = 0.0

    def waited(self, seconds: float) -> None:
        """So long was waited for the remote."""
        self._idle += seconds
        if self._begun:
            self._since_first += seconds

    def begin(self) -> None:
        """An event of an answer came, though no text yet; only the first one is progress."""
        if not self._begun:
            self.progress()

    def progress(self) -> None:
        """The answer went on."""
        self._begun = True
        self._idle = 0.0

    def end(self) -> None:
        """The remote said why its answer ended."""
        if not self.ended:
            self.ended = True
            self._idle = 0.0

    def left(self, tokens: int) -> tuple[float, str]:
        """How long it may still be waited for, and what to say of the remote after that.

        Args:
            tokens: What was streamed so far.
        """
        limits = self._limits
        if self.ended:
            return limits.grace_seconds - self._idle, ""
        if not self._begun:
            first = limits.first_seconds
            return first - self._idle, f"sent nothing of an answer for {first:g} s"
        idle = limits.between_seconds - self._idle
        rate = limits.tokens_per_second
        if rate > 0:
            late = limits.between_seconds + tokens / rate - self._since_first
            if late < idle:
                return late, f"sends fewer than {rate:g} tokens per second"
        return idle, f"sent nothing of the answer for {limits.between_seconds:g} s"
