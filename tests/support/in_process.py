"""An engine inside the event loop of its caller: the product's sessions without a process between.

A decode call blocks the loop while it runs, so this is for tiny models.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from quorate.engines.admission import Admission, required_kv_tokens
from quorate.engines.byte_order import PrefixSums
from quorate.engines.contract import LogProbs, MaskedMass, ModelFacts
from quorate.engines.generation import EngineSampling
from quorate.engines.row_blocks import RowBlock
from quorate.engines.scheduler.contract import BatchModel
from quorate.engines.scheduler.scheduler import Scheduler
from quorate.engines.session import EngineSession, open_session
from quorate.engines.session_backend import OpenedSession, WaitingSession
from quorate.engines.vocabulary import Vocabulary
from quorate.engines.worker.session_table import SessionTable
from quorate.engines.worker.work_loop import outcomes_of_step
from quorate.errors import QuorateError, Unavailable, WorkerLost
from quorate.request import Prompt
from quorate.sampling.peaks import Maxima, count_of_maxima


class InProcessEngine:
    """An ``Engine`` over any batched model. Concurrent feeds share decode calls.

    Beyond the contract it has ``lose`` and ``recover``, which simulate the death and the return of
    a worker process, so that failure policies can be tried without one.

    Args:
        model_id: Name of the model, for messages.
        model: The model; the engine owns it from now on.

    Attributes:
        sessions_opened: How many sessions were opened so far, branches not counted.
    """

    def __init__(self, model_id: str, model: BatchModel) -> None:
        self.model_id = model_id
        self.sessions_opened = 0
        self.facts: ModelFacts = model.facts
        self.vocabulary: Vocabulary = model.vocabulary
        self._model = model
        self._worker = InProcessWorker(model_id, model, self._crash)
        self._alive = asyncio.Event()
        self._alive.set()
        self._closed = False

    async def encode(self, prompt: Prompt) -> list[int]:
        """See ``Engine.encode``."""
        return self._model.encode(prompt)

    @property
    def worked_seconds(self) -> float:
        """See ``Engine.worked_seconds``: nobody counts it."""
        return 0.0

    async def encode_continuation(self, text: str) -> list[int]:
        """See ``Engine.encode_continuation``."""
        return self._model.encode_continuation(text)

    async def open(self, tokens: int, branches: int = 0) -> EngineSession:
        """See ``Engine.open``."""
        self._check_running()
        kv_tokens = required_kv_tokens(self.facts, tokens, branches, self.model_id)
        session = await open_session(self._worker, tokens, branches, kv_tokens)
        self.sessions_opened += 1
        return session

    async def wait_ready(self) -> None:
        """See ``Engine.wait_ready``."""
        await self._alive.wait()
        self._check_running()

    async def close(self) -> None:
        """See ``Engine.close``."""
        if self._closed:
            return
        self._closed = True
        self._alive.set()
        self._worker.end(Unavailable(f"model {self.model_id} is closed"))
        self._model.close()

    def lose(self, cause: str) -> None:
        """Simulates the death of the worker: open sessions and those who wait get ``WorkerLost``.

        Args:
            cause: One line, such as ``killed by SIGKILL``.
        """
        if self._closed:
            return
        self._alive.clear()
        self._worker.end(WorkerLost(self.model_id, cause))
        for sequence in range(self.facts.sessions):
            self._model.truncate(sequence, 0)

    def recover(self) -> None:
        """Simulates the restarted worker: sessions can be opened again."""
        if not self._alive.is_set():
            self._worker = InProcessWorker(self.model_id, self._model, self._crash)
            self._alive.set()

    @property
    def open_sessions(self) -> int:
        """Sessions that are open on the worker that runs now."""
        return self._worker.open_sessions

    @property
    def has_work(self) -> bool:
        """Whether a session has tokens to decode, or the model samples some for it."""
        return self._worker.has_work

    @property
    def admission(self) -> Admission:
        """Who may open a session."""
        return self._worker.admission

    def _crash(self, cause: str) -> None:
        # Like a worker that dies of an exception and is restarted at once.
        self.lose(cause)
        self.recover()

    def _check_running(self) -> None:
        if self._closed:
            raise Unavailable(f"model {self.model_id} is closed")
        if not self._alive.is_set():
            raise Unavailable(f"model {self.model_id} is restarting", cause="restarting")


class InProcessWorker:
    """A ``SessionBackend`` that steps a scheduler on the event loop, for one simulated life.

    Args:
        model_id: Name of the model, for messages.
        model: The model, with nothing in its KV cache.
        on_crash: Told of an exception of the model, which ends a worker.
    """

    def __init__(self, model_id: str, model: BatchModel, on_crash: Callable[[str], None]) -> None:
        self.model = model_id
        self.facts = model.facts
        self._on_crash = on_crash
        self._scheduler = Scheduler(model)
        self._rows = _Rows(len(model.vocabulary), model.facts.block_rows)
        self._table = SessionTable(model.facts, self._rows, len(model.vocabulary), model_id)
        self._open: set[int] = set()
        self._step_due: asyncio.Handle | None = None
        self._error: QuorateError | None = None

    @property
    def admission(self) -> Admission:
        """See ``SessionBackend``."""
        return self._table.admission

    @property
    def waited_seconds(self) -> float:
        """See ``SessionBackend``: it waits for nobody."""
        return 0.0

    @property
    def open_sessions(self) -> int:
        """Sessions that are open."""
        return len(self._open)

    @property
    def has_work(self) -> bool:
        """Whether a session has tokens to decode, or the model samples some for it."""
        return self._error is None and self._scheduler.has_work

    def end(self, error: QuorateError) -> None:
        """From now on every call but ``close`` raises this, those outstanding included."""
        self._error = error
        if self._step_due is not None:
            self._step_due.cancel()
        self._open.clear()
        self._table.fail_all(lambda: error)

    def check_alive(self) -> None:
        """See ``SessionBackend``."""
        if self._error is not None:
            raise self._error

    def open(self, slot: int, sums: bool) -> OpenedSession:
        """See ``SessionBackend``."""
        self.check_alive()
        opened = self._table.add(slot, sums)
        self._scheduler.open(opened.number, *self._rows.writable(slot, sums))
        self._open.add(opened.number)
        return opened

    def branch(self, parent: int, slot: int, sums: bool) -> OpenedSession:
        """See ``SessionBackend``."""
        opened = self._table.add(slot, sums)
        self._scheduler.branch(parent, opened.number, *self._rows.writable(slot, sums))
        self._open.add(opened.number)
        return opened

    def feed(
        self, number: int, tokens: Sequence[int], session: WaitingSession, rows: int = 0
    ) -> None:
        """See ``SessionBackend``."""
        self._scheduler.feed(number, tokens, rows)
        self._table.feeds(number, tokens, session, rows)
        self._step_soon()

    def score(self, number: int, tokens: Sequence[int], session: WaitingSession) -> None:
        """See ``SessionBackend``."""
        self._scheduler.score(number, tokens)
        self._table.scores(number, tokens, session)
        self._step_soon()

    def generate(
        self,
        number: int,
        tokens: Sequence[int],
        options: EngineSampling,
        session: WaitingSession,
    ) -> None:
        """See ``SessionBackend``."""
        self._scheduler.generate(number, tokens, options)
        self._table.generates(number, tokens, options, session)
        self._step_soon()

    def taken(self, number: int, tokens: int) -> None:
        """See ``SessionBackend``."""
        if self._error is None:
            self._table.taken(number, tokens)
            self._scheduler.taken(number, tokens)
            self._step_soon()

    def rewind(self, number: int, count: int) -> None:
        """See ``SessionBackend``."""
        self._scheduler.rewind(number, count)

    def close(self, number: int) -> None:
        """See ``SessionBackend``."""
        if self._error is None:
            self._table.forget(number)
            self._scheduler.close(number)
            self._open.remove(number)

    def _step_soon(self) -> None:
        # Whoever else feeds in this turn of the loop shares the decode call.
        if self._step_due is None:
            self._step_due = asyncio.get_running_loop().call_soon(self._step)

    def _step(self) -> None:
        self._step_due = None
        try:
            outcomes = [*outcomes_of_step(self._scheduler)]
        except Exception as error:
            self._on_crash(f"{type(error).__name__}: {error}")
            return
        for outcome in outcomes:
            self._table.deliver(outcome)
        if self._scheduler.has_work:
            self._step_due = asyncio.get_running_loop().call_soon(self._step)


_Outputs: TypeAlias = tuple[LogProbs, PrefixSums | None, MaskedMass, RowBlock, Maxima | None]


class _Rows:
    """``Rows`` in the memory of this process, made when their slot is first used."""

    busy_since_ns = 0
    steps_done = 0

    def __init__(self, vocabulary_size: int, block_rows: int) -> None:
        self._vocabulary_size = vocabulary_size
        self._block_rows = block_rows
        self._by_slot: dict[int, _Outputs] = {}

    def writable(self, slot: int, sums: bool) -> _Outputs:
        """What is written of a slot; its sums, or else its maxima."""
        if slot not in self._by_slot:
            self._by_slot[slot] = self._made()
        row, of_row, masked, block, maxima = self._by_slot[slot]
        if not sums:
            return row, None, masked, block._replace(sums=None), maxima
        return row, of_row, masked, block._replace(maxima=None), None

    def _made(self) -> _Outputs:
        size, rows, maxima = (
            self._vocabulary_size,
            self._block_rows,
            count_of_maxima(self._vocabulary_size),
        )
        block = RowBlock(
            np.empty((rows, size), np.float32),
            np.zeros(rows, np.float32),
            np.empty((rows, size + 1)),
            np.empty((rows, maxima), np.float32) if maxima else None,
        )
        return (
            np.empty(size, np.float32),
            np.empty(size + 1),
            np.zeros(1, np.float32),
            block,
            np.empty(maxima, np.float32) if maxima else None,
        )

    def row(self, slot: int) -> LogProbs:
        """See ``Rows``."""
        return _read_only(self.writable(slot, sums=True)[0])

    def sums(self, slot: int) -> PrefixSums:
        """See ``Rows``."""
        sums = self.writable(slot, sums=True)[1]
        assert sums is not None
        return _read_only(sums)

    def masked_mass(self, slot: int) -> MaskedMass:
        """See ``Rows``."""
        return _read_only(self.writable(slot, sums=False)[2])

    def maxima(self, slot: int) -> Maxima | None:
        """See ``Rows``."""
        return _read_only(self.writable(slot, sums=False)[4])

    def block(self, slot: int, sums: bool) -> RowBlock:
        """See ``Rows``."""
        return RowBlock(*map(_read_only, self.writable(slot, sums)[3]))


def _read_only(array: Any) -> Any:
    if array is None:
        return None
    view = array.view()
    view.flags.writeable = False
    return view
