"""Where rows of log-probs are put by the process that has the logits, and read by the worker.

With one GPU or none that is the same process. Models that are spread over several GPUs compute in
processes of their own, which vLLM starts; they open the memory by its place in ``/proc``.

Layout, little-endian: float32 rows, one per slot; float64 prefix sums, one more than there are
ordered tokens per slot; int64 ids of the ordered tokens. Rows are written during a step and read
after it, so there is no lock.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from quorate.engines.byte_order import PrefixSums
from quorate.engines.contract import LogProbs

_ALIGNMENT = 64


class Shape(NamedTuple):
    """Sizes of a board.

    Attributes:
        slots: Rows it has.
        vocabulary: Log-probs of a row.
        ordered: Tokens that have bytes.
    """

    slots: int
    vocabulary: int
    ordered: int


class Board:
    """A mapping of the memory, writable.

    Attributes:
        shape: Its sizes.
        rows: float32 of shape (slots, vocabulary).
        sums: float64 of shape (slots, ordered + 1); the first of each is 0.
        ids: Token ids in the order of their bytes, int64 of shape (ordered,).
    """

    def __init__(self, descriptor: int, shape: Shape) -> None:
        self.shape = shape
        slots, vocabulary, ordered = shape
        rows, sums, end = _offsets(shape)
        memory = mmap.mmap(descriptor, end)
        self.rows: npt.NDArray[np.float32] = np.frombuffer(
            memory, np.float32, slots * vocabulary
        ).reshape(slots, vocabulary)
        self.sums: npt.NDArray[np.float64] = np.frombuffer(
            memory, np.float64, slots * (ordered + 1), rows
        ).reshape(slots, ordered + 1)
        self.ids: npt.NDArray[np.int64] = np.frombuffer(memory, np.int64, ordered, sums)
        self._descriptor = descriptor

    @classmethod
    def create(cls, slots: int, vocabulary: int, ids: Sequence[int]) -> Self:
        """Makes the memory.

        Raises:
            OSError: There is not enough memory.
        """
        shape = Shape(slots, vocabulary, len(ids))
        descriptor = os.memfd_create("quorate-vllm-rows", os.MFD_CLOEXEC)
        try:
            os.ftruncate(descriptor, _offsets(shape)[-1])
            board = cls(descriptor, shape)
        except BaseException:
            os.close(descriptor)
            raise
        board.ids[:] = ids
        return board

    @classmethod
    def attach(cls, address: str) -> Self:
        """Opens the memory of the worker that gave this address.

        Raises:
            OSError: The worker is gone.
        """
        process, descriptor, *sizes = map(int, address.split(":"))
        opened = os.open(f"/proc/{process}/fd/{descriptor}", os.O_RDWR)
        try:
            return cls(opened, Shape(*sizes))
        finally:
            # The mapping stays.
            os.close(opened)

    @property
    def address(self) -> str:
        """What ``attach`` needs, in any process of the same user."""
        return ":".join(map(str, (os.getpid(), self._descriptor, *self.shape)))

    def read(self, slot: int, output: LogProbs, sums: PrefixSums | None) -> None:
        """Copies a row, and its prefix sums where they are wanted.

        Args:
            slot: Whose row.
            output: float32 of shape (vocabulary,).
            sums: float64 of shape (at least ordered + 1,).
        """
        output[:] = self.rows[slot]
        if sums is not None:
            sums[: self.shape.ordered + 1] = self.sums[slot]


def _offsets(shape: Shape) -> tuple[int, int, int]:
    """Where rows, sums and ids end."""
    rows = _padded(4 * shape.slots * shape.vocabulary)
    sums = rows + _padded(8 * shape.slots * (shape.ordered + 1))
    return rows, sums, sums + 8 * max(1, shape.ordered)


def _padded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
