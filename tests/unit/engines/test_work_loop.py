"""What a worker does when nobody asks anything of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from quorate.engines import sealed_memory
from quorate.engines.shared_rows import RowsWriter
from quorate.engines.worker.block_memory import IDLE_SECONDS
from quorate.engines.worker.messages import Close, Feed, Open, Stop, ToWorker
from quorate.engines.worker.turns import TurnTaker
from quorate.engines.worker.work_loop import WorkLoop
from support.scripted_models import scripted_model


class Channel:
    """Says what it is given to say, and notes how long it was waited for.

    Attributes:
        waits: Seconds that were allowed for each turn; None without end.
    """

    def __init__(self, *turns: Sequence[ToWorker]) -> None:
        self._turns = list(turns)
        self.waits: list[float | None] = []

    def receive(self, seconds: float | None) -> Sequence[ToWorker]:
        self.waits.append(seconds)
        return self._turns.pop(0)

    def send(self, message: Any) -> None:
        pass


class NotingRows(RowsWriter):
    """Notes the slots whose blocks are given back."""

    def release_block(self, slot: int) -> None:
        self.released = [*getattr(self, "released", []), slot]


@pytest.fixture
def rows() -> NotingRows:
    model = scripted_model()
    facts = model.facts
    memory = sealed_memory.create("quorate-test")
    return NotingRows(memory, facts.sessions, len(model.vocabulary), facts.block_rows)


def run(rows: NotingRows, *turns: Sequence[ToWorker]) -> list[float | None]:
    channel = Channel(*turns)
    alone = TurnTaker(-1, (), lambda: None)
    WorkLoop(channel, scripted_model(), rows, alone).run()  # type: ignore[arg-type]
    return channel.waits


def test_an_idle_worker_gives_back_the_blocks_of_closed_sessions_once(rows: NotingRows) -> None:
    opened = [Open(1, 5, False), Open(2, 6, False), Feed(1, [9, 8], 2), Feed(2, [9, 8], 2)]
    waits = run(rows, opened, [Close(1)], [], [Close(2)], [], [Stop()])
    assert rows.released == [5, 6]
    assert waits == [None, None, IDLE_SECONDS, None, IDLE_SECONDS, None]


def test_a_worker_that_is_not_idle_for_long_keeps_them(rows: NotingRows) -> None:
    opened = [Open(1, 5, False), Feed(1, [9, 8], 2)]
    again = [Open(2, 5, False), Feed(2, [9, 8], 1)]
    waits = run(rows, opened, [Close(1)], again, [Stop()])
    assert not hasattr(rows, "released")
    assert waits == [None, None, IDLE_SECONDS, None]


def test_without_blocks_there_is_nothing_to_give_back(rows: NotingRows) -> None:
    waits = run(rows, [Open(1, 5, False), Feed(1, [9, 8])], [Close(1)], [Stop()])
    assert not hasattr(rows, "released")
    assert waits == [None, None, None]
