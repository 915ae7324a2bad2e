"""Adding up the scores of the pieces of a text."""

from __future__ import annotations

import math
from dataclasses import dataclass

from quorate.cli.messages import total_energy
from quorate.v1 import inference_pb2, plan_pb2

ENSEMBLE = "ensemble"


@dataclass(frozen=True, slots=True)
class ScoreLine:
    """What there is to say of a member or of the ensemble.

    Attributes:
        bits_per_byte: Infinite where it ruled the text out.
        bytes: Bytes it scored.
        forwards_per_token: Tokens fed for each token of the text.
        dropped_mass: Probability that was pruned, for each byte; None where nothing is pruned.
        weight: Mean of a member's weights, over the bytes; None for the ensemble.
        energy: What it took, or None where that is not known.
    """

    name: str
    bits_per_byte: float
    bytes: int
    forwards_per_token: float
    dropped_mass: float | None
    weight: float | None = None
    energy: inference_pb2.Energy | None = None


@dataclass(slots=True)
class _Sums:
    """Sums over pieces; what is a mean in each counts as much as the piece has bytes."""

    logprob: float = 0.0
    bytes: int = 0
    tokens: int = 0
    forwards: int = 0
    weight: float = 0.0
    dropped: float | None = None

    def add(self, score: inference_pb2.MemberScore, size: int) -> None:
        self.logprob += score.logprob
        self.bytes += size
        self.tokens += score.tokens
        self.forwards += score.forwards
        self.weight += score.weight * size
        if score.HasField("dropped_mass"):
            self.dropped = (self.dropped or 0.0) + score.dropped_mass * size

    def line(self, name: str, energy: inference_pb2.Energy | None) -> ScoreLine:
        return ScoreLine(
            name=name,
            bits_per_byte=_bits_per_byte(self.logprob, self.bytes),
            bytes=self.bytes,
            forwards_per_token=self.forwards / max(1, self.tokens),
            dropped_mass=None if self.dropped is None else self.dropped / self.bytes,
            weight=self.weight / self.bytes,
            energy=energy,
        )


class TextScores:
    """The scores of a text so far."""

    def __init__(self) -> None:
        self._logprob = 0.0
        self._bytes = 0
        self._members: dict[str, _Sums] = {}
        # Of members that were dropped too, which have no sums.
        self._energies: dict[str, list[inference_pb2.Energy]] = {}
        self.decision = plan_pb2.Decision()

    def add(self, score: inference_pb2.ScoreResponse) -> None:
        """Adds the score of one piece."""
        self.decision = score.decision
        self._logprob += score.logprob
        self._bytes += score.bytes
        for member in score.members:
            self._members.setdefault(member.model, _Sums()).add(member, score.bytes)
        for usage in score.usage.models:
            self._energies.setdefault(usage.model, []).append(usage.energy)

    def members(self) -> list[ScoreLine]:
        """A line for each member, in the order of the plan."""
        return [
            sums.line(name, total_energy(self._energies.get(name, [])))
            for name, sums in self._members.items()
        ]

    def ensemble(self) -> ScoreLine:
        """The line of the ensemble; at least one piece has been added."""
        sums = self._members.values()
        return ScoreLine(
            name=ENSEMBLE,
            bits_per_byte=_bits_per_byte(self._logprob, self._bytes),
            bytes=self._bytes,
            forwards_per_token=sum(one.forwards for one in sums)
            / max(1, sum(one.tokens for one in sums)),
            dropped_mass=_dropped(self.members()),
            energy=total_energy([one for energies in self._energies.values() for one in energies]),
        )


def _bits_per_byte(logprob: float, size: int) -> float:
    return -logprob / math.log(2) / size


def _dropped(members: list[ScoreLine]) -> float | None:
    """Mean over the members that prune, each counting as much as its weight."""
    pairs = [
        (line.weight or 0.0, line.dropped_mass) for line in members if line.dropped_mass is not None
    ]
    total = sum(weight for weight, _ in pairs)
    if not pairs:
        return None
    if total <= 0:
        return 0.0
    return sum(weight * mass for weight, mass in pairs) / total
