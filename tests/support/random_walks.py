"""Sessions that grow, guess, go back, divide and end in any order, in a KV cache that is short."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field, replace

from quorate.engines.contract import LogProbs, Session
from quorate.engines.worker.engine import HostedEngine


@dataclass
class Walker:
    """A session of so many tokens, its fork group, and what it should hold."""

    session: Session
    length: int
    group: int
    tokens: list[int] = field(default_factory=list)

    @property
    def room(self) -> int:
        return self.length - len(self.tokens)


@dataclass
class Walk:
    """One engine under random use.

    Attributes:
        groups: Each is a session and room for one branch.
        length: Tokens of a session.
        seen: Tokens, the most probable token after them, and its log-prob.
    """

    engine: HostedEngine
    dice: random.Random
    groups: int
    length: int
    walkers: list[Walker] = field(default_factory=list)
    prompts: list[list[int]] = field(default_factory=list)
    seen: list[tuple[list[int], int, float]] = field(default_factory=list)

    async def step(self) -> None:
        groups = [walker.group for walker in self.walkers]
        if len(set(groups)) < self.groups and (not groups or self.dice.random() < 0.3):
            free = next(group for group in range(self.groups) if group not in groups)
            session = await self.engine.open(self.length, 1)
            self.walkers.append(Walker(session, self.length, free))
            await self.dice.choice((self.feed, self.guess))(self.walkers[-1], self.beginning())
            return
        walker = self.dice.choice(self.walkers)
        match self.dice.choice(("grow", "grow", "guess", "return", "divide", "end")):
            case "grow" if walker.room:
                await self.feed(walker, self.words(min(walker.room, self.dice.randint(1, 40))))
            case "guess" if walker.room:
                await self.guess(walker, self.ahead(walker, self.dice.randint(1, 40)))
            case "return" if len(walker.tokens) > 1:
                count = self.dice.randint(1, len(walker.tokens) - 1)
                walker.session.rewind(count)
                del walker.tokens[-count:]
                await self.feed(walker, self.words(1))
            case "divide" if groups.count(walker.group) == 1 and walker.room:
                branch = replace(
                    walker, session=walker.session.branch(), tokens=list(walker.tokens)
                )
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
        self.note(walker.tokens, await walker.session.feed(tokens))

    async def guess(self, walker: Walker, tokens: list[int]) -> None:
        """Looks ahead, and keeps some of it."""
        most = min(len(tokens), self.engine.facts.block_rows)
        rows = await walker.session.feed_block(tokens, self.dice.randint(1, most))
        walker.tokens += tokens
        for index, row in enumerate(rows):
            self.note(walker.tokens[: len(walker.tokens) - len(rows) + 1 + index], row)
        wrong = self.dice.randint(0, min(len(tokens), len(walker.tokens) - 1))
        if wrong:
            walker.session.rewind(wrong)
            del walker.tokens[-wrong:]

    def note(self, tokens: list[int], row: LogProbs) -> None:
        best = int(row.argmax())
        self.seen.append((list(tokens), best, float(row[best])))

    def beginning(self) -> list[int]:
        """A new text, or the beginning of one that was there before."""
        if self.prompts and self.dice.random() < 0.6:
            known = self.dice.choice(self.prompts)
            return known[: self.dice.randint(1, len(known))]
        return self.words(self.dice.randint(1, 100))

    def ahead(self, walker: Walker, count: int) -> list[int]:
        """What followed the same tokens before, where anything did, or a new text."""
        held, count = len(walker.tokens), min(count, walker.room)
        known = [text[held:] for text in self.prompts if text[:held] == walker.tokens]
        following = [text[:count] for text in known if text]
        return self.dice.choice(following) if following else self.words(count)

    def words(self, count: int) -> list[int]:
        return [self.dice.randrange(100, 40_000) for _ in range(count)]
