"""What a byte beam is given, and what it shows of itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from quorate.ensemble.alignments.bytes import hypotheses


@dataclass(frozen=True, slots=True)
class Opening:
    """How a byte beam begins.

    Attributes:
        forced: Bytes behind them that are given too, but not their cut into tokens: the last token
            of a prompt, so that its end forces no boundary, or the space that a tokenizer puts
            before a document.
    """

    prompt: Sequence[int]
    forced: bytes = b""


@dataclass(frozen=True, slots=True)
class Pruning:
    """What a beam keeps.

    Attributes:
        epsilon: Share of its probability from which a segmentation is followed.
        width: Most segmentations followed at once; each takes a session.
        max_kv_tokens: Tokens behind the prompt that all of them may hold together.
        max_tokens: Tokens of an answer after which no more control tokens are followed; None where
            ``max_kv_tokens`` alone limits them.
    """

    epsilon: float
    width: int
    max_kv_tokens: int
    max_tokens: int | None = None


class BeamState(NamedTuple):
    """What a beam holds at one moment, for those who look into it.

    Attributes:
        probabilities: The distribution it gave last, before the rounding to float32.
        pruned_share: Share of everything that is still possible which no hypothesis holds.
        segmentations: Tokens behind the prompt, and bytes seen of the next one, of each hypothesis.
        held_kv_tokens: Tokens behind the prompt that its sessions hold, each counted once.
        waiting: Whether its worker evaluates tokens that are no part of the beam yet.
        healed: Bytes so far for which the text had to be followed anew.
        guessed_kv_tokens: Tokens that its sessions hold beyond all hypotheses.
    """

    probabilities: hypotheses.ByteProbs
    pruned_share: float
    segmentations: list[tuple[list[int], bytes]]
    held_kv_tokens: int
    waiting: bool
    healed: int
    guessed_kv_tokens: int
