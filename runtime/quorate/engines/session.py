"""A session as the vote sees it, whatever does its work.

It counts positions and time, checks what is asked, and keeps the one call that is outstanding. Who
computes the answer is a ``SessionBackend``: one life of a worker process, or in tests a scheduler
on the same event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from quorate.engines.admission import Reservation
from quorate.engines.byte_order import PrefixSums
from quorate.engines.contract import LogProbRows, LogProbs
from quorate.engines.generation import EngineSampling, SampledToken
from quorate.engines.row_blocks import RowBlock
from quorate.engines.sampled_tokens import SampledTokens, check_able, check_sampling
from quorate.engines.session_backend import OpenedSession, SessionBackend
from quorate.errors import Internal, InvalidRequest, QuorateError, UnsupportedPlan
from quorate.sampling.peaks import Maxima


async def open_session(
    backend: SessionBackend, max_tokens: int, branches: int, kv_tokens: int
) -> EngineSession:
    """Waits for a reservation and opens a session on it, beside which branches may live.

    Each of them has at most ``max_tokens``, all together ``kv_tokens``; see ``required_kv_tokens``.

    Raises:
        WorkerLost: The backend was lost meanwhile.
    """
    reservation = await backend.admission.acquire(kv_tokens, 1 + branches)
    opened = backend.open(reservation.first, reservation.branching)
    return EngineSession(backend, opened, reservation, reservation.first, max_tokens)


class EngineSession:
    """``Session`` over a backend; made by ``open_session`` and ``branch`` only.

    Args:
        reservation: What the session holds, together with its fork group.
        max_tokens: Most tokens it may hold.
        position: Tokens it holds already, as a branch does.
    """

    def __init__(
        self,
        backend: SessionBackend,
        opened: OpenedSession,
        reservation: Reservation,
        slot: int,
        max_tokens: int,
        position: int = 0,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._backend = backend
        self._number, row, self._sums, self._masked_mass, self._block, self._maxima = opened
        # None once the session is closed.
        self._row: LogProbs | None = row
        self._vocabulary_size = len(row)
        self._reservation = reservation
        self._slot = slot
        self._max_tokens = max_tokens
        self._position = position
        self._rewound_from = position
        self._cached_tokens = 0
        self._busy_seconds = 0.0
        # A feed that was cancelled stays here: how far it got is not known.
        self._outstanding: asyncio.Future[Any] | None = None
        self._stream: SampledTokens | None = None
        self._fed_tokens = 0
        # Rows of the last feed's block; 0 where it had none.
        self._block_rows = 0
        self._fed_at = 0.0
        self._waited_seconds = 0.0

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

    @property
    def prefix_sums(self) -> PrefixSums:
        """See ``Session.prefix_sums``."""
        if self._sums is None:
            raise Internal(f"{self._subject}: the session has no branches")
        if self._block_rows:
            of_last: PrefixSums = self.block_sums[-1]
            return of_last
        return self._sums

    @property
    def masked_mass(self) -> float:
        """See ``Session.masked_mass``."""
        return float(self.block_masked[-1] if self._block_rows else self._masked_mass[0])

    @property
    def maxima(self) -> Maxima | None:
        """See ``Session.maxima``."""
        if not self._block_rows:
            return self._maxima
        of_block = self.block_maxima
        return None if of_block is None else of_block[-1]

    @property
    def block_sums(self) -> npt.NDArray[np.float64]:
        """See ``Session.block_sums``."""
        sums = self._last_block.sums
        if sums is None:
            raise Internal(f"{self._subject}: the session has no branches")
        return sums

    @property
    def block_masked(self) -> npt.NDArray[np.float32]:
        """See ``Session.block_masked``."""
        return self._last_block.masked

    @property
    def block_maxima(self) -> npt.NDArray[np.float32] | None:
        """See ``Session.block_maxima``."""
        return self._last_block.maxima

    def feed(self, tokens: Sequence[int]) -> asyncio.Future[LogProbs]:
        """See ``Session.feed``. Every error comes out of the future, none out of the call.

        After a feed was cancelled or lost, the session can only be closed.
        """
        return self._start(tokens, self._backend.feed)

    def feed_block(self, tokens: Sequence[int], rows: int) -> asyncio.Future[LogProbRows]:
        """See ``Session.feed_block``; errors come as those of ``feed`` do."""
        return self._start(tokens, partial(self._backend.feed, rows=rows), rows=rows)

    def score(self, tokens: Sequence[int]) -> asyncio.Future[Sequence[float]]:
        """See ``Session.score``; errors come as those of ``feed`` do."""
        return self._start(tokens, self._backend.score, only_empty=True)

    def generate(self, tokens: Sequence[int], options: EngineSampling) -> SampledTokens:
        """See ``Session.generate``."""
        stream = SampledTokens()
        try:
            self._check_usable()
            can = self._backend.facts.capabilities
            check_able(self._subject, can, options)
            self._check_tokens(tokens)
            check_sampling(options, self._remaining - len(tokens))
            self._backend.generate(self._number, tokens, options, self)
        except QuorateError as error:
            stream.fail(error)
            return stream
        self._stream = stream
        if not can.own_sampler:
            stream.report_to(self._taken)
        # What the model makes of the last token that was sampled is not known yet.
        self._note_start(len(tokens) - 1)
        return stream

    def _taken(self, tokens: int, waited: bool) -> None:
        """The reader took so many tokens, for which the engine may have waited."""
        if waited:
            self._fed_at = self._loop.time()
        self._backend.taken(self._number, tokens)

    def branch(self) -> EngineSession:
        """See ``Session.branch``."""
        self._check_usable()
        reservation = self._reservation
        slot = reservation.take()
        if slot is None:
            raise InvalidRequest("branch", "every place that was reserved for branches is taken")
        opened = self._backend.branch(self._number, slot, reservation.branching)
        branch = EngineSession(
            self._backend, opened, reservation, slot, self._max_tokens, self._position
        )
        branch._rewound_from = max(self._rewound_from, self._position)
        return branch

    def rewind(self, count: int) -> None:
        """See ``Session.rewind``."""
        self._check_usable()
        if not 0 <= count <= self._position:
            raise InvalidRequest("count", f"cannot forget {count} of {self._position} tokens")
        if not self._backend.facts.capabilities.rewind:
            raise UnsupportedPlan(self._subject, "its engine cannot rewind sessions")
        self._backend.rewind(self._number, count)
        self._rewound_from = max(self._rewound_from, self._position)
        self._position -= count

    def close(self) -> None:
        """See ``Session.close``. A feed that is waited for is cancelled."""
        if self._row is None:
            return
        self._row = None
        if self._outstanding is not None:
            self._outstanding.cancel()
        if self._stream is not None:
            self._stream.close()
        self._backend.close(self._number)
        self._reservation.give_back(self._slot)

    def most_cached(self, fed_tokens: int) -> int:
        """Most of its tokens that a cache can have held, where it is fed so many now."""
        return max(self._position + fed_tokens, self._rewound_from)

    def completed(self, cached_tokens: int) -> None:
        """The feed is done and its row written; so many tokens of the first feed were cached."""
        self._cached_tokens = cached_tokens
        self._finish(self._last_block.rows if self._block_rows else self._row)

    def scored(self, logprobs: Sequence[float]) -> None:
        """The text is read, and its tokens but the first had these log-probs."""
        self._finish(logprobs)

    def sampled(self, tokens: Sequence[SampledToken], finished: bool, cached_tokens: int) -> None:
        """The engine sampled tokens; nothing more comes where that finished the generation."""
        self._note_time()
        if self._stream is None or self._row is None:
            return
        self._cached_tokens = cached_tokens
        if tokens:
            self._position += self._fed_tokens + len(tokens)
            self._fed_tokens = 0
        self._stream.push(tokens, finished)

    def failed(self, error: QuorateError) -> None:
        """The backend is lost, and with it what it had still to tell."""
        self._note_time()
        if self._stream is not None:
            self._stream.fail(error)
        if self._outstanding is None or self._outstanding.done():
            return
        self._outstanding.set_exception(error)
        # Whoever fed may have left meanwhile; then nobody need hear of it.
        self._outstanding.exception()

    def _start(
        self,
        tokens: Sequence[int],
        begin: Callable[[int, Sequence[int], EngineSession], None],
        only_empty: bool = False,
        rows: int | None = None,
    ) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self._loop.create_future()
        try:
            self._check_usable()
            self._check_tokens(tokens)
            if only_empty and self._position:
                raise InvalidRequest("tokens", "only an empty session can be scored")
            if rows is not None:
                self._check_rows(rows, len(tokens))
            begin(self._number, tokens, self)
        except QuorateError as error:
            future.set_exception(error)
            # Whoever feeds several members may never come to this one.
            future.exception()
            return future
        self._outstanding = future
        self._block_rows = rows or 0
        self._note_start(len(tokens))
        return future

    def _finish(self, result: object) -> None:
        self._note_time()
        future = self._outstanding
        if future is None or future.done() or self._row is None:
            return
        self._outstanding = None
        self._position += self._fed_tokens
        future.set_result(result)

    def _note_start(self, fed_tokens: int) -> None:
        self._fed_tokens = fed_tokens
        self._fed_at = self._loop.time()
        self._waited_seconds = self._backend.waited_seconds

    def _note_time(self) -> None:
        now, waited = self._loop.time(), self._backend.waited_seconds
        passed = now - self._fed_at
        # What a worker tells of its waits is no better than its word.
        self._busy_seconds += passed - min(max(0.0, waited - self._waited_seconds), passed)
        self._fed_at, self._waited_seconds = now, waited

    @property
    def _subject(self) -> str:
        return f"model {self._backend.model}"

    @property
    def _last_block(self) -> RowBlock:
        if not self._block_rows:
            raise Internal(f"{self._subject}: its last feed was no block")
        return self._block.part(0, self._block_rows)

    @property
    def _remaining(self) -> int:
        return self._max_tokens - self._position

    def _check_usable(self) -> None:
        if self._row is None:
            raise Internal(f"{self._subject}: the session is closed")
        self._backend.check_alive()
        if self._outstanding is not None:
            problem = "its last feed has not ended or was cancelled"
            raise Internal(f"{self._subject}: session {self._number}: {problem}")
        if self._stream is not None:
            problem = "after a generation it can only be closed"
            raise Internal(f"{self._subject}: session {self._number}: {problem}")

    def _check_tokens(self, tokens: Sequence[int]) -> None:
        if not tokens:
            raise InvalidRequest("tokens", "at least one is needed")
        if len(tokens) > self._remaining:
            problem = f"{len(tokens)} where {self._remaining} more were reserved"
            raise InvalidRequest("tokens", problem)
        if min(tokens) < 0 or max(tokens) >= self._vocabulary_size:
            raise InvalidRequest("tokens", f"ids must be from 0 to {self._vocabulary_size - 1}")

    def _check_rows(self, rows: int, tokens: int) -> None:
        most = min(tokens, self._backend.facts.block_rows)
        if not 1 <= rows <= most:
            raise InvalidRequest("rows", f"{rows} where {tokens} tokens can have from 1 to {most}")
