"""One member that goes ahead leaves the loop to others between its guesses."""

from __future__ import annotations

from collections.abc import Awaitable

import numpy as np

from quorate.engines.contract import LogProbs
from quorate.ensemble.drafts.leading import go_ahead
from quorate.ensemble.guesses import Ready

ROW = np.zeros(4, np.float32)


class Counting:
    """Guesses 0, 1, 2 and so on, as often as it may."""

    model = "a"

    def __init__(self, most: int) -> None:
        self.said: list[str] = []
        self._most = most
        self._guesses = 0

    @property
    def done(self) -> bool:
        return self._guesses == self._most

    def guess(self, row: LogProbs) -> int:
        self.said.append("guess")
        self._guesses += 1
        return self._guesses

    async def turn(self) -> None:
        self.said.append("turn")


class Fed:
    def guess(self, symbol: int) -> Awaitable[LogProbs]:
        return Ready(ROW)


async def test_each_guess_but_the_first_waits_for_its_turn() -> None:
    leader = Counting(4)
    first, draft = await go_ahead(Fed(), Ready(ROW), leader, leader.turn)
    assert draft == [1, 2, 3, 4]
    assert leader.said == ["guess", *["turn", "guess"] * 3]
    assert (await first).tolist() == ROW.tolist()
