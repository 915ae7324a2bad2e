"""What turning one text into tokens may take, and how it is told to stop.

A tokenizer works on a long text in pieces and reports after each. Whoever it works for may have
left meanwhile, or there may be more tokens already than a context can hold: then the rest would be
work for nothing.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from quorate.errors import InvalidRequest, PromptTooLong

BASE_SECONDS = 1.0
"""CPU time that any prompt may take."""

TOKEN_SECONDS = 20e-6
"""And for each token that the context holds; common tokenizers need some microseconds for one."""


def allowed_seconds(context_length: int) -> float:
    """CPU seconds that a prompt of a model with so long a context may take."""
    return BASE_SECONDS + TOKEN_SECONDS * context_length


class EncodingCancelled(BaseException):
    """Nobody waits for these tokens any more. No error: templates and callers must not catch it."""


class EncodingBudget:
    """The budget of one request, spent by the thread that serves it.

    Args:
        field: What is encoded, as its caller calls it.
        most_tokens: Tokens behind which the rest does not matter.
        seconds: CPU time.
        clock: CPU seconds of the calling thread.
    """

    def __init__(
        self,
        field: str,
        most_tokens: int,
        seconds: float,
        clock: Callable[[], float] = time.thread_time,
    ) -> None:
        self.field = field
        self.seconds = seconds
        self._most_tokens = most_tokens
        self._clock = clock
        self._ends = math.inf
        self._tokens = 0
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """Has the thread that works stop at its next report; may be called from any other."""
        self._cancelled.set()

    def begin(self) -> None:
        """The thread that spends it begins now."""
        self._ends = self._clock() + self.seconds

    def spend(self, tokens: int) -> None:
        """Reports that so many further tokens are there, and that more will be looked for.

        Raises:
            PromptTooLong: There are more tokens than the context holds.
            InvalidRequest: It took too long already.
            EncodingCancelled: Nobody waits for them any more.
        """
        self._tokens += tokens
        if self._cancelled.is_set():
            raise EncodingCancelled
        if self._tokens > self._most_tokens:
            raise PromptTooLong(
                self.field,
                f"has {self._tokens} tokens or more, and the context holds {self._most_tokens} "
                "with the answer; shorten it",
            )
        if self._clock() > self._ends:
            raise too_slow(self.field, self.seconds)


def too_slow(field: str, seconds: float) -> InvalidRequest:
    """The refusal of what takes longer than its budget."""
    return InvalidRequest(
        field,
        f"turning it into tokens takes longer than the {seconds:.3g} s of CPU time that it may "
        "take for this model; shorten it, and break up long runs without spaces",
    )


_CURRENT: ContextVar[EncodingBudget | None] = ContextVar("encoding budget", default=None)


@contextmanager
def spending(budget: EncodingBudget) -> Iterator[None]:
    """Has what this thread encodes meanwhile spend this budget."""
    budget.begin()
    token = _CURRENT.set(budget)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def spend(tokens: int) -> None:
    """Reports to the budget of this thread, if it has one; see ``EncodingBudget.spend``."""
    budget = _CURRENT.get()
    if budget is not None:
        budget.spend(tokens)


def field() -> str:
    """What this thread encodes, as its caller calls it."""
    budget = _CURRENT.get()
    return "prompt" if budget is None else budget.field
