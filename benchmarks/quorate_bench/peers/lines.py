"""A program that is told what to do line by line; see ``programs``."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from quorate.errors import CannotRun
from quorate.foreign_text import one_line
from quorate_bench.measuring import Disturbed, Timed, timed
from quorate_bench.processes import Child, child
from quorate_bench.side_by_side.contract import Peer, Prompt

_START_SECONDS = 600.0
_ANSWER_SECONDS = 900.0


@asynccontextmanager
async def line_program(
    name: str,
    command: Sequence[str],
    cores: Sequence[int],
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[Peer]:
    """Runs a program until the context ends.

    Raises:
        CannotRun: It ended before it was ready, or took too long.
    """
    async with child(command, cores, environment) as started:
        try:
            async with asyncio.timeout(_START_SECONDS):
                ready = await started.lines.readline()
        except TimeoutError:
            raise CannotRun(name, f"was not ready within {_START_SECONDS:.0f} s") from None
        if not ready:
            await started.process.wait()
            raise CannotRun(name, f"did not come up: {one_line(started.last_complaint())}")
        yield _Lines(name, started)


class _Lines:
    def __init__(self, name: str, started: Child) -> None:
        self._name = name
        self._child = started

    async def answers(self, prompts: Sequence[Prompt], tokens: int) -> list[Timed]:
        """See ``Peer``."""
        asked = {"prompts": [list(one.tokens) for one in prompts], "tokens": tokens}
        began = time.perf_counter()
        moments = await self._ask(asked)
        if len(moments) != len(prompts):
            raise Disturbed(f"{self._name} answered {len(moments)} of {len(prompts)} prompts")
        return [
            timed(began, [began + moment for moment in one], len(prompt.tokens))
            for one, prompt in zip(moments, prompts, strict=True)
        ]

    async def _ask(self, asked: Mapping[str, object]) -> list[list[float]]:
        stdin = self._child.process.stdin
        assert stdin is not None
        try:
            stdin.write(json.dumps(asked).encode() + b"\n")
            await stdin.drain()
            async with asyncio.timeout(_ANSWER_SECONDS):
                line = await self._child.lines.readline()
            moments: list[list[float]] = json.loads(line)["moments"]
        except (OSError, TimeoutError, ValueError, KeyError, TypeError):
            told = one_line(self._child.last_complaint())
            raise Disturbed(f"{self._name} did not answer: {told}") from None
        return moments
