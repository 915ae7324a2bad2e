"""Log-probs in shared memory: one writer in the worker, one reader in the coordinator.

Layout, little-endian:

- bytes 0..8: int64 ``busy_since_ns``, CLOCK_MONOTONIC when the current turn of the worker's loop
  began, 0 while it waits for work; this clock is the same in all processes of a machine
- bytes 8..16: int64 ``steps_done``, decode steps since the model was loaded
- from byte 64: one float32 row per session slot, each padded to a multiple of 64 bytes
- after them: the prefix sums of each row, float64, one more than the vocabulary has tokens, padded
  likewise; pages of slots that never have any are never allocated

A row is written during a step and read after its ``Completed`` arrived; the system calls in between
order the two, so there is no lock.
"""

from __future__ import annotations

import mmap

import numpy as np
import numpy.typing as npt

from quorate.engines.byte_order import PrefixSums
from quorate.engines.contract import LogProbs
from quorate.engines.worker import sealed_memory

_HEADER_BYTES = 64
_ALIGNMENT = 64
_BUSY_SINCE, _STEPS_DONE = 0, 1


class RowsWriter:
    """The worker's side: sizes the memory and owns what stands in it."""

    def __init__(self, descriptor: int, sessions: int, vocabulary: int) -> None:
        size = _size(sessions, vocabulary)
        sealed_memory.seal(descriptor, size)
        memory = mmap.mmap(descriptor, size)
        self._header, self._rows, self._sums = _views(memory, sessions, vocabulary)

    def row(self, slot: int) -> LogProbs:
        """The writable row of a slot, float32 of shape (vocabulary,)."""
        row: LogProbs = self._rows[slot]
        return row

    def sums(self, slot: int) -> PrefixSums:
        """The writable prefix sums of a slot, float64 of shape (vocabulary + 1,)."""
        sums: PrefixSums = self._sums[slot]
        return sums

    def set_busy_since(self, monotonic_ns: int) -> None:
        """Tells when the current turn began; 0 for none."""
        self._header[_BUSY_SINCE] = monotonic_ns

    def count_step(self) -> None:
        """Tells that one more decode step is done."""
        self._header[_STEPS_DONE] += 1


class RowsReader:
    """The coordinator's side: a read-only mapping.

    Raises:
        ValueError: The memory is not sealed at the size these numbers need.
    """

    def __init__(self, descriptor: int, sessions: int, vocabulary: int) -> None:
        size = _size(sessions, vocabulary)
        found = sealed_memory.sealed_size(descriptor)
        if found != size:
            raise ValueError(f"the shared rows have {found} bytes where {size} were expected")
        memory = mmap.mmap(descriptor, size, prot=mmap.PROT_READ)
        self._header, self._rows, self._sums = _views(memory, sessions, vocabulary)

    def row(self, slot: int) -> LogProbs:
        """The read-only row of a slot, float32 of shape (vocabulary,)."""
        row: LogProbs = self._rows[slot]
        return row

    def sums(self, slot: int) -> PrefixSums:
        """The read-only prefix sums of a slot, float64 of shape (vocabulary + 1,)."""
        sums: PrefixSums = self._sums[slot]
        return sums

    @property
    def busy_since_ns(self) -> int:
        """CLOCK_MONOTONIC when the worker's current turn began; 0 while it waits for work."""
        return int(self._header[_BUSY_SINCE])

    @property
    def steps_done(self) -> int:
        """Decode steps since the model was loaded."""
        return int(self._header[_STEPS_DONE])


def _padded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _row_bytes(vocabulary: int) -> int:
    return _padded(4 * vocabulary)


def _sums_bytes(vocabulary: int) -> int:
    return _padded(8 * (vocabulary + 1))


def _size(sessions: int, vocabulary: int) -> int:
    return _HEADER_BYTES + sessions * (_row_bytes(vocabulary) + _sums_bytes(vocabulary))


def _views(
    memory: mmap.mmap, sessions: int, vocabulary: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    row, sums = _row_bytes(vocabulary) // 4, _sums_bytes(vocabulary) // 8
    header = np.frombuffer(memory, np.int64, _HEADER_BYTES // 8)
    rows = np.frombuffer(memory, np.float32, sessions * row, _HEADER_BYTES)
    end = _HEADER_BYTES + rows.nbytes
    all_sums = np.frombuffer(memory, np.float64, sessions * sums, end)
    return (
        header,
        rows.reshape(sessions, row)[:, :vocabulary],
        all_sums.reshape(sessions, sums)[:, : vocabulary + 1],
    )
