"""Drafts of so many symbols, whatever they cost, for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from quorate.ensemble.drafts.costs import Costs, Guesser
from quorate.ensemble.drafts.drafting import Drafts
from quorate.ensemble.drafts.pace import LONE, TOGETHER, Pace, Round


class FixedPace(Pace):
    """Always guesses so many symbols, as far as there is room for; 0 is lock-step."""

    def __init__(self, guesser: Guesser, length: int) -> None:
        super().__init__(Costs(), size_share=0.5)
        self.rounds: list[tuple[int, int]] = []
        self.together = 0
        self._guesser, self._length = guesser, length
        self._lone = False

    def takes(self, sure: float) -> bool:
        return True

    @property
    def goes_on(self) -> bool:
        return True

    def go_without_member(self) -> None:
        self._lone = True

    def took_together(self, seconds: float) -> None:
        self.together += 1

    def ended(self, done: Round, right: int, seconds: float) -> None:
        self.rounds.append((done.length, right))

    def plan(
        self,
        room: int,
        agreeing: int = 0,
        found: int = 0,
        lone: Mapping[str, float] | None = None,
    ) -> Round:
        if self._guesser is Guesser.LOOKUP:
            length = min(self._length, room, found)
        else:
            length = 0 if self._lone else min(self._length, room)
        return Round(self._guesser, length) if length > 0 else TOGETHER


class ScriptedPace(FixedPace):
    """Rounds of all kinds, one after the other as a script says; behind its end of one member."""

    def __init__(self, script: Sequence[Round] = ()) -> None:
        super().__init__(Guesser.MEMBER, 0)
        self.lone: list[str] = []
        self._script = [*script]

    def took_lone(self, model: str, seconds: float) -> None:
        self.lone.append(model)

    def plan(
        self,
        room: int,
        agreeing: int = 0,
        found: int = 0,
        lone: Mapping[str, float] | None = None,
    ) -> Round:
        planned = self._script.pop(0) if self._script else LONE
        if planned.lone:
            return planned if lone else TOGETHER
        most = min(planned.length, room, found if planned.guesser is Guesser.LOOKUP else room)
        if most < 1 or (planned.guesser is Guesser.MEMBER and self._lone):
            return TOGETHER
        return planned._replace(length=most)


def member_drafts(model: str, length: int) -> Drafts:
    """A member guesses so many tokens each time."""
    return Drafts(model, FixedPace(Guesser.MEMBER, length))


def lookup_drafts(length: int, prompt: tuple[int, ...] = (), proposer: str = "") -> Drafts:
    """So many tokens are guessed from what was said before."""
    return Drafts(proposer, FixedPace(Guesser.LOOKUP, length), prompt)
