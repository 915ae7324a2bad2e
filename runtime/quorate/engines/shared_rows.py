"""Log-probs in shared memory: written where they are computed, read by whoever asked for them.

One layout serves the worker and its coordinator, and a process of vLLM's and its worker.
Little-endian:

- bytes 0..8: int64 ``busy_since_ns``, CLOCK_MONOTONIC when the current turn of the worker's loop
  began, 0 while it waits for work; this clock is the same in all processes of a machine
- bytes 8..16: int64 ``steps_done``, decode steps since the model was loaded
- bytes 16..24: int64 ``computed_ns``, what these steps took
- bytes 24..32: int64 ``core_ns``, the same times the cores that each of them had
- bytes 32..40: int64 ``waited_ns``, for how long they waited until others had computed
- from byte 64: one float32 row per session slot, and behind it the probability that the mask took
  from it, together padded to a multiple of 64 bytes; behind that, of large vocabularies, its
  maxima (``sampling.peaks``), padded likewise
- after them: the prefix sums of each row, float64, one more than the vocabulary has tokens, padded
  likewise
- after them: a block of further rows for each slot, laid out like the rows, and then their prefix
  sums, laid out like those

Pages of sums and blocks that nobody ever writes are never allocated.

A row is written during a step and read after its end was told; the system calls in between order
the two, so there is no lock.
"""

from __future__ import annotations

import mmap
import time
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from quorate.engines import sealed_memory
from quorate.engines.byte_order import PrefixSums
from quorate.engines.contract import LogProbs, MaskedMass
from quorate.engines.row_blocks import RowBlock
from quorate.sampling.peaks import FEW_ENTRIES, Maxima, count_of_maxima

BLOCK_ROWS = 32
"""Rows of a block, where the memory of all slots allows as many."""

MOST_BYTES = 1 << 33
"""Largest such memory, of which what is written is allocated."""

_HEADER_BYTES = 64
_ALIGNMENT = 64
_BUSY_SINCE, _STEPS_DONE, _COMPUTED, _CORE_TIME, _WAITED = range(5)


class WorkDone(NamedTuple):
    """What a worker has done since its model was loaded, as it tells itself.

    Attributes:
        steps: Decode steps.
        computed_seconds: What they took.
        core_seconds: The same times the cores that each of them had.
        waited_seconds: For how long they waited until others had computed.
        delayed_seconds: For how long other programs kept it from a core, as the kernel says.
    """

    steps: int = 0
    computed_seconds: float = 0.0
    core_seconds: float = 0.0
    waited_seconds: float = 0.0
    delayed_seconds: float = 0.0


