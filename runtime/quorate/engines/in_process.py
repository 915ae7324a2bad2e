"""An engine inside the event loop of its caller, for tests and for tiny models.

A decode call blocks the loop while it runs. A model of any size belongs into a process of its own,
see ``host``; this engine has the same contract without one.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from quorate.engines.admission import Admission, Places, kv_tokens_for
from quorate.engines.byte_order import PrefixSums
from quorate.engines.contract import EngineSampling, LogProbs, ModelFacts, SampledToken
from quorate.engines.sampled_tokens import SampledTokens, check_draw
from quorate.engines.scheduler.contract import BatchModel, NoRoom
from quorate.engines.scheduler.scheduler import Scheduler
from quorate.engines.vocabulary import Vocabulary
from quorate.errors import (
    Internal,
    InvalidRequest,
    Overloaded,
    PromptTooLong,
    QuorateError,
    Unavailable,
    UnsupportedPlan,
    WorkerLost,
)
from quorate.request import Prompt


class InProcessEngine:
    """An ``Engine`` over any batched model. Concurrent feeds share decode calls.

    Beyond the contract it has ``lose`` and ``recover``, which simulate the death and the return of
    a worker process, so that failure policies can be tried without one.

    Args:
        model_id: Name of the model, for messages.
        model: The model; the engine owns it from now on.
    """

    def __init__(self, model_id: str, model: BatchModel) -> None:
        self.model_id = model_id
        self._model = model
        self._facts = model.facts
        self._vocabulary = model.vocabulary
        self._scheduler = Scheduler(model)
        self._admission = Admission(self._facts.sessions, self._facts.kv_tokens)
        self._sessions: dict[int, InProcessSession] = {}
        self._numbers = itertools.count()
        self._step_due: asyncio.Handle | None = None
        self._alive = asyncio.Event()
        self._alive.set()
        self._closed = False

    @property
    def facts(self) -> ModelFacts:
        """Facts of the model."""
        return self._facts

    @property
    def vocabulary(self) -> Vocabulary:
        """The model's tokens."""
        return self._vocabulary

    async def encode(self, prompt: Prompt) -> list[int]:
        """See ``Engine.encode``."""
        return self._model.encode(prompt)

    async def encode_continuation(self, text: str) -> list[int]:
        """See ``Engine.encode_continuation``."""
        return self._model.encode_continuation(text)

    async def open(self, tokens: int, branches: int = 0) -> InProcessSession:
        """See ``Engine.open``."""
        self._check_running()
        most = min(self._facts.context_length, self._facts.kv_tokens)
        if tokens > most:
            raise PromptTooLong(
                "prompt",
                f"{tokens} tokens with the answer; model {self.model_id} holds at most {most}",
            )
        kv_tokens = kv_tokens_for(self._facts, tokens, branches, self.model_id)
        lease = await self._admission.acquire(kv_tokens, 1 + branches)
        try:
            self._check_running()
        except Unavailable:
            self._admission.release(lease)
            raise
        places = Places(lease, tokens, self._admission.release)
        session = InProcessSession(self, next(self._numbers), places, places.first)
        self._scheduler.open(session.number, session.output, session.sums)
        self._sessions[session.number] = session
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
        self._cancel_step()
        self._end_all(Unavailable(f"model {self.model_id} is closed"))
        self._model.close()

    def lose(self, cause: str) -> None:
        """Simulates the death of the worker: open sessions and those who wait get ``WorkerLost``.

        Args:
            cause: One line, such as ``killed by SIGKILL``.
        """
        if self._closed:
            return
        self._alive.clear()
        self._cancel_step()
        self._end_all(WorkerLost(self.model_id, cause))
        for sequence in range(self._facts.sessions):
            self._model.truncate(sequence, 0)
        self._scheduler = Scheduler(self._model)

    def recover(self) -> None:
        """Simulates the restarted worker: sessions can be opened again."""
        self._alive.set()

    def _check_running(self) -> None:
        if self._closed:
            raise Unavailable(f"model {self.model_id} is closed")
        if not self._alive.is_set():
            raise Unavailable(f"model {self.model_id} is restarting")

    def _end_all(self, error: QuorateError) -> None:
        for session in self._sessions.values():
            session.fail(error)
        self._sessions.clear()
        self._admission.fail_all(error)

    def _feed(self, number: int, tokens: Sequence[int]) -> None:
        # Whoever else feeds in this turn of the loop shares the decode call.
        self._scheduler.feed(number, tokens)
        self._step_soon()

    def _step_soon(self) -> None:
        if self._step_due is None:
            self._step_due = asyncio.get_running_loop().call_soon(self._step)

    def _score(self, number: int, tokens: Sequence[int]) -> None:
        self._scheduler.score(number, tokens)
        self._step_soon()

    def _generate(self, number: int, tokens: Sequence[int], options: EngineSampling) -> None:
        self._scheduler.generate(number, tokens, options)
        self._step_soon()

    def _fork(self, parent: InProcessSession) -> InProcessSession:
        tokens = parent.places.tokens
        lease = self._admission.try_acquire(tokens)
        if lease is None:
            raise Overloaded(f"model {self.model_id} has no free session to fork into", 1.0)
        places = Places(lease, tokens, self._admission.release)
        return self._fork_into(parent, places, places.first)

    def _branch(self, parent: InProcessSession) -> InProcessSession:
        slot = parent.places.take()
        if slot is None:
            raise InvalidRequest("branch", "every place that was reserved for branches is taken")
        return self._fork_into(parent, parent.places, slot)

    def _fork_into(self, parent: InProcessSession, places: Places, slot: int) -> InProcessSession:
        child = InProcessSession(self, next(self._numbers), places, slot, parent.position)
        try:
            self._scheduler.fork(parent.number, child.number, child.output, child.sums)
        except NoRoom as error:
            places.give_back(slot)
            raise Overloaded(f"model {self.model_id} has no KV cells for a fork", 1.0) from error
        self._sessions[child.number] = child
        return child

    def _rewind(self, number: int, count: int) -> None:
        self._scheduler.rewind(number, count)

    def _release(self, session: InProcessSession) -> None:
        if self._sessions.pop(session.number, None) is not None:
            self._scheduler.close(session.number)
        session.places.give_back(session.slot)

    def _cancel_step(self) -> None:
        if self._step_due is not None:
            self._step_due.cancel()
            self._step_due = None

    def _step(self) -> None:
        self._step_due = None
        try:
            completed = self._scheduler.step()
        except Exception as error:
            # Like a worker that dies of an exception and is restarted at once.
            self.lose(f"{type(error).__name__}: {error}")
            self.recover()
            return
        for completion in completed:
            session = self._sessions[completion.session]
            session.complete(completion.cached_tokens, completion.scores)
        for stretch in self._scheduler.drawn():
            session = self._sessions[stretch.session]
            session.sampled(stretch.drawn, stretch.finished, stretch.cached_tokens)
        if self._scheduler.has_work:
            self._step_due = asyncio.get_running_loop().call_soon(self._step)


