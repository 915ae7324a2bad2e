"""Shared rows between the processes of vLLM that have the logits and the worker that reads them.

With one GPU or none that is the same process. Models that are spread over several GPUs compute in
processes of their own, which vLLM starts; they open the memory by its place in ``/proc``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Self

import numpy as np
import numpy.typing as npt

from quorate.engines import sealed_memory
from quorate.engines.byte_order import PrefixSums
from quorate.engines.contract import LogProbs, MaskedMass
from quorate.engines.shared_rows import SharedRows, size_bytes


class CapturedRows(SharedRows):
    """Rows that are written where the logits are, and the order in which prefix sums are taken.

    Args:
        rows: Sealed memory of the rows.
        order: Sealed memory of the token ids in the order of their bytes, int64.
        sessions: Slots there are.
        vocabulary: Log-probs of a row.

    Attributes:
        ids: Token ids in the order of their bytes, int64 of shape (ordered,). The first
            ``ordered + 1`` entries of a slot's prefix sums are in use; the first of them is 0.
    """

    def __init__(self, rows: int, order: int, sessions: int, vocabulary: int) -> None:
        super().__init__(rows, sessions, vocabulary)
        ids = np.frombuffer(sealed_memory.read(order, 8 * vocabulary), np.int64)
        # A copy: torch wants arrays that can be written.
        self.ids: npt.NDArray[np.int64] = ids.copy()
        self._address = (os.getpid(), rows, order, sessions, vocabulary)

    @classmethod
    def create(cls, sessions: int, vocabulary: int, ids: Sequence[int]) -> Self:
        """Makes the memory, which is there as long as this process.

        Raises:
            OSError: There is not enough memory.
        """
        opened: list[int] = []
        try:
            opened.append(sealed_memory.create("quorate-vllm-rows"))
            sealed_memory.seal(opened[0], size_bytes(sessions, vocabulary))
            opened.append(sealed_memory.create("quorate-vllm-order"))
            sealed_memory.write(opened[1], np.array(ids, np.int64).tobytes())
            return cls(opened[0], opened[1], sessions, vocabulary)
        except BaseException:
            for descriptor in opened:
                os.close(descriptor)
            raise

    @classmethod
    def attach(cls, address: str) -> Self:
        """Opens the memory of the worker that gave this address.

        Raises:
            OSError: The worker is gone.
        """
        process, *descriptors, sessions, vocabulary = map(int, address.split(":"))
        opened: list[int] = []
        try:
            for descriptor in descriptors:
                opened.append(os.open(f"/proc/{process}/fd/{descriptor}", os.O_RDWR))
            return cls(opened[0], opened[1], sessions, vocabulary)
        finally:
            # The mapping stays.
            for descriptor in opened:
                os.close(descriptor)

    @property
    def address(self) -> str:
        """What ``attach`` needs, in any process of the same user."""
        return ":".join(map(str, self._address))

    def read(
        self,
        slot: int,
        output: LogProbs,
        sums: PrefixSums | None = None,
        masked_mass: MaskedMass | None = None,
    ) -> None:
        """Copies a row, and its prefix sums and what the mask took where they are wanted.

        Args:
            slot: Whose row.
            output: float32 of shape (vocabulary,).
            sums: float64 of shape (at least ordered + 1,).
            masked_mass: float32 of shape (1,).
        """
        output[:] = self.row(slot)
        if masked_mass is not None:
            masked_mass[0] = self.all_masked[slot]
        if sums is not None:
            count = len(self.ids) + 1
            sums[:count] = self.sums(slot)[:count]
