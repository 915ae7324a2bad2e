"""What texts were to plans, so that one that begins alike is scored from where it differs.

Programs that compare answers have the same question judged before each of them. A model's cache
knows such a beginning, but not what its tokens were to the plan, for which they would all be
computed again.
"""

from __future__ import annotations

import asyncio
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

_WAIT_SECONDS = 30.0
# Of texts that are being scored there may be many, and long ones.
_MOST_COMPARED = 16
_MOST_TOKENS_COMPARED = 4096


@dataclass(eq=False)
class Scoring:
    """A text that is being scored.

    Attributes:
        ids: Its tokens.
        scored: What they are, but the first, once that is known.
    """

    ids: Sequence[int]
    scored: Sequence[Token] = ()
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class ScoredTexts:
    """The texts that were scored last, by who judged them for whom.

    Args:
        most: Tokens that are held at most, and candidates beside them.
    """

    def __init__(self, most: int = MOST_HELD) -> None:
        self._most = most
        self._held = 0
        # Those used last are the last.
        self._known: OrderedDict[Scoring, Hashable] = OrderedDict()
        self._running: dict[Scoring, Hashable] = {}

    async def beginning(self, judge: Hashable, ids: Sequence[int]) -> Sequence[Token]:
        """What is known of a text: of its second token, and those behind it, but the last.

        Where another text that begins alike is being scored, it is waited for, once.

        Args:
            judge: Whoever has the same one is told the same of the same text.
            ids: Tokens of the text.
        """
        known = self._longest(judge, ids)
        beside = self._worth_waiting(judge, ids, len(known))
        if beside is None:
            return known
        try:
            await asyncio.wait_for(beside.ended.wait(), _WAIT_SECONDS)
        except TimeoutError:
            return known
        return self._longest(judge, ids)

    @contextmanager
    def scoring(self, judge: Hashable, ids: Sequence[int]) -> Iterator[Scoring]:
        """Scores a text; what is then ``scored`` is held."""
        one = Scoring(ids)
        self._running[one] = judge
        try:
            yield one
        finally:
            del self._running[one]
            self._keep(one, judge)
            one.ended.set()

    def _worth_waiting(self, judge: Hashable, ids: Sequence[int], known: int) -> Scoring | None:
        others = (one for one, its in self._running.items() if its == judge)
        for other in islice(others, _MOST_COMPARED):
            common = common_prefix(other.ids, ids, min(len(ids) - 1, _MOST_TOKENS_COMPARED))
            if common - 1 - known >= WORTH_WAITING:
                return other
        return None

    def _longest(self, judge: Hashable, ids: Sequence[int]) -> Sequence[Token]:
        best, most = None, 1
        for one, its in self._known.items():
            # The last token is computed always.
            if its == judge and (common := common_prefix(one.ids, ids, len(ids) - 1)) > most:
                best, most = one, common
        if best is None:
            return ()
        self._known.move_to_end(best)
        return best.scored[: most - 1]

    def _keep(self, one: Scoring, judge: Hashable) -> None:
        weight = _weight(one)
        if not weight or weight > self._most:
            return
        self._known[one] = judge
        self._held += weight
        while self._held > self._most or len(self._known) > MOST_TEXTS:
            oldest, _ = self._known.popitem(last=False)
            self._held -= _weight(oldest)


def _weight(one: Scoring) -> int:
    return sum(1 + len(token.top) for token in one.scored)
