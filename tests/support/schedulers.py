"""Schedulers over scripted models that a test drives by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from quorate.engines.contract import LogProbs
from quorate.engines.row_blocks import RowBlock
from quorate.engines.scheduler.contract import Chunk
from quorate.engines.scheduler.entry import Completion
from quorate.engines.scheduler.scheduler import Scheduler
from quorate.engines.scripted.model import ScriptedModel
from quorate.engines.scripted.options import ScriptedOptions
from support.scripted_models import empty_block, empty_row, fresh_row


class RecordingModel(ScriptedModel):
    """Remembers its calls, each of which takes a tenth of a second.

    Attributes:
        calls: What each decode call contained: sequence, number of tokens, whether with a row.
        chunk_rows: As of ``BatchModel``.
        outputs: How many rows of log-probs each decode call computed.
        copies: Source, target and length of each copy.
        now: Seconds that the calls took so far.
        seconds: What the next call takes.
    """

    # A test may say less.
    chunk_rows = 0

    def __init__(self, **options: Any) -> None:
        super().__init__(ScriptedOptions.from_mapping(options, "options"))
        self.chunk_rows = self.chunk_rows or self.max_outputs
        self.calls: list[list[tuple[int, int, bool]]] = []
        self.outputs: list[int] = []
        self.copies: list[tuple[int, int, int]] = []
        self.now = 0.0
        self.seconds = 0.1

    @property
    def sizes(self) -> list[list[int]]:
        """Number of tokens of each chunk of each decode call."""
        return [[size for _, size, _ in call] for call in self.calls]

    def decode(self, chunks: Sequence[Chunk]) -> None:
        super().decode(chunks)
        with_row = [c.output is not None or c.block is not None for c in chunks]
        sizes = [(c.sequence, len(c.tokens)) for c in chunks]
        self.calls.append([(*size, row) for size, row in zip(sizes, with_row, strict=True)])
        self.outputs.append(sum(c.rows for c in chunks))
        self.now += self.seconds

    def copy(self, source: int, target: int, length: int) -> int:
        self.copies.append((source, target, length))
        return super().copy(source, target, length)


class DrivenScheduler(Scheduler):
    """A scheduler that keeps the rows of its sessions.

    Args:
        model: What it schedules.
        *sessions: Sessions that are open from the beginning.
        **options: Options of the scheduler.
    """

    def __init__(self, model: ScriptedModel, *sessions: int, **options: Any) -> None:
        super().__init__(model, **options)
        self.model = model
        self.rows: dict[int, LogProbs] = {}
        self.blocks: dict[int, RowBlock] = {}
        self.begin(*sessions)

    def begin(self, *sessions: int) -> None:
        """Opens sessions with rows of their own."""
        for session in sessions:
            self.rows[session] = empty_row(self.model)
            self.blocks[session] = empty_block(self.model)
            self.open(session, self.rows[session], block=self.blocks[session])

    def fork(self, parent: int, child: int) -> None:
        """Branches a session off, with a row of its own."""
        self.rows[child] = empty_row(self.model)
        self.blocks[child] = empty_block(self.model)
        self.branch(parent, child, self.rows[child], block=self.blocks[child])

    def drain(self) -> list[Completion]:
        """Steps until there is nothing left to do."""
        completions = []
        while self.has_work:
            completions += self.step()
        return completions

    def decode(self, session: int, tokens: Sequence[int], rows: int = 0) -> list[Completion]:
        """Feeds a session and steps until there is nothing left to do."""
        self.feed(session, tokens, rows)
        return self.drain()

    def assert_row(self, session: int, tokens: Sequence[int]) -> None:
        """The row of a session is what a fresh prefill of these tokens gives."""
        np.testing.assert_array_equal(self.rows[session], fresh_row(tokens))

    def assert_block(self, session: int, tokens: Sequence[int], rows: int) -> None:
        """The rows of a block are what prefills of these tokens, and of fewer and fewer, give."""
        for row in range(rows):
            expected = fresh_row(tokens[: len(tokens) - rows + 1 + row])
            np.testing.assert_array_equal(self.blocks[session].rows[row], expected)
