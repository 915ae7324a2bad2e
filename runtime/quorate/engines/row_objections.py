"""What speaks against the first row of a model that was just loaded."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def objection(row: npt.NDArray[np.float32]) -> str:
    """Why a row of logits or log-probs is no vote; "" where nothing speaks against it.

    Args:
        row: float32 of shape (vocabulary,); -inf stands for what has no place in a vote.
    """
    absent = np.isnan(row)
    if absent.all():
        return "it computes no logits, or none that are numbers: no decoder of text, or damaged"
    if absent.any() or not np.isfinite(row.max()):
        return "it computes logits that are no numbers: its weights are damaged"
    present = row[np.isfinite(row)]
    if len(present) > 1 and present.min() == present.max():
        return "every token is as probable as any other: its weights are zero, or damaged"
    return ""
