"""The worker's loop: take messages, decode one batch, tell which feeds are complete."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from quorate.engines.byte_order import PrefixSums
from quorate.engines.contract import LogProbs, MaskedMass
from quorate.engines.row_blocks import RowBlock
from quorate.engines.scheduler.contract import BatchModel
from quorate.engines.scheduler.generations import SessionOutput
from quorate.engines.scheduler.pace import STEPS_PER_CALL
from quorate.engines.scheduler.scheduler import Scheduler
from quorate.engines.shared_rows import RowsWriter
from quorate.engines.worker.affinity import pin_all_threads
from quorate.engines.worker.answers import answer
from quorate.engines.worker.block_memory import IDLE_SECONDS, BlockMemory
from quorate.engines.worker.claims import MOST_NUMBERS
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
    ScoredPart,
    SetCores,
    Stop,
    Taken,
    ToWorker,
)
from quorate.engines.worker.transport.worker_end import ControlChannel
from quorate.engines.worker.turns import TurnTaker
from quorate.sampling.peaks import Maxima

# Of one session, in one message, with as many alternatives as can be asked for.
_TOKENS_TOLD = 4

LONGEST_PROMPT_SECONDS = 0.5
"""Where other models are loaded, a decode call with prompt tokens should take no longer.

Whoever asks one of them waits for the end of the call that happens to compute.
"""

_SHORT_WAIT = 0.001


class WorkLoop:
    """Owns the model of this process.

    It trusts the coordinator, which checks tokens and admits no more sessions than the KV cache
    holds; what goes wrong nevertheless is a defect and ends the process, with a traceback.
    """

    def __init__(
        self, control: ControlChannel, model: BatchModel, rows: RowsWriter, turns: TurnTaker
    ) -> None:
        self._control = control
        self._model = model
        self._rows = rows
        self._turns = turns
        self._step_began = 0
        self._blocks = BlockMemory(rows.release_block)
        self._scheduler = Scheduler(model, prompt_seconds=self._prompt_seconds)

    def run(self) -> None:
        """Works until a ``Stop``.

        Raises:
            CoordinatorGone: The coordinator closed the channel.
        """
        while True:
            messages = self._receive()
            self._rows.set_busy_since(time.monotonic_ns())
            if self._is_the_end(messages):
                return
            if self._batch_is_closed(waited_in_vain=not messages):
                while waited := self._turns.take():
                    self._rows.count_wait(int(waited * 1e9))
                    self._rows.set_busy_since(time.monotonic_ns())
                    # What came meanwhile can go into the same batch, and may give it other cores.
                    if self._is_the_end(self._control.receive(0)):
                        return
                self._step()

    def _is_the_end(self, messages: Iterable[ToWorker]) -> bool:
        """Handles messages up to a ``Stop``, and whether there was one."""
        for message in messages:
            if isinstance(message, Stop):
                return True
            self._handle(message)
        return False

    def _receive(self) -> list[ToWorker]:
        if self._scheduler.has_work:
            return self._control.receive(self._scheduler.grace_seconds())
        self._rows.set_busy_since(0)
        if self._blocks.unused:
            messages = self._control.receive(IDLE_SECONDS)
            if messages:
                return messages
            self._blocks.release()
        return self._control.receive(None)

    def _batch_is_closed(self, waited_in_vain: bool) -> bool:
        if not self._scheduler.has_work:
            return False
        return waited_in_vain or self._scheduler.grace_seconds() <= 0.0

    def _step(self) -> None:
        self._step_began = time.monotonic_ns()
        for outcome in outcomes_of_step(self._scheduler, self._end_turn):
            self._control.send(outcome)

    def _end_turn(self) -> None:
        computed_ns = time.monotonic_ns() - self._step_began
        self._turns.end()
        self._rows.count_step(computed_ns, self._turns.cores)

    def _handle(self, message: ToWorker) -> None:
        match message:
            case Feed(session, tokens, rows):
                self._scheduler.feed(session, tokens, rows)
                if rows:
                    self._blocks.note_use(session)
            case Open(session, slot, sums):
                self._scheduler.open(session, *self._outputs(slot, sums))
                self._blocks.note_open(session, slot)
            case Close(session):
                self._scheduler.close(session)
                self._blocks.note_close(session)
            case Branch(parent, session, slot, sums):
                self._scheduler.branch(parent, session, *self._outputs(slot, sums))
                self._blocks.note_open(session, slot)
            case Score(session, tokens):
                self._scheduler.score(session, tokens)
            case Generate(session, tokens, options):
                self._scheduler.generate(session, tokens, options)
            case Taken(session, tokens):
                self._scheduler.taken(session, tokens)
            case Rewind(session, count):
                self._scheduler.rewind(session, count)
            case _:
                self._handle_request(message)

    def _handle_request(self, message: ToWorker) -> None:
        """Handles what concerns no session."""
        match message:
            case Encode(request, prompt):
                self._answer(request, lambda: self._model.encode(prompt))
            case EncodeContinuation(request, text):
                self._answer(request, lambda: self._model.encode_continuation(text))
            case SetCores(cores):
                self._turns.move(cores)
                pin_all_threads(cores)
                self._model.set_cores(len(cores))
            case _:
                raise TypeError(f"not expected any more: {message!r}")

    def _prompt_seconds(self) -> float:
        """How long a call may take that reads prompts, since others wait for it or soon might."""
        others = self._turns.others_seconds
        if others > _SHORT_WAIT:
            return min(STEPS_PER_CALL * others, LONGEST_PROMPT_SECONDS)
        return LONGEST_PROMPT_SECONDS if self._turns.has_company else math.inf

    def _answer(self, request: int, encode: Callable[[], list[int]]) -> None:
        for message in answer(request, encode, self._model.facts.context_length):
            self._control.send(message)

    def _outputs(
        self, slot: int, sums: bool
    ) -> tuple[LogProbs, PrefixSums | None, MaskedMass, RowBlock, Maxima | None]:
        rows = self._rows
        of_row, maxima = (rows.sums(slot), None) if sums else (None, rows.maxima(slot))
        return rows.row(slot), of_row, rows.masked_mass(slot), rows.block(slot, sums), maxima


def outcomes_of_step(
    scheduler: Scheduler, stepped: Callable[[], None] = lambda: None
) -> Iterator[Completed | ScoredPart | Scored | Sampled]:
    """Runs one decode call, behind which ``stepped`` is called, and tells what came of it.

    Whoever fed is told first, and thinks while tokens of generations are drawn.
    """
    completions = scheduler.step()
    stepped()
    fed = [(done.session, done.cached_tokens) for done in completions if done.scores is None]
    for at in range(0, len(fed), MOST_NUMBERS):
        yield Completed(fed[at : at + MOST_NUMBERS])
    for done in completions:
        if done.scores is not None:
            yield from _scores_in_parts(done.session, done.scores)
    yield from _sampled_in_parts(scheduler.sampled())


def _scores_in_parts(session: int, scores: Sequence[float]) -> Iterator[ScoredPart | Scored]:
    last = max(0, len(scores) - 1) // MOST_NUMBERS * MOST_NUMBERS
    for at in range(0, last, MOST_NUMBERS):
        yield ScoredPart(session, scores[at : at + MOST_NUMBERS])
    yield Scored(session, scores[last:])


def _sampled_in_parts(outputs: Iterable[SessionOutput]) -> Iterator[Sampled]:
    """So many outputs in a message, of so many tokens each, that none is long."""
    batch: list[SessionOutput] = []
    size = 0
    for output in outputs:
        for piece in _pieces(output):
            weight = 1 + sum(1 + len(sampled.top) for sampled in piece.tokens)
            if batch and size + weight > MOST_NUMBERS // 2:
                yield Sampled(batch)
                batch, size = [], 0
            batch.append(piece)
            size += weight
    if batch:
        yield Sampled(batch)


def _pieces(output: SessionOutput) -> Iterator[SessionOutput]:
    tokens = output.tokens
    last = max(0, len(tokens) - 1) // _TOKENS_TOLD * _TOKENS_TOLD
    for at in range(0, last, _TOKENS_TOLD):
        yield replace(output, tokens=tokens[at : at + _TOKENS_TOLD], finished=False)
    yield replace(output, tokens=tokens[last:]) if last else output
