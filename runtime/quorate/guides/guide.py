"""The guide of one vocabulary through all the lives of its process, and sessions on it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from quorate.engines.confinement.plan import Isolation
from quorate.engines.vocabulary import Vocabulary
from quorate.errors import InvalidRequest, Unavailable
from quorate.foreign_text import one_line
from quorate.guides.frames import (
    LONGEST_PROBLEM,
    Flag,
    Frame,
    Kind,
    Look,
    constraint_to_bytes,
)
from quorate.guides.life import LOOK_SECONDS, GuideLife, Lost
from quorate.request.constraints import OutputConstraint
from quorate.threads import beside_loop

_log = logging.getLogger(__name__)

# Whose question was first when so many processes ended is refused; who lost so many of no fault of
# its own is told to come back.
_MOST_STRIKES = 2
_MOST_LOSSES = 5

Bits = npt.NDArray[np.uint8]
"""Which symbols are allowed: a bit for each, the lowest first; none at all where none is."""


class Seen(NamedTuple):
    """What may come next.

    Attributes:
        bits: What is allowed; None where nothing can follow.
        complete: Whether what was accepted is whole, so that nothing but the end can follow.
    """

    bits: Bits | None
    complete: bool = False


class Guide:
    """Follows grammars over the symbols of one vocabulary.

    A process that ends is replaced, and told what was accepted. It answers in the order in which it
    is asked, so that the question that was to be answered first may be why it ended: whoever asked
    it twice is refused, and where it was one that took too long, at once.

    Args:
        open_seconds: A grammar is compiled within this time, or refused.
    """

    def __init__(
        self, vocabulary: Vocabulary, isolation: Isolation, open_seconds: float = LOOK_SECONDS
    ) -> None:
        self._vocabulary = vocabulary
        self._isolation = isolation
        self._open_seconds = open_seconds
        self._life: GuideLife | None = None
        self._starting: asyncio.Task[GuideLife] | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._closed = False
        self.sessions = 0

    @property
    def pid(self) -> int | None:
        """Id of its process, or None while there is none."""
        return None if self._life is None else self._life.pid

    async def open(self, constraint: OutputConstraint) -> GuideSession:
        """Begins an answer.

        Raises:
            InvalidRequest: The constraint is wrong, or needs what is not supported here; or
                processes ended of it.
            Unavailable: No process can be had.
        """
        session = GuideSession(self, constraint)
        await session.begin()
        return session

    async def close(self) -> None:
        """Ends the process, for good. Idempotent."""
        self._closed = True
        starting, self._starting = self._starting, None
        if starting is not None:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
        if self._life is not None:
            await self._life.end()
        await asyncio.gather(*self._ending)

    async def life(self) -> GuideLife:
        """The process that can be asked, which is started where there is none.

        Raises:
            Unavailable: There can be none.
        """
        if self._closed:
            raise Unavailable("constraints: their process was closed")
        if self._life is not None:
            return self._life
        if self._starting is None:
            # Not of whoever asks, who may leave.
            self._starting = asyncio.create_task(self._begin())
        try:
            return await asyncio.shield(self._starting)
        except asyncio.CancelledError:
            if self._closed:
                raise Unavailable("constraints: their process was closed") from None
            raise

    async def _begin(self) -> GuideLife:
        life: GuideLife | None = None
        try:
            table = await beside_loop(self._vocabulary.to_bytes)
            life = GuideLife(table, self._open_seconds, self._on_end)
            await life.start(self._isolation)
            self._life = life
            return life
        except BaseException:
            if life is not None:
                self._see_off(life)
            raise
        finally:
            self._starting = None

    def _on_end(self, life: GuideLife, cause: str) -> None:
        if not self._closed:
            _log.warning("constraints: their process was lost (%s)", cause)
        if life is self._life:
            self._life = None
            self._see_off(life)

    def _see_off(self, life: GuideLife) -> None:
        task = asyncio.create_task(life.end())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


class GuideSession:
    """One answer on its way through a grammar."""

    def __init__(self, guide: Guide, constraint: OutputConstraint) -> None:
        self._guide = guide
        self._constraint = constraint
        self._life: GuideLife | None = None
        self._number = 0
        self._accepted: list[int] = []
        self._told = 0
        self._strikes = 0
        self._losses = 0
        self._counts = False
        # Whether what was asked behind all that was accepted was a guess at the time.
        self._guessed = False
        self._looks: dict[tuple[int, ...], asyncio.Future[Frame]] = {}

    async def begin(self) -> None:
        """Opens it; see ``Guide.open``."""
        self._guide.sessions += 1
        self._counts = True
        try:
            await self._open()
        except BaseException:
            self.close()
            raise

    def foresee(self, path: Sequence[int]) -> None:
        """Asks what may come behind symbols that will perhaps be accepted; nobody waits for it."""
        if self._life is not None:
            self._ask(self._life, tuple(path))

    async def seen(self) -> Seen:
        """What may come next.

        Raises:
            InvalidRequest: A limit of the grammar was reached, or processes ended of it.
            Unavailable: No process can be had.
        """
        while True:
            life = self._life or await self._open()
            try:
                frame = await self._ask(life, ())
            except Lost as lost:
                self._lose(lost)
                continue
            flag, rest = frame.body[0], frame.body[1:]
            if flag == Flag.COMPLETE:
                return Seen(None, complete=True)
            if flag == Flag.NOTHING:
                return Seen(np.frombuffer(rest, np.uint8))
            if not self._guessed:
                where = f"cannot be followed behind {len(self._accepted)} symbols"
                raise InvalidRequest(self._field, f"{where}: {_text(rest)}")
            # What could not be said of a guess may be said of what was chosen.
            self._guessed = False
            del self._looks[()]

    def accept(self, symbol: int) -> None:
        """Takes a symbol that is allowed, and asks what may come behind it."""
        self._accepted.append(symbol)
        self._looks = {
            path[1:]: look for path, look in self._looks.items() if path and path[0] == symbol
        }
        self._guessed = () in self._looks
        if self._life is not None:
            self._ask(self._life, ())

    def close(self) -> None:
        """Ends it. Idempotent."""
        if self._life is not None:
            self._life.close_session(self._number)
        self._life = None
        if self._counts:
            self._counts = False
            self._guide.sessions -= 1

    @property
    def _field(self) -> str:
        return self._constraint.kind.value

    def _ask(self, life: GuideLife, path: tuple[int, ...]) -> asyncio.Future[Frame]:
        look = self._looks.get(path)
        if look is None:
            asked = Look(self._number, tuple(self._accepted[self._told :]), path)
            self._told = len(self._accepted)
            look = self._looks[path] = life.look(asked)
        return look

    async def _open(self) -> GuideLife:
        """Begins in a process, and once more where it is lost."""
        body = constraint_to_bytes(self._constraint)
        while True:
            life = await self._guide.life()
            number, answer = life.open(body)
            try:
                frame = await answer
            except Lost as lost:
                self._lose(lost)
                continue
            except BaseException:
                life.close_session(number)
                raise
            if frame.kind is Kind.REFUSED:
                raise InvalidRequest(self._field, _text(frame.body))
            self._life, self._number, self._told, self._looks = life, number, 0, {}
            return life

    def _lose(self, lost: Lost) -> None:
        """Notes that a process was lost.

        Raises:
            InvalidRequest: That was of this session's question, or may have been for the second
                time.
            Unavailable: It was lost too often.
        """
        self._life, self._number, self._looks = None, 0, {}
        self._losses += not lost.others
        self._strikes += lost.guilty
        if lost.stuck or self._strikes >= _MOST_STRIKES:
            took = "takes too long to be followed" if lost.stuck else "cannot be followed"
            raise InvalidRequest(self._field, f"{took} ({lost.cause}); make it simpler")
        if self._losses >= _MOST_LOSSES:
            raise Unavailable(f"constraints: their process was lost ({lost.cause})")


def _text(body: bytes) -> str:
    return one_line(body.decode(errors="replace"), LONGEST_PROBLEM)
