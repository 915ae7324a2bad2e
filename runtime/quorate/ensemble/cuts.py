"""What masks take from the rows of members, and when their reader should know of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from quorate.request import Notice, NoticeKind

MASS_CUT_TOLD = 0.1
"""Probability taken from masked tokens in one step, above which the reader is told."""


@dataclass(slots=True)
class Cuts:
    """Whose rows lost much to a mask; each member is told of once."""

    _told: set[str] = field(default_factory=set)

    def notice(self, model: str, cut: float) -> Notice | None:
        """What is to be told of what the mask took from a row of a member, in [0, 1]."""
        if cut <= MASS_CUT_TOLD or model in self._told:
            return None
        self._told.add(model)
        message = (
            f"{model} gave {cut:.0%} of the probability to tokens that no answer holds, such as "
            "padding; the others were scaled up"
        )
        return Notice(NoticeKind.MASS_CUT, model, message)
