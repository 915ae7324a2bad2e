"""Sessions that grow, go back, divide and end in any order, in a KV cache that is always short.

Every row is held against the score of the same tokens, which takes nothing from vLLM's prefix
cache: a block that was found there by a wrong hash would show.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from quorate.engines.contract import Session
from quorate.engines.spec import EngineSpec
from quorate.engines.worker.engine import HostedEngine
from quorate.fleet.cores import available_cores

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(600)]

DEADLINE_SECONDS = 300.0
LENGTH = 160
# Each is a session and room for one branch.
GROUPS = 2
WALKERS = 2 * GROUPS
STEPS = 240
# float32 sums in another order; a wrong block moves a log-prob by whole nats.
TOLERANCE = 5e-3


@dataclass
class Walker:
    """A session, its fork group, and what it should hold."""

    session: Session
    group: int
    tokens: list[int] = field(default_factory=list)

    @property
    def room(self) -> int:
        return LENGTH - len(self.tokens)


@dataclass
class Walk:
    """One engine under random use.

    Attributes:
        seen: Tokens, the most probable token after them, and its log-prob.
    """

    engine: HostedEngine
    dice: random.Random
    walkers: list[Walker] = field(default_factory=list)
    prompts: list[list[int]] = field(default_factory=list)
    seen: list[tuple[list[int], int, float]] = field(default_factory=list)

    async def step(self) -> None:
        groups = [walker.group for walker in self.walkers]
        if len(set(groups)) < GROUPS and (not groups or self.dice.random() < 0.3):
            free = next(group for group in range(GROUPS) if group not in groups)
            self.walkers.append(Walker(await self.engine.open(LENGTH, 1), free))
            await self.feed(self.walkers[-1], self.beginning())
            return
        walker = self.dice.choice(self.walkers)
        match self.dice.choice(("grow", "grow", "grow", "return", "divide", "end")):
            case "grow" if walker.room:
                await self.feed(walker, self.words(min(walker.room, self.dice.randint(1, 40))))
            case "return" if len(walker.tokens) > 1:
                count = self.dice.randint(1, len(walker.tokens) - 1)
                walker.session.rewind(count)
                del walker.tokens[-count:]
                await self.feed(walker, self.words(1))
            case "divide" if groups.count(walker.group) == 1 and walker.room:
                branch = Walker(walker.session.branch(), walker.group, list(walker.tokens))
                self.walkers.append(branch)
                await asyncio.gather(
                    self.feed(branch, self.words(1)), self.feed(walker, self.words(1))
                )
            case _:
                walker.session.close()
                self.walkers.remove(walker)
                self.prompts.append(walker.tokens)

    async def feed(self, walker: Walker, tokens: list[int]) -> None:
        walker.tokens += tokens
        row = await walker.session.feed(tokens)
        best = int(row.argmax())
        self.seen.append((list(walker.tokens), best, float(row[best])))

    def beginning(self) -> list[int]:
        """A new text, or the beginning of one that was there before."""
        if self.prompts and self.dice.random() < 0.6:
            known = self.dice.choice(self.prompts)
            return known[: self.dice.randint(1, len(known))]
        return self.words(self.dice.randint(1, 100))

    def words(self, count: int) -> list[int]:
        return [self.dice.randrange(100, 40_000) for _ in range(count)]


async def test_every_row_is_that_of_its_tokens(smollm2_checkpoint: Path) -> None:
    options = {
        "sessions": WALKERS + 1,
        "context_length": LENGTH + 1,
        "cells": (WALKERS + 1) * (LENGTH + 1),
        "batch_tokens": 64,
        "dtype": "float32",
    }
    spec = EngineSpec("smollm2", "vllm", str(smollm2_checkpoint), options)
    engine = HostedEngine(spec, available_cores())
    engine.start()
    async with asyncio.timeout(DEADLINE_SECONDS):
        await engine.wait_ready()
        walk = Walk(engine, random.Random(5))
        for _ in range(STEPS):
            await walk.step()
        for tokens, best, logprob in walk.seen[:: max(1, len(walk.seen) // 80)]:
            text = await engine.open(len(tokens) + 1)
            scores = await text.score([*tokens, best])
            text.close()
            assert scores[-1] == pytest.approx(logprob, abs=TOLERANCE), len(tokens)
    assert len(walk.seen) > STEPS / 2
    await engine.close()