class InProcessSession:
    """A ``Session`` of an ``InProcessEngine``; made by ``open``, ``fork`` and ``branch`` only."""

    def __init__(
        self, engine: InProcessEngine, number: int, places: Places, slot: int, position: int = 0
    ) -> None:
        self.number = number
        self.places = places
        self.slot = slot
        size = len(engine.vocabulary)
        self.output: LogProbs = np.empty(size, np.float32)
        self.sums: PrefixSums | None = np.empty(size + 1) if places.branching else None
        self._engine = engine
        self._loop = asyncio.get_running_loop()
        self._position = position
        self._cached_tokens = 0
        self._busy_seconds = 0.0
        self._view = self.output.view()
        self._view.flags.writeable = False
        # A feed that was cancelled stays here: how far it got is not known.
        self._outstanding: asyncio.Future[Any] | None = None
        self._drawn: SampledTokens | None = None
        self._fed_tokens = 0
        self._fed_at = 0.0
        self._failure: QuorateError | None = None
        self._closed = False

    @property
    def position(self) -> int:
        """See ``Session.position``."""
        return self._position

    @property
    def cached_tokens(self) -> int:
        """See ``Session.cached_tokens``."""
        return self._cached_tokens

    @property
    def busy_seconds(self) -> float:
        """See ``Session.busy_seconds``."""
        return self._busy_seconds

    def feed(self, tokens: Sequence[int]) -> asyncio.Future[LogProbs]:
        """See ``Session.feed``. Every error comes out of the future, none out of the call.

        After a feed was cancelled or lost, the session can only be closed.
        """
        return self._start(tokens, self._engine._feed)

    def score(self, tokens: Sequence[int]) -> asyncio.Future[Sequence[float]]:
        """See ``Session.score``; errors come as those of ``feed`` do."""
        return self._start(tokens, self._engine._score, only_empty=True)

    def generate(self, tokens: Sequence[int], options: EngineSampling) -> SampledTokens:
        """See ``Session.generate``."""
        engine, stream = self._engine, SampledTokens()
        try:
            self._check_usable()
            if not engine.facts.capabilities.generate:
                subject = f"model {engine.model_id}"
                raise UnsupportedPlan(subject, "its engine cannot draw tokens by itself")
            self._check_tokens(tokens)
            check_draw(options, self.places.tokens - self._position - len(tokens))
        except QuorateError as error:
            stream.fail(error)
            return stream
        # Of the last token that was drawn nothing is known yet.
        self._drawn, self._fed_tokens, self._fed_at = stream, len(tokens) - 1, self._loop.time()
        engine._generate(self.number, tokens, options)
        return stream

    @property
    def prefix_sums(self) -> PrefixSums:
        """See ``Session.prefix_sums``."""
        if self.sums is None:
            raise Internal(f"model {self._engine.model_id}: the session has no branches")
        view = self.sums.view()
        view.flags.writeable = False
        return view

    def branch(self) -> InProcessSession:
        """See ``Session.branch``."""
        self._check_usable()
        return self._engine._branch(self)

    async def fork(self) -> InProcessSession:
        """See ``Session.fork``."""
        self._check_usable()
        if not self._engine.facts.capabilities.fork:
            raise UnsupportedPlan(f"model {self._engine.model_id}", "its engine cannot fork")
        return self._engine._fork(self)

    async def rewind(self, count: int) -> None:
        """See ``Session.rewind``."""
        self._check_usable()
        if not 0 <= count <= self._position:
            raise InvalidRequest("count", f"cannot forget {count} of {self._position} tokens")
        if not self._engine.facts.capabilities.rewind:
            raise UnsupportedPlan(f"model {self._engine.model_id}", "its engine cannot rewind")
        self._engine._rewind(self.number, count)
        self._position -= count

    def close(self) -> None:
        """See ``Session.close``. A feed that is waited for is cancelled."""
        if self._closed:
            return
        self._closed = True
        if self._outstanding is not None:
            self._outstanding.cancel()
        if self._drawn is not None:
            self._drawn.close()
        self._engine._release(self)

    def complete(self, cached_tokens: int, scores: Sequence[float] | None) -> None:
        """The outstanding feed is done."""
        self._note_time()
        future = self._outstanding
        if future is None or future.done():
            return
        self._outstanding = None
        self._position += self._fed_tokens
        self._cached_tokens = cached_tokens
        future.set_result(self._view if scores is None else scores)

    def sampled(self, drawn: Sequence[SampledToken], finished: bool, cached_tokens: int) -> None:
        """The model drew tokens by itself."""
        self._note_time()
        if self._drawn is None:
            return
        self._cached_tokens = cached_tokens
        if drawn:
            self._position += self._fed_tokens + len(drawn)
            self._fed_tokens = 0
        self._drawn.push(drawn, finished)

    def fail(self, error: QuorateError) -> None:
        """From now on every call but ``close`` raises ``error``, the outstanding one included."""
        self._failure = error
        if self._drawn is not None and not self._drawn.ended:
            self._note_time()
            self._drawn.fail(error)
        if self._outstanding is None or self._outstanding.done():
            return
        self._note_time()
        self._outstanding.set_exception(error)
        # Whoever fed may have left meanwhile; then nobody need hear of it.
        self._outstanding.exception()

    def _start(
        self,
        tokens: Sequence[int],
        begin: Callable[[int, Sequence[int]], None],
        only_empty: bool = False,
    ) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self._loop.create_future()
        try:
            self._check_usable()
            self._check_tokens(tokens)
            if only_empty and self._position:
                raise InvalidRequest("tokens", "only an empty session can be scored")
        except QuorateError as error:
            future.set_exception(error)
            # Whoever feeds several members may never come to this one.
            future.exception()
            return future
        self._outstanding, self._fed_tokens, self._fed_at = future, len(tokens), self._loop.time()
        begin(self.number, tokens)
        return future

    def _note_time(self) -> None:
        now = self._loop.time()
        self._busy_seconds += now - self._fed_at
        self._fed_at = now

    def _check_usable(self) -> None:
        model = self._engine.model_id
        if self._closed:
            raise Internal(f"model {model}: the session is closed")
        if self._failure is not None:
            raise self._failure
        if self._outstanding is not None:
            raise Internal(f"model {model}: the session's last feed has not ended")
        if self._drawn is not None:
            raise Internal(f"model {model}: after it drew tokens the session can only be closed")

    def _check_tokens(self, tokens: Sequence[int]) -> None:
        if not tokens:
            raise InvalidRequest("tokens", "at least one token is needed")
        size = len(self._engine.vocabulary)
        if min(tokens) < 0 or max(tokens) >= size:
            wrong = next(token for token in tokens if not 0 <= token < size)
            raise InvalidRequest("tokens", f"id {wrong} is outside the vocabulary of {size}")
        end = self._position + len(tokens)
        reserved = self.places.tokens
        if end > reserved:
            raise InvalidRequest("tokens", f"{end} tokens, but {reserved} were reserved")
