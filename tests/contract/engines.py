"""The engines the contract suite runs over. A new engine is one more entry of ``CASES``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from quorate.engines.contract import Engine
from support.scripted_models import scripted_engine


def present() -> str | None:
    """For engines that need nothing but the product."""
    return None


@dataclass(frozen=True, slots=True)
class EngineCase:
    """One engine under test.

    The engine must have 2 to 8 sessions, at least 48 cells for each of them, and a context of at
    least 96 tokens.

    Attributes:
        name: Shown in the names of the tests.
        start: Loads the engine; the suite closes it.
        missing: Why it cannot run here, or None; called in the test, not at import.
        tolerance: Most difference of the ten best log-probs between two ways of computing them;
            0 asks for equal bits of the whole row.
    """

    name: str
    start: Callable[[], Awaitable[Engine]]
    missing: Callable[[], str | None] = present
    tolerance: float = 0.0


async def _in_process_letters() -> Engine:
    return scripted_engine("letters", sessions=3, context_length=160, batch_tokens=16)


async def _in_process_words() -> Engine:
    return scripted_engine("words", sessions=3, context_length=160, vocabulary="words")


async def _in_process_recurrent() -> Engine:
    return scripted_engine("recurrent", sessions=3, context_length=160, rewind=False)


async def _in_process_without_fork() -> Engine:
    return scripted_engine("no_fork", sessions=3, context_length=160, fork=False)


CASES = [
    EngineCase("in_process_letters", _in_process_letters),
    EngineCase("in_process_words", _in_process_words),
    EngineCase("in_process_recurrent", _in_process_recurrent),
    EngineCase("in_process_without_fork", _in_process_without_fork),
]
