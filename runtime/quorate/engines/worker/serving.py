"""What a worker does: load one model, then answer until told to stop. One thread."""

from __future__ import annotations

import gc
from collections.abc import Callable

from quorate.engines.registry import find_engine
from quorate.engines.scheduler.contract import BatchModel
from quorate.engines.worker.affinity import pin_all_threads
from quorate.engines.worker.claims import LONGEST_TEXT
from quorate.engines.worker.messages import Load, Loaded, Progress, Unusable
from quorate.engines.worker.transport.worker_end import (
    ControlChannel,
    CoordinatorGone,
    SharedMemories,
)
from quorate.engines.worker.turns import TurnTaker
from quorate.engines.worker.work_loop import WorkLoop
from quorate.errors import CannotRun, QuorateError

_PROGRESS_STEP = 0.01


def serve(control: ControlChannel, memories: SharedMemories, turns: int) -> int:
    """Runs a worker to its end and returns the exit status.

    A model that can never be loaded is reported and ends the worker with status 0; a defect leaves
    as an exception, whose traceback the coordinator finds on standard error.

    Args:
        control: The channel to the coordinator.
        memories: What is shared with it.
        turns: Descriptor by which it takes turns with other workers; see ``turns``.
    """
    try:
        order = _first_message(control)
        model = _load(order, control)
        if model is None:
            return 0
        facts = model.facts
        rows = memories.share(facts.sessions, model.vocabulary, facts.block_rows)
        control.send(Loaded(facts, len(model.vocabulary)))
        # What loading left behind stays for good; the collector need not walk over it again.
        gc.freeze()
        cores = order.cores if model.uses_cores else ()
        WorkLoop(control, model, rows, TurnTaker(turns, cores, rows.tell_life)).run()
        model.close()
    except CoordinatorGone:
        return 0
    finally:
        control.close()
    return 0


def _load(order: Load, control: ControlChannel) -> BatchModel | None:
    pin_all_threads(order.cores)
    try:
        engine = find_engine(order.engine)
        # What it computes while it loads is computed beside others, whose turn it may be.
        model = engine.load(order.path, order.options, 1, _progress_sender(control))
        model.set_cores(len(order.cores))
        return model
    except QuorateError as error:
        problem = error.problem if isinstance(error, CannotRun) else error.message
        control.send(Unusable(problem[:LONGEST_TEXT]))
        return None


def _first_message(control: ControlChannel) -> Load:
    messages = control.receive(None)
    while not messages:
        messages = control.receive(None)
    (order,) = messages
    if not isinstance(order, Load):
        raise TypeError(f"expected the order to load a model, not {order!r}")
    return order


def _progress_sender(control: ControlChannel) -> Callable[[float], None]:
    sent = -1.0

    def on_progress(fraction: float) -> None:
        nonlocal sent
        if fraction - sent < _PROGRESS_STEP and (fraction < 1.0 or sent >= 1.0):
            return
        sent = fraction
        control.send(Progress(min(1.0, max(0.0, fraction))))

    return on_progress
