"""What every door does around its calls, whatever its protocol.

The key comes before the message; a call waits for its turn of the event loop before anything is
done for it; what it comes to is one line in the log; and the end of the server ends it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

from quorate.access.keys import KeyRing
from quorate.access.record import ObserveCall, RequestRecord
from quorate.api.faults import as_domain_error, status_name
from quorate.api.open_calls import OpenCalls
from quorate.api.pace import Pace
from quorate.api.reading import AT_ONCE_BYTES
from quorate.api.reception import Reception, ReceptionLimits
from quorate.api.strangers import STRANGERS, no_turn
from quorate.dispatch.loop_turns import LoopTurns
from quorate.engines.fair_turns import CALLER, Caller
from quorate.errors import (
    DeadlinePassed,
    Overloaded,
    QuorateError,
    ServerStopped,
    Unauthenticated,
)

CANCELLED = "CANCELLED"
"""Name of the status of a call whose caller has left."""

_Result = TypeVar("_Result")


class Calls:
    """The calls of one door.

    Args:
        keys: Who may call.
        open_calls: Of each caller, over all doors.
        turns: Of the event loop.
        caller: Whose turns a call takes, by key and origin.
        receive_seconds: How long a message may take.
        observe: Told of each call that ended.

    Attributes:
        stopped: Whether the server has ended them all.
    """

    def __init__(
        self,
        keys: KeyRing,
        open_calls: OpenCalls,
        turns: LoopTurns,
        caller: Callable[[str, str], Caller],
        receive_seconds: float,
        observe: ObserveCall,
    ) -> None:
        self.stopped = False
        self._keys = keys
        self._open = open_calls
        self._turns = turns
        self._caller = caller
        self._observe = observe
        self._reception = Reception(ReceptionLimits(limit_seconds=receive_seconds))
        self._pace = Pace()
        self._deadlines: set[asyncio.Timeout] = set()

    def end_all(self) -> None:
        """Ends every call that still runs, with the news that the server stops."""
        self.stopped = True
        for deadline in self._deadlines:
            # One that has passed is being dealt with already.
            if not deadline.expired():
                deadline.reschedule(asyncio.get_running_loop().time())

    def identify(self, record: RequestRecord, authorization: str | None) -> Unauthenticated | None:
        """Notes who calls; returns why nobody is answered that way, if so."""
        try:
            record.caller = self._keys.caller(authorization)
        except Unauthenticated as error:
            return error
        return None

    def work_for(self, record: RequestRecord, *, refused: bool) -> None:
        """Says to the task for whom it works, and to the loop that a call has come."""
        stranger = self._keys.wanted and not record.caller.key
        if not (refused or stranger):
            self._turns.arrive()
        CALLER.set(STRANGERS if stranger else self._caller(record.caller.key, record.origin))

    @contextmanager
    def told(self, record: RequestRecord) -> Iterator[None]:
        """Writes the line of a call, and tells of it, when it has ended."""
        started = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - started
            record.log(seconds)
            self._observe(record.method, record.status, seconds)

    def turn_to_leave(self, *, refused: bool) -> Callable[[], Awaitable[None]]:
        """What a call waits for whose caller has left: many may, and each has much to give back."""
        return no_turn if refused else self._turns.enter_alone

    async def outcome(
        self,
        record: RequestRecord,
        refusal: QuorateError | None,
        seconds: Callable[[], float | None],
        serve: Callable[[], Awaitable[None]],
        left: type[Exception],
    ) -> QuorateError | None:
        """Serves a call; returns what its caller is to be told went wrong.

        Args:
            record: Of the call.
            refusal: Why it is not served, if so.
            seconds: How long its caller waits, asked when it begins; None is for ever.
            serve: Serves it.
            left: What is raised where its caller has left, and passed on.
        """
        deadline: asyncio.Timeout | None = None
        try:
            # Nothing but this was done for it before it has its turn, however many come at once.
            await self._turns.enter()
            if refusal is not None:
                raise refusal
            self._open.check(record.whose)
            async with self._until(seconds()) as deadline:
                await serve()
            return None
        except left:
            record.status = CANCELLED
            raise
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                record.status = CANCELLED
                raise
            # Nobody cancelled this task: to let it pass would leave its caller without an answer.
            known = as_domain_error(error)
        except Exception as error:
            passed = deadline is not None and deadline.expired()
            cut = passed and isinstance(error, TimeoutError)
            known = self._cut_short() if cut else as_domain_error(error)
        record.refuse(status_name(known), known)
        return known

    async def read(
        self,
        record: RequestRecord,
        receive: Callable[[], Awaitable[object]],
        read: Callable[[Any], Awaitable[_Result]],
    ) -> _Result:
        """What is read from the message of a call; see ``Reception.message``."""

        async def read_in_turn(data: Any) -> _Result:
            # A large one takes its turn once it was read, beside the loop.
            if not (isinstance(data, bytes) and len(data) > AT_ONCE_BYTES):
                await self._turns.enter()
            return await read(data)

        return await self._reception.message(record.whose, record.peer, receive, read_in_turn)

    async def pause_before(self, problem: QuorateError, whose: str) -> None:
        """Waits before a caller is told what it could ask again at once."""
        if isinstance(problem, Overloaded | Unauthenticated):
            await asyncio.sleep(self._pace.delay_seconds(whose))

    @asynccontextmanager
    async def _until(self, seconds: float | None) -> AsyncIterator[asyncio.Timeout]:
        """Ends what runs in it at the caller's deadline, or when the server stops."""
        async with asyncio.timeout(0 if self.stopped else seconds) as deadline:
            self._deadlines.add(deadline)
            try:
                yield deadline
            finally:
                self._deadlines.discard(deadline)

    def _cut_short(self) -> QuorateError:
        if self.stopped:
            return ServerStopped()
        return DeadlinePassed("the deadline passed before the answer was complete")
