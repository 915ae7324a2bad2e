"""The guide of one vocabulary through all the lives of its process, and sessions on it."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from quorate.engines.confinement.plan import Isolation
from quorate.engines.vocabulary import Vocabulary
from quorate.errors import InvalidRequest, Unavailable
from quorate.foreign_text import one_line
from quorate.guides.frames import LONGEST_PROBLEM, Flag, Frame, Kind, Look, pack
from quorate.guides.process import GuideProcess
from quorate.request.constraints import ConstraintKind, OutputConstraint
from quorate.threads import beside_loop

_log = logging.getLogger(__name__)

# A process starts and builds its table in a second, on a busy machine in some.
_START_SECONDS = 60.0
_LOOK_SECONDS = 10.0
# A session whose question was open when a process ended may have been the cause, or not.
_MOST_STRIKES = 2
_KINDS = (*ConstraintKind,)

Bits = npt.NDArray[np.uint8]
"""Which symbols are allowed: a bit for each, the lowest first."""


class Seen(NamedTuple):
    """What may come next.

    Attributes:
        bits: What is allowed; None where nothing can follow.
        complete: Whether what was accepted is whole, so that nothing but the end can follow.
    """

    bits: Bits | None
    complete: bool = False


class Lost(Exception):
    """The process ended before it answered; whoever asked may ask the next one."""


class _Lane:
    """Questions of one kind, which are answered in the order in which they are asked.

    Args:
        seconds: The first of them is answered within this time, or ``on_stuck`` is told.
    """

    def __init__(self, seconds: float, on_stuck: Callable[[str], None]) -> None:
        self._seconds = seconds
        self._on_stuck = on_stuck
        self._asked: dict[int, tuple[int, asyncio.Future[Frame]]] = {}
        self._patience: asyncio.TimerHandle | None = None

    def ask(self, number: int, session: int) -> asyncio.Future[Frame]:
        """Notes a question; done with the frame that answers, fails with ``Lost``."""
        answer: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        self._asked[number] = session, answer
        if len(self._asked) == 1:
            self._watch()
        return answer

    def answered(self, frame: Frame) -> bool:
        """Takes an answer; False where nobody asked."""
        _, answer = self._asked.pop(frame.number, (0, None))
        if answer is None:
            return False
        self._watch()
        if not answer.done():
            answer.set_result(frame)
        return True

    def lose_all(self, cause: str) -> int:
        """Nobody will answer any more; returns the session that was to be answered first, or 0."""
        asked, self._asked = self._asked, {}
        self._watch()
        for _, answer in asked.values():
            if not answer.done():
                answer.set_exception(Lost(cause))
                # Whoever asked may have left.
                answer.exception()
        return next((session for session, _ in asked.values()), 0)

    def _watch(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        if self._asked:
            self._patience = asyncio.get_running_loop().call_later(
                self._seconds, self._on_stuck, f"stuck for {self._seconds:.0f} s"
            )


class Guide:
    """Follows grammars over the symbols of one vocabulary.

    Its process answers in the order in which it is asked, so that where it ends or hangs the
    questions that were to be answered first may be the cause. Whoever asked them twice when that
    happened is refused; all others go on in the next process.

    Args:
        open_seconds: A grammar is compiled within this time, or refused.
    """

    def __init__(
        self, vocabulary: Vocabulary, isolation: Isolation, open_seconds: float = _LOOK_SECONDS
    ) -> None:
        self._vocabulary = vocabulary
        self._isolation = isolation
        self._numbers = itertools.count(1)
        self._process: GuideProcess | None = None
        self._ready: asyncio.Future[None] | None = None
        self._starting = asyncio.Lock()
        self._opens = _Lane(open_seconds, self._kill)
        self._looks = _Lane(_LOOK_SECONDS, self._kill)
        self._struck: dict[int, str] = {}
        self.sessions = 0

    @property
    def pid(self) -> int | None:
        """Id of its process, or None while there is none."""
        return None if self._process is None else self._process.pid

    async def open(self, constraint: OutputConstraint) -> GuideSession:
        """Begins an answer.

        Raises:
            InvalidRequest: The constraint is wrong, or needs what is not supported here; or
                processes died of it.
            Unavailable: No process can be had.
        """
        session = GuideSession(self, constraint)
        await session.begin()
        return session

    async def close(self) -> None:
        """Ends the process. Idempotent."""
        process, self._process, self._ready = self._process, None, None
        for lane in (self._opens, self._looks):
            lane.lose_all("the guide was closed")
        if process is not None:
            await process.close()

    async def compile(self, session: int, body: bytes) -> Frame:
        """Has the process open a session; it is started where it does not run.

        Raises:
            Lost: It ended before it answered.
            Unavailable: It cannot be started.
        """
        await self._start()
        if self._process is None:
            raise Lost("the guide's process is gone")
        self._process.send(pack(Kind.OPEN, session, body))
        return await self._opens.ask(session, session)

    def look(self, look: Look) -> asyncio.Future[Frame]:
        """Asks what a session sees; the question leaves at the call. Fails with ``Lost``."""
        number = self.number()
        answer = self._looks.ask(number, look.session)
        if self._process is None:
            self._looks.lose_all("the guide's process is gone")
        else:
            self._process.send(pack(Kind.LOOK, number, look.to_bytes()))
        return answer

    def number(self) -> int:
        """One that no session or look had."""
        return next(self._numbers)

    def forget(self, session: int) -> None:
        """Nobody will ask for this session any more."""
        self._struck.pop(session, None)
        if self._process is not None:
            self._process.send(pack(Kind.CLOSE, session))

    def strike(self, session: int) -> str:
        """Why a process ended that was to answer this session first; told once, "" for none."""
        return self._struck.pop(session, "")

    async def _start(self) -> None:
        async with self._starting:
            if self._process is None:
                await self._begin()
            ready = self._ready
        if ready is not None:
            await asyncio.shield(ready)

    async def _begin(self) -> None:
        table = await beside_loop(self._vocabulary.to_bytes)
        process = GuideProcess(self._on_frame, self._on_lost)
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        try:
            await process.start(self._isolation)
        except OSError as error:
            raise Unavailable(f"constraints: their process cannot be started: {error}") from error
        self._process, self._ready = process, ready
        process.send(pack(Kind.VOCABULARY, 0, table))
        patience = loop.call_later(
            _START_SECONDS, process.kill, f"not ready after {_START_SECONDS:.0f} s"
        )
        ready.add_done_callback(lambda _: patience.cancel())

    def _kill(self, cause: str) -> None:
        if self._process is not None:
            self._process.kill(cause)

    def _on_frame(self, frame: Frame) -> None:
        match frame.kind:
            case Kind.READY if self._ready is not None and not self._ready.done():
                self._ready.set_result(None)
                return
            case Kind.OPENED | Kind.REFUSED:
                known = self._opens.answered(frame)
            case Kind.SEEN:
                known = self._looks.answered(frame)
            case _:
                known = False
        if not known:
            raise ValueError(f"{frame.kind.name} of {frame.number}, which nobody asked for")

    def _on_lost(self, cause: str) -> None:
        ready, self._process, self._ready = self._ready, None, None
        _log.warning("constraints: their process was lost (%s)", cause)
        if ready is not None and not ready.done():
            ready.set_exception(Unavailable(f"constraints: their process was lost ({cause})"))
            ready.exception()
        first = {lane.lose_all(cause) for lane in (self._opens, self._looks)}
        self._struck |= dict.fromkeys(first - {0}, cause)


class GuideSession:
    """One answer on its way through a grammar."""

    def __init__(self, guide: Guide, constraint: OutputConstraint) -> None:
        self._guide = guide
        self._constraint = constraint
        self._number = 0
        self._accepted: list[int] = []
        self._told = 0
        self._strikes = 0
        self._looks: dict[tuple[int, ...], asyncio.Future[Frame]] = {}

    async def begin(self) -> None:
        """Opens it; see ``Guide.open``."""
        self._guide.sessions += 1
        try:
            await self._open()
        except BaseException:
            self._guide.sessions -= 1
            self._number = 0
            raise

    def foresee(self, path: Sequence[int]) -> None:
        """Asks what may come behind symbols that will perhaps be accepted; nobody waits for it."""
        self._ask(tuple(path))

    async def seen(self) -> Seen:
        """What may come next.

        Raises:
            InvalidRequest: A limit of the grammar was reached, or a process died of it.
            Unavailable: No process can be had.
        """
        while True:
            try:
                frame = await self._ask(())
            except Lost:
                await self._open()
                continue
            return self._read(frame)

    def accept(self, symbol: int) -> None:
        """Takes a symbol that is allowed, and asks what may come behind it."""
        self._accepted.append(symbol)
        self._looks = {
            path[1:]: look for path, look in self._looks.items() if path and path[0] == symbol
        }
        self._ask(())

    def close(self) -> None:
        """Ends it. Idempotent."""
        if self._number:
            self._guide.sessions -= 1
            self._guide.forget(self._number)
            self._number = 0

    def _ask(self, path: tuple[int, ...]) -> asyncio.Future[Frame]:
        look = self._looks.get(path)
        if look is None:
            asked = Look(self._number, tuple(self._accepted[self._told :]), path)
            self._told = len(self._accepted)
            look = self._looks[path] = self._guide.look(asked)
        return look

    async def _open(self) -> None:
        """Begins in a process, once more where another one was lost that was not lost of it."""
        field = self._constraint.kind.value
        kind = bytes((_KINDS.index(self._constraint.kind),))
        body = kind + self._constraint.text.encode()
        while True:
            if cause := self._guide.strike(self._number):
                self._strikes += 1
            if self._strikes >= _MOST_STRIKES or cause.startswith("stuck"):
                raise InvalidRequest(field, f"cannot be followed: {cause}; write it in another way")
            self._number, self._told, self._looks = self._guide.number(), 0, {}
            try:
                frame = await self._guide.compile(self._number, body)
            except Lost:
                continue
            if frame.kind is Kind.REFUSED:
                raise InvalidRequest(field, _text(frame.body))
            return

    def _read(self, frame: Frame) -> Seen:
        flag, rest = frame.body[:1], frame.body[1:]
        if flag == bytes((Flag.COMPLETE,)):
            return Seen(None, complete=True)
        if flag == bytes((Flag.NOTHING,)):
            return Seen(np.frombuffer(rest, np.uint8))
        field = self._constraint.kind.value
        where = f"cannot be followed behind {len(self._accepted)} symbols"
        raise InvalidRequest(field, f"{where}: {_text(rest)}")


def _text(body: bytes) -> str:
    return one_line(body.decode(errors="replace"), LONGEST_PROBLEM)
