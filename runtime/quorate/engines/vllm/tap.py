"""What happens to logits where they are computed: rows are taken, and drawing is narrowed.

A request says in its ``extra_args`` what is to be done with its logits. vLLM has two model runners
with an interface for logits processors each; ``tap_v1`` and ``tap_v2`` adapt them to the ``Tap``
here, which knows nothing of either.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import torch

from quorate.engines.vllm.board import Board

KEY = "quorate"
"""Where the errand stands in a request's ``extra_args``."""

ADDRESS_VARIABLE = "QUORATE_VLLM_BOARD"
"""Environment variable that tells the processes of vLLM where the board is."""


class TakeRow(NamedTuple):
    """Put the row on the board.

    Attributes:
        slot: Where.
        sums: Whether its prefix sums are wanted.
    """

    slot: int
    sums: bool


class Narrow(NamedTuple):
    """Leave only what top-k, then top-p, then min-p leave; vLLM would apply the temperature first.

    Attributes:
        top_k: 0 keeps all.
        top_p: 1 keeps all.
        min_p: 0 keeps all.
    """

    top_k: int
    top_p: float
    min_p: float


Errand: TypeAlias = TakeRow | Narrow


def to_extra_args(errand: Errand) -> dict[str, Any]:
    """As plain values, which cross to other processes."""
    return {KEY: [type(errand).__name__, *errand]}


def from_extra_args(extra_args: Mapping[str, Any] | None) -> Errand | None:
    """Reads what ``to_extra_args`` wrote; None where nothing is to be done."""
    if not extra_args or KEY not in extra_args:
        return None
    name, *fields = extra_args[KEY]
    return TakeRow(*fields) if name == TakeRow.__name__ else Narrow(*fields)


class Tap:
    """Does the errands of one process.

    Args:
        device: Where the logits are.
        writes: Whether this process puts rows on the board; of those that compute the same logits
            one does.
    """

    def __init__(self, device: torch.device, writes: bool = True) -> None:
        self._board = Board.attach(os.environ[ADDRESS_VARIABLE]) if writes else None
        if self._board is not None:
            self._rows = torch.from_numpy(self._board.rows)
            self._sums = torch.from_numpy(self._board.sums)
            self._ids = torch.from_numpy(self._board.ids).to(device)

    def apply(self, logits: torch.Tensor, errands: Sequence[tuple[int, Errand]]) -> torch.Tensor:
        """Does all errands of one step.

        Args:
            logits: float32 of shape (rows, at least vocabulary); narrowed in place.
            errands: What to do with which row.
        """
        taken = [(row, errand) for row, errand in errands if isinstance(errand, TakeRow)]
        if taken and self._board is not None:
            self._take(logits, taken)
        for row, errand in errands:
            if isinstance(errand, Narrow):
                narrow(logits[row], errand)
        return logits

    def _take(self, logits: torch.Tensor, taken: Sequence[tuple[int, TakeRow]]) -> None:
        assert self._board is not None
        rows = [row for row, _ in taken]
        wanted = logits if rows == list(range(len(logits))) else logits[rows]
        normalised = torch.log_softmax(wanted[:, : self._board.shape.vocabulary], dim=-1)
        slots = [errand.slot for _, errand in taken]
        self._rows[slots] = normalised.to("cpu")
        summed = [index for index, (_, errand) in enumerate(taken) if errand.sums]
        if summed:
            # exp() in float32 would round before the sum does.
            probabilities = normalised[summed][:, self._ids].to(torch.float64).exp_()
            sums = torch.cumsum(probabilities, dim=-1).to("cpu")
            self._sums[[slots[index] for index in summed], 1:] = sums


def narrow(row: torch.Tensor, by: Narrow) -> None:
    """Sets what is not kept to -inf.

    Each step sees the probabilities of what the step before kept, renormalised, before any
    temperature. Of equal logits at the edge all are kept.

    Args:
        row: Shape (vocabulary,), at least one entry above -inf.
        by: What is kept.
    """
    size = row.shape[-1]
    least = row.max() + math.log(by.min_p) if by.min_p > 0 else None
    if 0 < by.top_k < size or by.top_p < 1:
        count = by.top_k if 0 < by.top_k < size else size
        kept = torch.topk(row, count).values
        edge = kept[-1]
        if by.top_p < 1:
            masses = torch.cumsum(torch.softmax(kept.to(torch.float64), dim=-1), dim=-1)
            reached = torch.searchsorted(masses, by.top_p * masses[-1])
            edge = kept[reached.clamp(max=count - 1)]
        least = edge if least is None else torch.maximum(least, edge)
    if least is not None:
        row.masked_fill_(row < least, -math.inf)