class SharedRows:
    """A mapping of such memory.

    Args:
        descriptor: Memory that is sealed at the size these numbers need; it may be closed later.
        sessions: Slots it has.
        vocabulary: Log-probs of a row.
        block_rows: Rows of the block of each slot; 0 for none.
        protection: What may be done to it, of mmap's ``PROT_*``.

    Attributes:
        all_rows: float32 of shape (sessions, vocabulary), by slot.
        all_masked: float32 of shape (sessions,), the probability that the mask took from each row.
        all_sums: float64 of shape (sessions, vocabulary + 1).
        all_maxima: float32 of shape (sessions, maxima), those of each row (``sampling.peaks``);
            none of vocabularies of up to ``FEW_ENTRIES``.

    Raises:
        ValueError: The memory has another size, or one that could still change.
    """

    def __init__(
        self,
        descriptor: int,
        sessions: int,
        vocabulary: int,
        block_rows: int = 0,
        protection: int = mmap.PROT_READ | mmap.PROT_WRITE,
    ) -> None:
        size = size_bytes(sessions, vocabulary, block_rows)
        found = sealed_memory.sealed_size(descriptor)
        if found != size:
            raise ValueError(f"the shared rows have {found} bytes where {size} were expected")
        memory = mmap.mmap(descriptor, size, prot=protection)
        self._vocabulary = vocabulary
        self._memory = memory
        self._header: npt.NDArray[np.int64] = np.frombuffer(memory, np.int64, _HEADER_BYTES // 8)
        rows, sums, end = _areas(memory, sessions, vocabulary, _HEADER_BYTES)
        self.all_rows: npt.NDArray[np.float32] = rows[:, :vocabulary]
        self.all_masked: npt.NDArray[np.float32] = rows[:, vocabulary]
        self.all_sums: npt.NDArray[np.float64] = sums[:, : vocabulary + 1]
        self._maxima = slice(
            _maxima_start(vocabulary), _maxima_start(vocabulary) + _maxima_count(vocabulary)
        )
        self.all_maxima: npt.NDArray[np.float32] = rows[:, self._maxima]
        of_blocks, sums_of_blocks, _ = _areas(memory, sessions * block_rows, vocabulary, end)
        self._blocks = of_blocks.reshape(sessions, block_rows, rows.shape[1])
        self._block_sums = sums_of_blocks.reshape(sessions, block_rows, sums.shape[1])

    def row(self, slot: int) -> LogProbs:
        """The row of a slot, float32 of shape (vocabulary,)."""
        row: LogProbs = self.all_rows[slot]
        return row

    def masked_mass(self, slot: int) -> MaskedMass:
        """The probability that the mask took from a slot's row, float32 of shape (1,)."""
        masked: MaskedMass = self.all_masked[slot : slot + 1]
        return masked

    def sums(self, slot: int) -> PrefixSums:
        """The prefix sums of a slot's row, float64 of shape (vocabulary + 1,)."""
        sums: PrefixSums = self.all_sums[slot]
        return sums

    def maxima(self, slot: int) -> Maxima | None:
        """The maxima of a slot's row; None where the row is small."""
        return self.all_maxima[slot] if self.all_maxima.shape[1] else None

    def block(self, slot: int, sums: bool) -> RowBlock:
        """The block of a slot, with prefix sums where they are wanted, and elsewhere maxima."""
        block, size = self._blocks[slot], self._vocabulary
        of_block = self._block_sums[slot, :, : size + 1] if sums else None
        maxima = None if sums or not _maxima_count(size) else block[:, self._maxima]
        return RowBlock(block[:, :size], block[:, size], of_block, maxima)


class RowsWriter(SharedRows):
    """The worker's side: sizes the memory and owns what stands in it."""

    def __init__(
        self, descriptor: int, sessions: int, vocabulary: int, block_rows: int = 0
    ) -> None:
        sealed_memory.seal(descriptor, size_bytes(sessions, vocabulary, block_rows))
        super().__init__(descriptor, sessions, vocabulary, block_rows)

    def release_block(self, slot: int) -> None:
        """Gives back the memory of a slot's block, which is of no more use."""
        for area in (self._blocks, self._block_sums):
            start = area[slot].ctypes.data - self._header.ctypes.data
            # Pages that it shares with its neighbours stay.
            first = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
            end = (start + area.strides[0]) // mmap.PAGESIZE * mmap.PAGESIZE
            if first < end:
                self._memory.madvise(mmap.MADV_REMOVE, first, end - first)

    def set_busy_since(self, monotonic_ns: int) -> None:
        """Tells when the current turn began; 0 for none."""
        self._header[_BUSY_SINCE] = monotonic_ns

    def tell_life(self) -> None:
        """Tells that the current turn has not begun to compute yet, and that nothing is stuck."""
        self.set_busy_since(time.monotonic_ns())

    def count_step(self, computed_ns: int = 0, cores: int = 0) -> None:
        """Tells that one more decode step is done, what it took and on how many cores."""
        self._header[_COMPUTED] += computed_ns
        self._header[_CORE_TIME] += computed_ns * cores
        self._header[_STEPS_DONE] += 1

    def count_wait(self, waited_ns: int) -> None:
        """Tells for how long the next step has waited until others had computed."""
        self._header[_WAITED] += waited_ns


class RowsReader(SharedRows):
    """The coordinator's side: a read-only mapping."""

    def __init__(
        self, descriptor: int, sessions: int, vocabulary: int, block_rows: int = 0
    ) -> None:
        super().__init__(descriptor, sessions, vocabulary, block_rows, mmap.PROT_READ)

    @property
    def busy_since_ns(self) -> int:
        """CLOCK_MONOTONIC when the worker's current turn began; 0 while it waits for work."""
        return int(self._header[_BUSY_SINCE])

    @property
    def steps_done(self) -> int:
        """Decode steps since the model was loaded."""
        return int(self._header[_STEPS_DONE])

    @property
    def waited_ns(self) -> int:
        """For how long steps have waited until others had computed."""
        return int(self._header[_WAITED])

    @property
    def work_done(self) -> WorkDone:
        """What the steps so far took."""
        steps, computed, core_time, waited = self._header[_STEPS_DONE : _WAITED + 1].tolist()
        return WorkDone(steps, computed / 1e9, core_time / 1e9, waited / 1e9)


def size_bytes(sessions: int, vocabulary: int, block_rows: int = 0) -> int:
    """Size of the memory."""
    rows = sessions * (1 + block_rows)
    return _HEADER_BYTES + rows * (_row_bytes(vocabulary) + _sums_bytes(vocabulary))


def fitting_block_rows(sessions: int, vocabulary: int) -> int:
    """Rows that a block of each slot can have, at least 1: ``BLOCK_ROWS``, or what fits."""
    of_row = size_bytes(sessions, vocabulary) - _HEADER_BYTES
    return max(1, min(BLOCK_ROWS, (MOST_BYTES - _HEADER_BYTES) // of_row - 1))


def _areas(
    memory: mmap.mmap, rows: int, vocabulary: int, start: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64], int]:
    """So many padded rows from ``start`` on, their padded sums behind them, and where these end."""
    row, sums = _row_bytes(vocabulary), _sums_bytes(vocabulary)
    all_rows = np.frombuffer(memory, np.float32, rows * row // 4, start)
    start += rows * row
    all_sums = np.frombuffer(memory, np.float64, rows * sums // 8, start)
    return (
        all_rows.reshape(rows, row // 4),
        all_sums.reshape(rows, sums // 8),
        start + rows * sums,
    )


def _row_bytes(vocabulary: int) -> int:
    return 4 * _maxima_start(vocabulary) + _padded(4 * _maxima_count(vocabulary))


def _maxima_start(vocabulary: int) -> int:
    """Numbers of a row and what the mask took from it, padded: its maxima stand behind them."""
    return _padded(4 * (vocabulary + 1)) // 4


def _maxima_count(vocabulary: int) -> int:
    return count_of_maxima(vocabulary) if vocabulary > FEW_ENTRIES else 0


def _sums_bytes(vocabulary: int) -> int:
    return _padded(8 * (vocabulary + 1))


def _padded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
