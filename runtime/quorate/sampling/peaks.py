"""The large entries of a row, found by the maxima of groups of them.

Whoever computes a row has it in its cache, and a maximum of each group costs it one fast pass. Who
reads it later, in another process, then looks at a sixteenth of the row, and at the few groups in
which something large stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Logits: TypeAlias = npt.NDArray[np.float32]
"""One row, float32 of shape (vocabulary,)."""

Ids: TypeAlias = npt.NDArray[np.intp]
"""Token ids, shape (candidates,)."""

Maxima: TypeAlias = npt.NDArray[np.float32]
"""The largest entry of each group of a row, and behind them the largest of each 8 of these.

Float32 of shape (``count_of_maxima(vocabulary)``,).
"""

FEW_ENTRIES = 4096
"""Rows of no more are read and mixed whole sooner than it is found out what matters in them."""

SOON_SORTED = 512
"""So many entries are sorted sooner than it is found out which of them matter."""

_BLOCKS = 16
_COARSER = 8
_LEAST_FINITE = np.finfo(np.float32).min
_MANY_GROUPS = 8


def best_of(row: Logits, maxima: Maxima | None = None) -> int:
    """Id of the largest entry, the lowest id among equals; of one that is NaN where there is any.

    Args:
        row: Shape (vocabulary,).
        maxima: Of the row, where they are known.
    """
    best = None if maxima is None else _only_best(row, maxima)
    return int(row.argmax()) if best is None else best


def count_of_maxima(size: int) -> int:
    """How many maxima a row of so many entries has; 0 where it is too small for any."""
    return (_COARSER + 1) * (size // (_BLOCKS * _COARSER))


def write_maxima(logits: Logits, out: Maxima) -> None:
    """Writes the maxima of a row; NaN where a group holds one."""
    fine, coarse = _levels(out)
    np.maximum.reduce(_grouped(logits, fine.size), axis=0, out=fine.reshape(-1))
    np.maximum.reduce(fine, axis=0, out=coarse)


class Peaks:
    """The maxima of disjoint groups of entries, by which the large ones are found in rows.

    Every group whose maximum reaches a bound holds an entry that does, and no other group does.
    They are strided, so that their maxima are one vectorised pass over the row, and so are groups
    of groups. Of several rows those entries are looked for that are large in any of them.

    Maxima that are given are believed as little as the rows are. Where they are not those of the
    rows, what is found is none of the largest entries, or nothing.

    Args:
        rows: Each of shape (vocabulary,).
        maxima: Of each row, None where they are not known; empty for none of them.
    """

    def __init__(self, rows: Sequence[Logits], maxima: Sequence[Maxima | None] = ()) -> None:
        self._rows = rows
        self._size = len(rows[0])
        known = [
            _written(row) if one is None else one
            for row, one in zip(rows, maxima or [None] * len(rows), strict=True)
        ]
        levels = [*map(_levels, known)]
        # By entries of a column: its groups, and their maxima.
        self._fine = [fine for fine, _ in levels]
        self._coarse = [coarse for _, coarse in levels]
        self._groups = self._fine[0].size
        self._grouped = [_grouped(row, self._groups) for row in rows]
        # The last entries, too few for groups of groups.
        self._rest = self._size - self._groups * _BLOCKS

    def bound(self, count: int, shares: Sequence[float] = (0.0,)) -> np.float32:
        """A value that at least ``count`` entries reach in some row; -inf for all there are.

        Few more do.

        Args:
            count: At least 1.
            shares: Added to the entries of each row.
        """
        if count >= self._size:
            return np.float32(-np.inf)
        if 4 * count <= len(self._coarse[0]):
            # Maxima of maxima are few, and bound almost as well.
            return _nth(_highest(self._coarse, shares), count)
        if 2 * count <= self._groups:
            return _nth(_highest(self._fine, shares).reshape(-1), count)
        return _nth(_highest(self._rows, shares), count)

    def reaching(self, least: np.float32) -> Ids:
        """Ids of the entries not below a bound in some row, ascending; those of -inf are none."""
        least = max(least, _LEAST_FINITE)
        columns = (_highest(self._coarse) >= least).nonzero()[0]
        groups = _reached(self._fine, columns, least)
        if len(groups) * _MANY_GROUPS > self._groups:
            return (_highest(self._rows) >= least).nonzero()[0]
        ids = _reached(self._grouped, groups, least)
        if not self._rest:
            return ids
        rest = (_highest([row[-self._rest :] for row in self._rows]) >= least).nonzero()[0]
        return np.concatenate((ids, rest + (self._size - self._rest))) if len(rest) else ids


def _reached(tables: Sequence[Logits], columns: Ids, least: np.float32) -> Ids:
    """Flat places in some columns of tables where one of these reaches a bound, ascending."""
    tops = _highest([table.take(columns, axis=1) for table in tables])
    rows, within = (tops >= least).nonzero()
    places: Ids = rows * tables[0].shape[1] + columns[within]
    return places


def _highest(rows: Sequence[Logits], shares: Sequence[float] = ()) -> Logits:
    """The largest of all rows at each place, where each row's share is added to it."""
    if any(shares):
        rows = [row + np.float32(share) for row, share in zip(rows, shares, strict=True)]
    if len(rows) == 1:
        return rows[0]
    highest = np.maximum(rows[0], rows[1])
    for row in rows[2:]:
        np.maximum(highest, row, out=highest)
    return highest


def _nth(values: Logits, count: int) -> np.float32:
    """The ``count``-th largest."""
    return np.float32(np.partition(values, len(values) - count)[len(values) - count])


def _grouped(logits: Logits, groups: int) -> Logits:
    return logits[: groups * _BLOCKS].reshape(_BLOCKS, groups)


def _levels(maxima: Maxima) -> tuple[Logits, Logits]:
    """The maxima of groups, of shape (8, columns), and those of their columns, as views."""
    columns = len(maxima) // (_COARSER + 1)
    return maxima[: _COARSER * columns].reshape(_COARSER, columns), maxima[_COARSER * columns :]


def _written(row: Logits) -> Maxima:
    maxima = np.empty(count_of_maxima(len(row)), np.float32)
    write_maxima(row, maxima)
    return maxima


def _only_best(row: Logits, maxima: Maxima) -> int | None:
    """The largest entry; None where others may be as large, or a NaN: that takes a closer look."""
    fine, coarse = _levels(maxima)
    if not len(coarse):
        return None
    column = int(coarse.argmax())
    best, groups = coarse[column], fine[:, column]
    # ``argmax`` gives the first of equals, in the order of columns and not of ids.
    if column + 1 < len(coarse) and not coarse[column + 1 :].max() < best:
        return None
    if np.count_nonzero(groups >= best) != 1:
        return None
    rest = row[fine.size * _BLOCKS :]
    if len(rest) and not rest.max() < best:
        return None
    group = int(groups.argmax()) * len(coarse) + column
    return int(row[group : fine.size * _BLOCKS : fine.size].argmax()) * fine.size + group
