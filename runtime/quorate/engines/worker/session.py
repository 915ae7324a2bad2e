"""A session on a worker, as the vote sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from quorate.engines.admission import Places
from quorate.engines.byte_order import PrefixSums
from quorate.engines.contract import EngineSampling, LogProbs, ModelFacts, SampledToken, Session
from quorate.engines.sampled_tokens import SampledTokens, check_draw
from quorate.engines.worker.handle import Feeder, Incarnation, Outputs
from quorate.errors import (
    Internal,
    InvalidRequest,
    Overloaded,
    QuorateError,
    UnsupportedPlan,
    WorkerLost,
)

_FORK_RETRY_SECONDS = 1.0


class Place(NamedTuple):
    """Where a session lives.

    Attributes:
        places: The lease it belongs to, with its branches.
        slot: Its own slot.
        outputs: Its part of the shared memory.
    """

    places: Places
    slot: int
    outputs: Outputs


class HostedSession:
    """``Session`` over one incarnation of a worker; its row is a view of shared memory.

    Args:
        model: Id of the model.
        facts: Facts of the model.
        incarnation: The worker.
        place: Its slot and reservation, and where its log-probs appear.
        number: What the worker calls it.
        position: Tokens it holds already, as a fork does.
    """

    def __init__(
        self,
        model: str,
        facts: ModelFacts,
        incarnation: Incarnation,
        place: Place,
        number: int,
        position: int = 0,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._model = model
        self._facts = facts
        self._incarnation = incarnation
        self._places, self._slot, outputs = place
        self._number = number
        self._row: LogProbs | None = outputs.row
        self._sums = outputs.sums
        self._vocabulary_size = len(outputs.row)
        self._position = position
        self._cached_tokens = 0
        self._busy_seconds = 0.0
        # A feed that was cancelled stays here: what the worker makes of it is not known.
        self._outstanding: asyncio.Future[Any] | None = None
        self._drawn: SampledTokens | None = None
        self._fed_tokens = 0
        self._fed_at = 0.0

    @property
    def position(self) -> int:
        """Number of tokens held."""
        return self._position

    @property
    def cached_tokens(self) -> int:
        """How many of the first feed's tokens were found in the prefix cache."""
        return self._cached_tokens

    @property
    def busy_seconds(self) -> float:
        """Time spent between feeds and their answers so far."""
        return self._busy_seconds

    def feed(self, tokens: Sequence[int]) -> asyncio.Future[LogProbs]:
        """See ``Session``. Every error comes out of the future, none out of the call.

        After a feed was cancelled or lost, the session can only be closed.
        """
        return self._start(tokens, self._incarnation.feed)

    def score(self, tokens: Sequence[int]) -> asyncio.Future[Sequence[float]]:
        """See ``Session``; errors come as those of ``feed`` do."""
        return self._start(tokens, self._incarnation.score, only_empty=True)

    def generate(self, tokens: Sequence[int], options: EngineSampling) -> SampledTokens:
        """See ``Session``."""
        stream = SampledTokens()
        try:
            self._check_usable()
            if not self._facts.capabilities.generate:
                raise UnsupportedPlan(self._model, "its engine cannot draw tokens by itself")
            self._check_tokens(tokens)
            check_draw(options, self._room - len(tokens))
            self._incarnation.generate(self._number, tokens, options, self)
        except QuorateError as error:
            stream.fail(error)
            return stream
        self._drawn = stream
        # Of the last token that was drawn nothing is known yet.
        self._fed_tokens = len(tokens) - 1
        self._fed_at = self._loop.time()
        return stream

    @property
    def prefix_sums(self) -> PrefixSums:
        """See ``Session``."""
        if self._sums is None:
            raise Internal(f"model {self._model}: the session has no branches")
        return self._sums

    def completed(self, cached_tokens: int) -> None:
        """The worker has finished the feed."""
        self._cached_tokens = cached_tokens
        self._finish(self._row)

    def scored(self, logprobs: Sequence[float]) -> None:
        """The worker has read the text."""
        self._finish(logprobs)

    def sampled(self, drawn: Sequence[SampledToken], finished: bool, cached_tokens: int) -> None:
        """The worker drew tokens by itself."""
        self._note_time()
        if self._drawn is None or self._row is None:
            return
        self._cached_tokens = cached_tokens
        if drawn:
            self._position += self._fed_tokens + len(drawn)
            self._fed_tokens = 0
        self._drawn.push(drawn, finished)

    def failed(self, error: WorkerLost) -> None:
        """The worker is lost in the middle of the feed."""
        self._note_time()
        if self._drawn is not None:
            self._drawn.fail(error)
        if self._outstanding is None or self._outstanding.done():
            return
        self._outstanding.set_exception(error)
        # Whoever fed may have left meanwhile; then nobody need hear of it.
        self._outstanding.exception()

    def branch(self) -> Session:
        """See ``Session``."""
        self._check_usable()
        slot = self._places.take()
        if slot is None:
            raise InvalidRequest("branch", "every place that was reserved for branches is taken")
        return self._child(self._places, slot)

    async def fork(self) -> Session:
        """See ``Session``. The child reserves as many cells as its parent."""
        self._check_usable()
        if not self._facts.capabilities.fork:
            raise UnsupportedPlan(self._model, "its engine cannot fork sessions")
        admission = self._incarnation.admission
        lease = admission.try_acquire(self._places.tokens)
        if lease is None:
            message = f"model {self._model}: no free session or KV cells for a fork"
            raise Overloaded(message, _FORK_RETRY_SECONDS)
        places = Places(lease, self._places.tokens, admission.release)
        return self._child(places, places.first)

    async def rewind(self, count: int) -> None:
        """See ``Session``."""
        self._check_usable()
        if not 0 <= count <= self._position:
            raise InvalidRequest("count", f"cannot forget {count} of {self._position} tokens")
        if not self._facts.capabilities.rewind:
            raise UnsupportedPlan(self._model, "its engine cannot rewind sessions")
        self._incarnation.rewind(self._number, count)
        self._position -= count

    def close(self) -> None:
        """See ``Session``. A feed that is waited for is cancelled."""
        if self._row is None:
            return
        self._row = None
        if self._outstanding is not None:
            self._outstanding.cancel()
        if self._drawn is not None:
            self._drawn.close()
        self._incarnation.close(self._number)
        self._places.give_back(self._slot)

    def _start(
        self,
        tokens: Sequence[int],
        begin: Callable[[int, Sequence[int], Feeder], None],
        only_empty: bool = False,
    ) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self._loop.create_future()
        try:
            self._check_usable()
            self._check_tokens(tokens)
            if only_empty and self._position:
                raise InvalidRequest("tokens", "only an empty session can be scored")
            begin(self._number, tokens, self)
        except QuorateError as error:
            future.set_exception(error)
            # Whoever feeds several members may never come to this one.
            future.exception()
            return future
        self._outstanding = future
        self._fed_tokens = len(tokens)
        self._fed_at = self._loop.time()
        return future

    def _finish(self, result: object) -> None:
        self._note_time()
        future = self._outstanding
        if future is None or future.done() or self._row is None:
            return
        self._outstanding = None
        self._position += self._fed_tokens
        future.set_result(result)

    def _note_time(self) -> None:
        now = self._loop.time()
        self._busy_seconds += now - self._fed_at
        self._fed_at = now

    def _child(self, places: Places, slot: int) -> HostedSession:
        number, outputs = self._incarnation.fork(self._number, slot, places.branching)
        place = Place(places, slot, outputs)
        return HostedSession(
            self._model, self._facts, self._incarnation, place, number, self._position
        )

    @property
    def _room(self) -> int:
        return self._places.tokens - self._position

    def _check_usable(self) -> None:
        if self._row is None:
            raise Internal(f"model {self._model}: the session is closed")
        self._incarnation.check_alive()
        if self._outstanding is not None:
            problem = "its last feed is outstanding or was cancelled"
            raise Internal(f"model {self._model}: session {self._number}: {problem}")
        if self._drawn is not None:
            raise Internal(f"model {self._model}: session {self._number} can only be closed")

    def _check_tokens(self, tokens: Sequence[int]) -> None:
        if not tokens:
            raise InvalidRequest("tokens", "at least one is needed")
        if len(tokens) > self._room:
            problem = f"{len(tokens)} where {self._room} more were reserved"
            raise InvalidRequest("tokens", problem)
        if min(tokens) < 0 or max(tokens) >= self._vocabulary_size:
            raise InvalidRequest("tokens", f"ids must be from 0 to {self._vocabulary_size - 1}")
