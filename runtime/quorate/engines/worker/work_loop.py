"""The worker's loop: take messages, decode one batch, tell which feeds are complete."""

from __future__ import annotations

import time

from quorate.engines.byte_order import PrefixSums
from quorate.engines.contract import LogProbs, MaskedMass
from quorate.engines.scheduler.contract import BatchModel
from quorate.engines.scheduler.scheduler import Scheduler
from quorate.engines.shared_rows import RowsWriter
from quorate.engines.worker.affinity import pin_all_threads
from quorate.engines.worker.answers import answer
from quorate.engines.worker.messages import (
    Branch,
    Close,
    Completed,
    Encode,
    EncodeContinuation,
    Feed,
    Generate,
    Open,
    Rewind,
    Sampled,
    Score,
    Scored,
    SetCores,
    Stop,
    ToWorker,
)
from quorate.engines.worker.transport.worker_end import ControlChannel


class WorkLoop:
    """Owns the model of this process.

    It trusts the coordinator, which checks tokens and admits no more sessions than the KV cache
    holds; what goes wrong nevertheless is a defect and ends the process, with a traceback.
    """

    def __init__(self, control: ControlChannel, model: BatchModel, rows: RowsWriter) -> None:
        self._control = control
        self._model = model
        self._rows = rows
        self._scheduler = Scheduler(model)

    def run(self) -> None:
        """Works until a ``Stop``.

        Raises:
            CoordinatorGone: The coordinator closed the channel.
        """
        while True:
            messages = self._receive()
            self._rows.set_busy_since(time.monotonic_ns())
            for message in messages:
                if isinstance(message, Stop):
                    return
                self._handle(message)
            if self._batch_is_closed(waited_in_vain=not messages):
                self._step()

    def _receive(self) -> list[ToWorker]:
        if self._scheduler.has_work:
            return self._control.receive(self._scheduler.grace_seconds())
        self._rows.set_busy_since(0)
        return self._control.receive(None)

    def _batch_is_closed(self, waited_in_vain: bool) -> bool:
        if not self._scheduler.has_work:
            return False
        return waited_in_vain or self._scheduler.grace_seconds() <= 0.0

    def _step(self) -> None:
        outcomes = outcomes_of_step(self._scheduler)
        self._rows.count_step()
        for outcome in outcomes:
            self._control.send(outcome)

    def _handle(self, message: ToWorker) -> None:
        match message:
            case Feed(session, tokens):
                self._scheduler.feed(session, tokens)
            case Open(session, slot, sums):
                self._scheduler.open(session, *self._outputs(slot, sums))
            case Close(session):
                self._scheduler.close(session)
            case Branch(parent, session, slot, sums):
                self._scheduler.branch(parent, session, *self._outputs(slot, sums))
            case Score(session, tokens):
                self._scheduler.score(session, tokens)
            case Generate(session, tokens, options):
                self._scheduler.generate(session, tokens, options)
            case Rewind(session, count):
                self._scheduler.rewind(session, count)
            case _:
                self._handle_request(message)

    def _handle_request(self, message: ToWorker) -> None:
        """Handles what concerns no session."""
        match message:
            case Encode(request, prompt):
                self._control.send(answer(request, lambda: self._model.encode(prompt)))
            case EncodeContinuation(request, text):
                self._control.send(answer(request, lambda: self._model.encode_continuation(text)))
            case SetCores(cores):
                pin_all_threads(cores)
                self._model.set_cores(len(cores))
            case _:
                raise TypeError(f"not expected any more: {message!r}")

    def _outputs(self, slot: int, sums: bool) -> tuple[LogProbs, PrefixSums | None, MaskedMass]:
        rows = self._rows
        return rows.row(slot), rows.sums(slot) if sums else None, rows.masked_mass(slot)


def outcomes_of_step(scheduler: Scheduler) -> list[Completed | Scored | Sampled]:
    """Runs one decode call and returns what came of it."""
    outcomes: list[Completed | Scored | Sampled] = []
    completions = scheduler.step()
    fed = [(done.session, done.cached_tokens) for done in completions if done.scores is None]
    if fed:
        outcomes.append(Completed(fed))
    outcomes += [
        Scored(done.session, done.scores) for done in completions if done.scores is not None
    ]
    sampled = scheduler.sampled()
    if sampled:
        outcomes.append(Sampled(sampled))
    return outcomes
