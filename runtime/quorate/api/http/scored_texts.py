"""What texts were to plans, so that one that begins alike is scored from where it differs.

Programs that compare answers have the same question judged before each of them. A model's cache
knows such a beginning, but not what its tokens were to the plan, for which they would all be
computed again.
"""

from __future__ import annotations

import asyncio
from array import array
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice

from quorate.engines.prefixes import common_prefix
from quorate.request import Token

MOST_TEXTS = 64
"""Texts that are held; each is compared with each new one."""

MOST_HELD = 1 << 16
"""Tokens of all of them together, and candidates beside those."""

WORTH_WAITING = 16
"""Tokens that a text which is being scored spares another at least, where that waits for it."""

_WAIT_SECONDS = 10.0
# Of texts that are being scored there may be many, and long ones.
_MOST_COMPARED = 16
_MOST_TOKENS_COMPARED = 1 << 14


@dataclass(eq=False)
class Scoring:
    """A text that is being scored.

    Attributes:
        judge: Who scores it; see ``ScoredTexts.beginning``.
        ids: Its tokens.
        known: How many of them were known before.
        scored: What they are, but the first, once that is known.
    """

    judge: Hashable
    ids: array[int]
    known: int
    scored: Sequence[Token] = ()
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def weight(self) -> int:
        """How much of what may be held it takes."""
        return sum(1 + len(token.top) for token in self.scored)


class ScoredTexts:
    """The texts that were scored last, by who judged them for whom.

    Args:
        most: Tokens that are held at most, and candidates beside them.
    """

    def __init__(self, most: int = MOST_HELD) -> None:
        self._most = most
        self._held = 0
        # Those used last are the last.
        self._known: OrderedDict[Scoring, None] = OrderedDict()
        self._running: dict[Scoring, None] = {}

    async def beginning(self, judge: Hashable, ids: array[int]) -> Sequence[Token]:
        """What is known of a text: of its second token, and those behind it, but the last.

        A text that is being scored and begins alike is waited for, where that spares half of what
        it computes, and for ten seconds in all.

        Args:
            judge: Whoever has the same one is told the same of the same text.
            ids: Tokens of the text.
        """
        deadline = asyncio.get_running_loop().time() + _WAIT_SECONDS
        while True:
            known = self._longest(judge, ids)
            beside = self._worth_waiting(judge, ids, len(known))
            if beside is None:
                return known
            try:
                async with asyncio.timeout_at(deadline):
                    await beside.ended.wait()
            except TimeoutError:
                return self._longest(judge, ids)

    @contextmanager
    def scoring(self, judge: Hashable, ids: array[int], known: int) -> Iterator[Scoring]:
        """Scores a text of which so many tokens are known; what is then ``scored`` is held.

        Whoever enters it right behind ``beginning`` is waited for by all who woke with it.
        """
        one = Scoring(judge, ids, known)
        self._running[one] = None
        try:
            yield one
        finally:
            del self._running[one]
            self._keep(one)
            one.ended.set()

    def _worth_waiting(self, judge: Hashable, ids: array[int], known: int) -> Scoring | None:
        most = min(len(ids) - 1, _MOST_TOKENS_COMPARED)
        others = (one for one in self._running if one.judge == judge)
        for other in islice(others, _MOST_COMPARED):
            spared = common_prefix(other.ids, ids, most) - 1 - known
            if spared >= max(WORTH_WAITING, (len(other.ids) - 1 - other.known) // 2):
                return other
        return None

    def _longest(self, judge: Hashable, ids: array[int]) -> Sequence[Token]:
        best, most = None, 1
        for one in self._known:
            # The last token is computed always.
            if one.judge == judge and (common := common_prefix(one.ids, ids, len(ids) - 1)) > most:
                best, most = one, common
        if best is None:
            return ()
        self._known.move_to_end(best)
        return best.scored[: most - 1]

    def _keep(self, new: Scoring) -> None:
        if not 0 < new.weight <= self._most:
            return
        for old in [one for one in self._known if _extends(new, one)]:
            self._drop(old)
        self._known[new] = None
        self._held += new.weight
        while self._held > self._most or len(self._known) > MOST_TEXTS:
            self._drop(next(iter(self._known)))

    def _drop(self, one: Scoring) -> None:
        del self._known[one]
        self._held -= one.weight


def _extends(new: Scoring, old: Scoring) -> bool:
    """Whether all that is known of one text is known of another one, by the same judge."""
    length = len(old.ids)
    return new.judge == old.judge and common_prefix(new.ids, old.ids, length) == length
