"""The batch handed to llama.cpp: arrays allocated once and refilled before every decode call."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from llama_cpp import llama_cpp as native

from quorate.engines.scheduler.contract import Chunk


class TokenBatch:
    """A ``llama_batch`` over numpy arrays; every token belongs to exactly one sequence.

    Attributes:
        native: The struct to pass to ``llama_decode``; valid until the next ``fill``.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._tokens = np.zeros(capacity, np.int32)
        self._positions = np.zeros(capacity, np.int32)
        self._sequences = np.zeros(capacity, np.int32)
        self._sequence_counts = np.ones(capacity, np.int32)
        self._wanted = np.zeros(capacity, np.int8)
        # Entry i points to sequence i: constant, although the sequences change.
        first = self._sequences.ctypes.data
        self._sequence_pointers = np.arange(first, first + 4 * capacity, 4, dtype=np.uintp)
        self.native = native.llama_batch(
            n_tokens=0,
            token=_pointer(self._tokens, ctypes.c_int32),
            embd=None,
            pos=_pointer(self._positions, ctypes.c_int32),
            n_seq_id=_pointer(self._sequence_counts, ctypes.c_int32),
            seq_id=_pointer(self._sequence_pointers, ctypes.POINTER(ctypes.c_int32)),
            logits=_pointer(self._wanted, ctypes.c_int8),
        )

    def fill(self, chunks: Sequence[Chunk]) -> list[int]:
        """Lays the chunks out one after the other.

        Returns:
            For each chunk the index of its last token, where its logits will be found.

        Raises:
            ValueError: The chunks hold more tokens than one decode call takes, or none.
        """
        last_indices = []
        end = 0
        for chunk in chunks:
            start, end = end, end + len(chunk.tokens)
            if start == end or end > self._capacity:
                raise ValueError(f"a batch of {end} tokens does not fit 1 to {self._capacity}")
            self._place(chunk, start, end)
            last_indices.append(end - 1)
        self.native.n_tokens = end
        return last_indices

    def _place(self, chunk: Chunk, start: int, end: int) -> None:
        last = end - 1
        if start == last:
            self._tokens[start] = chunk.tokens[0]
            self._positions[start] = chunk.position
            self._sequences[start] = chunk.sequence
        else:
            self._tokens[start:end] = chunk.tokens
            self._positions[start:end] = np.arange(chunk.position, chunk.position + end - start)
            self._sequences[start:end] = chunk.sequence
            self._wanted[start:last] = 0
        self._wanted[last] = chunk.output is not None
        self._wanted[start : start + len(chunk.targets)] = 1
        if chunk.block is not None:
            self._wanted[end - len(chunk.block.rows) : end] = 1


def _pointer(array: npt.NDArray[Any], item: type[Any]) -> object:
    return ctypes.cast(array.ctypes.data, ctypes.POINTER(item))
