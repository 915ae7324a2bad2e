"""What the coordinator asks of the way to a worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from quorate.engines.byte_order import PrefixSums
from quorate.engines.contract import LogProbs, MaskedMass
from quorate.engines.row_blocks import RowBlock
from quorate.engines.shared_rows import WorkDone
from quorate.engines.spec import EngineSpec
from quorate.engines.worker.messages import FromWorker, ToWorker
from quorate.sampling.peaks import Maxima

OnMessage: TypeAlias = Callable[[FromWorker], None]
"""Told each message of the worker, in order; raises ``OutOfTurn`` for one that it may not say."""

OnLost: TypeAlias = Callable[[str], None]
"""Told why the worker is of no more use, after its last message; may be told more than once."""


class Rows(Protocol):
    """What the worker writes beside its messages, a row and a block of rows for each slot.

    A row is written before the message that tells of it is heard.
    """

    def row(self, slot: int) -> LogProbs:
        """The log-probs of a slot, a read-only view, float32 of shape (vocabulary,)."""
        ...

    def sums(self, slot: int) -> PrefixSums:
        """Their prefix sums, a read-only view, float64 of shape (vocabulary + 1,)."""
        ...

    def masked_mass(self, slot: int) -> MaskedMass:
        """The probability that the mask took from them, a read-only view."""
        ...

    def maxima(self, slot: int) -> Maxima | None:
        """The maxima of a slot's row, a read-only view; None where it is small."""
        ...

    def block(self, slot: int, sums: bool) -> RowBlock:
        """The block of a slot, read-only views, with prefix sums or else maxima where wanted."""
        ...

    @property
    def busy_since_ns(self) -> int:
        """When the worker's current turn began, on a clock of its own; 0 while it is idle."""
        ...

    @property
    def steps_done(self) -> int:
        """Decode steps since the model was loaded."""
        ...

    @property
    def waited_ns(self) -> int:
        """For how long steps have waited until other models had computed."""
        ...

    @property
    def work_done(self) -> WorkDone:
        """What the steps so far took."""
        ...


class Transport(Protocol):
    """The way to one worker, from its start to its end. Nothing here blocks."""

    @property
    def pid(self) -> int | None:
        """Id of the worker's process on this machine, or None once it has ended."""
        ...

    def send(self, message: ToWorker) -> None:
        """Sends a message soon, in order; dropped once closed or where the worker is gone."""
        ...

    def rows(self, sessions: int, vocabulary_size: int, block_rows: int) -> Rows:
        """The rows of a worker that has said ``Loaded``; asked for once.

        Raises:
            OSError: They cannot be mapped.
            ValueError: They are not what these numbers need.
        """
        ...

    def vocabulary(self) -> bytes:
        """The vocabulary table of a worker that has said ``Loaded``; asked for once.

        Raises:
            OSError: It cannot be read.
            ValueError: It may still change.
        """
        ...

    def close(self) -> None:
        """Sends what is left, as far as the worker takes it, and hears nothing more. Idempotent."""
        ...

    def kill(self) -> None:
        """Ends the worker at once, whatever it is stuck in."""
        ...

    async def ends_within(self, seconds: float) -> bool:
        """Waits for the end of the worker; False when it still runs after that time."""
        ...


Connect: TypeAlias = Callable[[EngineSpec, int, OnMessage, OnLost], Transport]
"""Starts a worker for a model and a number of threads, and the way to it.

Raises ``OSError`` where it cannot be started.
"""
