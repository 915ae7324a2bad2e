"""Folds for cross-validation: each case is held out of one of them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

FOLDS = 5


def split(groups: Sequence[str], folds: int = FOLDS) -> list[npt.NDArray[np.bool_]]:
    """Masks of the held-out cases of each fold.

    Cases of one group stay together, so that none is tested by what was trained on its twin. Groups
    are shuffled by a hash of their names, which is the same on every machine, and dealt out to the
    fold that has fewest cases.

    Args:
        groups: Name of each case's group.
        folds: Wanted; there are no more than groups, and none where all are one group.
    """
    members: dict[str, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    count = min(folds, len(members))
    if count < 2:
        return []
    masks = [np.zeros(len(groups), bool) for _ in range(count)]
    for group in sorted(members, key=_shuffled):
        smallest = min(masks, key=lambda mask: int(mask.sum()))
        smallest[members[group]] = True
    return masks


def _shuffled(group: str) -> bytes:
    return blake2b(group.encode("utf-8", "surrogatepass"), digest_size=16).digest()
