"""A session on a worker, as the vote sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from quorate.engines.admission import Lease
from quorate.engines.contract import LogProbs, ModelFacts, Session
from quorate.engines.host.incarnation import Incarnation
from quorate.errors import (
    Internal,
    InvalidRequest,
    Overloaded,
    QuorateError,
    UnsupportedPlan,
    WorkerLost,
)

_FORK_RETRY_SECONDS = 1.0


class HostedSession:
    """``Session`` over one incarnation of a worker; its row is a view of shared memory.

    Args:
        model: Id of the model.
        facts: Facts of the model.
        incarnation: The worker.
        lease: The session's slot and reservation.
        number: What the worker calls it.
        row: Where its log-probs appear, read-only.
        position: Tokens it holds already, as a fork does.
    """

    def __init__(
        self,
        model: str,
        facts: ModelFacts,
        incarnation: Incarnation,
        lease: Lease,
        number: int,
        row: LogProbs,
        position: int = 0,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._model = model
        self._facts = facts
        self._incarnation = incarnation
        self._lease = lease
        self._number = number
        self._row: LogProbs | None = row
        self._vocabulary_size = len(row)
        self._position = position
        self._cached_tokens = 0
        self._busy_seconds = 0.0
        # A feed that was cancelled stays here: what the worker makes of it is not known.
        self._outstanding: asyncio.Future[LogProbs] | None = None
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
        future: asyncio.Future[LogProbs] = self._loop.create_future()
        try:
            self._check_usable()
            self._check_tokens(tokens)
            self._incarnation.feed(self._number, tokens, self)
        except QuorateError as error:
            future.set_exception(error)
            # Whoever feeds several members may never come to this one.
            future.exception()
            return future
        self._outstanding = future
        self._fed_tokens = len(tokens)
        self._fed_at = self._loop.time()
        return future

    def completed(self, cached_tokens: int) -> None:
        """The worker has finished the feed."""
        self._busy_seconds += self._loop.time() - self._fed_at
        future = self._outstanding
        if future is None or future.done() or self._row is None:
            return
        self._outstanding = None
        self._position += self._fed_tokens
        self._cached_tokens = cached_tokens
        future.set_result(self._row)

    def failed(self, error: WorkerLost) -> None:
        """The worker is lost in the middle of the feed."""
        self._busy_seconds += self._loop.time() - self._fed_at
        if self._outstanding is None or self._outstanding.done():
            return
        self._outstanding.set_exception(error)
        # Whoever fed may have left meanwhile; then nobody need hear of it.
        self._outstanding.exception()

    async def fork(self) -> Session:
        """See ``Session``. The child reserves as many cells as its parent."""
        self._check_usable()
        if not self._facts.capabilities.fork:
            raise UnsupportedPlan(self._model, "its engine cannot fork sessions")
        lease = self._incarnation.admission.try_acquire(self._lease.cells)
        if lease is None:
            message = f"model {self._model}: no free session or KV cells for a fork"
            raise Overloaded(message, _FORK_RETRY_SECONDS)
        number, row = self._incarnation.fork(self._number, lease)
        return HostedSession(
            self._model, self._facts, self._incarnation, lease, number, row, self._position
        )

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
        self._incarnation.close(self._number, self._lease)

    def _check_usable(self) -> None:
        if self._row is None:
            raise Internal(f"model {self._model}: the session is closed")
        self._incarnation.check_alive()
        if self._outstanding is not None:
            problem = "its last feed is outstanding or was cancelled"
            raise Internal(f"model {self._model}: session {self._number}: {problem}")

    def _check_tokens(self, tokens: Sequence[int]) -> None:
        if not tokens:
            raise InvalidRequest("tokens", "at least one is needed")
        room = self._lease.cells - self._position
        if len(tokens) > room:
            raise InvalidRequest("tokens", f"{len(tokens)} where {room} more were reserved")
        if min(tokens) < 0 or max(tokens) >= self._vocabulary_size:
            raise InvalidRequest("tokens", f"ids must be from 0 to {self._vocabulary_size - 1}")
