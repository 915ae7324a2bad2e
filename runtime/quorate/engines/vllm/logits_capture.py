"""What happens to logits where they are computed: rows are captured, and sampling is narrowed.

A request says in its ``extra_args`` what is to be done with its logits. vLLM has two model runners
with an interface for logits processors each, which ``logits_capture_runner_v1`` and
``logits_capture_runner_v2`` adapt to the ``LogitsCapture`` here. It knows nothing of either.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, TypeAlias

import torch

from quorate.engines.vllm.captured_rows import CapturedRows

KEY = "quorate"
"""Where the action stands in a request's ``extra_args``."""

ADDRESS_VARIABLE = "QUORATE_VLLM_ROWS"
"""Environment variable that tells the processes of vLLM where the shared rows are."""


class CaptureRow(NamedTuple):
    """Write the row's log-probs to the shared rows.

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


LogitsAction: TypeAlias = CaptureRow | Narrow


def to_extra_args(action: LogitsAction) -> dict[str, Any]:
    """As plain values, which cross to other processes."""
    return {KEY: [type(action).__name__, *action]}


def from_extra_args(extra_args: Mapping[str, Any] | None) -> LogitsAction | None:
    """Reads what ``to_extra_args`` wrote; None where nothing is to be done."""
    if not extra_args or KEY not in extra_args:
        return None
    name, *fields = extra_args[KEY]
    return CaptureRow(*fields) if name == CaptureRow.__name__ else Narrow(*fields)


class LogitsCapture:
    """Does what the requests of one process want done with their logits.

    Args:
        device: Where the logits are.
        writes: Whether this process writes to the shared rows; of those that compute the same
            logits one does.
    """

    _masked_logits: ClassVar[torch.Tensor | None] = None

    @classmethod
    def note_masked(cls, logits: torch.Tensor) -> None:
        """Remembers what masked tokens had in the logits that are about to be captured.

        vLLM makes the capture and the model it belongs to far apart, one of each in a process.

        Args:
            logits: Shape (rows, masked).
        """
        cls._masked_logits = torch.logsumexp(logits.to(torch.float32), dim=-1)

    def __init__(self, device: torch.device, writes: bool = True) -> None:
        self._writes = writes
        if writes:
            captured = CapturedRows.attach(os.environ[ADDRESS_VARIABLE])
            self._rows = torch.from_numpy(captured.all_rows)
            self._masked = torch.from_numpy(captured.all_masked)
            self._sums = torch.from_numpy(captured.all_sums[:, 1 : len(captured.ids) + 1])
            self._ids = torch.from_numpy(captured.ids).to(device)

    def apply(
        self, logits: torch.Tensor, actions: Sequence[tuple[int, LogitsAction]]
    ) -> torch.Tensor:
        """Does all actions of one step.

        Args:
            logits: float32 of shape (rows, at least vocabulary); narrowed in place.
            actions: What to do with which row.
        """
        captured = [(row, action) for row, action in actions if isinstance(action, CaptureRow)]
        if captured and self._writes:
            self._capture(logits, captured)
        for row, action in actions:
            if isinstance(action, Narrow):
                narrow(logits[row], action)
        return logits

    def _capture(self, logits: torch.Tensor, captured: Sequence[tuple[int, CaptureRow]]) -> None:
        rows = [row for row, _ in captured]
        wanted = logits if rows == list(range(len(logits))) else logits[rows]
        normalised = torch.log_softmax(wanted[:, : self._rows.shape[-1]], dim=-1)
        slots = [action.slot for _, action in captured]
        self._rows[slots] = normalised.to("cpu")
        self._masked[slots] = self._masked_mass(logits, rows, normalised).to("cpu")
        summed = [index for index, (_, action) in enumerate(captured) if action.sums]
        if summed:
            # exp() in float32 would round before the sum does.
            probabilities = normalised[summed][:, self._ids].to(torch.float64).exp_()
            sums = torch.cumsum(probabilities, dim=-1).to("cpu")
            self._sums[[slots[index] for index in summed]] = sums

    def _masked_mass(
        self, logits: torch.Tensor, rows: Sequence[int], normalised: torch.Tensor
    ) -> torch.Tensor:
        """The probability that masked tokens had before, shape (rows,)."""
        noted = LogitsCapture._masked_logits
        if noted is None or len(noted) != len(logits):
            return torch.zeros(len(rows))
        best = normalised.argmax(dim=-1, keepdim=True)
        rest = (logits[rows].gather(-1, best) - normalised.gather(-1, best)).squeeze(-1)
        return torch.sigmoid(noted[rows] - rest)


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
