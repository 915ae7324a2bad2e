"""One life of a guide: its process, what it was asked, and why it ended."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

from quorate.engines.confinement.plan import Isolation
from quorate.engines.quarantine import is_of_the_prompt
from quorate.errors import Unavailable
from quorate.guides.frames import Frame, Kind, Look, pack
from quorate.guides.process import GuideProcess

# A process starts and builds its table in a second, on a busy machine in some.
_START_SECONDS = 60.0
LOOK_SECONDS = 10.0


class Lost(Exception):
    """A process ended before it answered.

    Attributes:
        cause: Why, in a few words.
        guilty: Whether it may have ended of this very question.
        stuck: Whether it was this question that took too long.
        others: Whether it was another one.
    """

    def __init__(
        self, cause: str, *, guilty: bool = False, stuck: bool = False, others: bool = False
    ) -> None:
        super().__init__(cause)
        self.cause = cause
        self.guilty = guilty
        self.stuck = stuck
        self.others = others


class _Lane:
    """Questions of one kind, which are answered in the order in which they are asked.

    Args:
        seconds: The first of them is answered within this time.
        on_stuck: Told where it is not.
    """

    def __init__(self, seconds: float, on_stuck: Callable[[_Lane], None]) -> None:
        self.seconds = seconds
        self._on_stuck = on_stuck
        self._asked: dict[int, asyncio.Future[Frame]] = {}
        self._patience: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._asked)

    def ask(self, number: int) -> asyncio.Future[Frame]:
        """Notes a question; done with the frame that answers, fails with ``Lost``."""
        answer: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        if len(self._asked) == 1:
            self._watch()
        return answer

    def answered(self, frame: Frame) -> bool:
        """Takes an answer; False where nobody asked."""
        answer = self._asked.pop(frame.number, None)
        if answer is None:
            return False
        self._watch()
        if not answer.done():
            answer.set_result(frame)
        return True

    def lose_all(self, cause: str, *, guilty: bool, stuck: bool, others: bool = False) -> None:
        """Nobody will answer any more; the first question may be why."""
        asked, self._asked = self._asked, {}
        self._watch()
        for at, answer in enumerate(asked.values()):
            first = not at
            known = others or (stuck and not first)
            fail(answer, Lost(cause, guilty=guilty and first, stuck=stuck and first, others=known))

    def _watch(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        if self._asked:
            loop = asyncio.get_running_loop()
            self._patience = loop.call_later(self.seconds, self._on_stuck, self)


class GuideLife:
    """A process that follows grammars over one vocabulary, from its start to its end.

    It is asked by sessions that were opened in it, and by no others: numbers of one life mean
    nothing to the next.

    Args:
        table: The vocabulary, as ``Vocabulary.to_bytes`` writes it.
        open_seconds: A grammar is compiled within this time.
        on_end: Told its end and why.

    Attributes:
        ready: Done once it can be asked; fails with ``Unavailable``.
        ended: Why it is of no more use, or "".
    """

    def __init__(
        self, table: bytes, open_seconds: float, on_end: Callable[[GuideLife, str], None]
    ) -> None:
        self._table = table
        self._on_end = on_end
        self._numbers = itertools.count(1)
        self._process = GuideProcess(self._on_frame, self._on_lost)
        self._opens = _Lane(open_seconds, self._stuck)
        self._looks = _Lane(LOOK_SECONDS, self._stuck)
        self._stuck_lane: _Lane | None = None
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ended = ""

    async def start(self, isolation: Isolation) -> None:
        """Starts the process, and waits until it can be asked.

        Raises:
            Unavailable: It cannot be started, or ended before.
        """
        try:
            await self._process.start(isolation)
        except OSError as error:
            problem = f"constraints: their process cannot be started: {error}"
            fail(self.ready, Unavailable(problem))
            raise Unavailable(problem) from error
        if self.ended:
            self._process.kill(self.ended)
        self._process.send(pack(Kind.VOCABULARY, 0, self._table))
        patience = asyncio.get_running_loop().call_later(
            _START_SECONDS, self._process.kill, f"not ready after {_START_SECONDS:.0f} s"
        )
        try:
            await self.ready
        finally:
            patience.cancel()

    @property
    def pid(self) -> int | None:
        """Id of its process, or None while there is none."""
        return self._process.pid

    def open(self, body: bytes) -> tuple[int, asyncio.Future[Frame]]:
        """Has it compile a grammar; the number of the session, and the answer."""
        number = next(self._numbers)
        return number, self._asked(self._opens, number, pack(Kind.OPEN, number, body))

    def look(self, look: Look) -> asyncio.Future[Frame]:
        """Asks what one of its sessions sees; the question leaves at the call."""
        number = next(self._numbers)
        return self._asked(self._looks, number, pack(Kind.LOOK, number, look.to_bytes()))

    def close_session(self, session: int) -> None:
        """Nobody asks for a session any more, whether it was opened yet or not."""
        self._process.send(pack(Kind.CLOSE, session))

    async def end(self) -> None:
        """Ends the process. Idempotent."""
        self._process.kill("closed")
        await self._process.ended()

    def _asked(self, lane: _Lane, number: int, frame: bytes) -> asyncio.Future[Frame]:
        answer = lane.ask(number)
        if self.ended:
            lane.lose_all(self.ended, guilty=False, stuck=False)
        else:
            self._process.send(frame)
        return answer

    def _stuck(self, lane: _Lane) -> None:
        self._stuck_lane = lane
        self._process.kill(f"stuck for {lane.seconds:.0f} s")

    def _on_frame(self, frame: Frame) -> None:
        match frame.kind:
            case Kind.READY if not self.ready.done():
                self.ready.set_result(None)
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
        self.ended = cause
        if not self.ready.done():
            fail(self.ready, Unavailable(f"constraints: their process was lost ({cause})"))
        # Compiling is what kills, where anything is being compiled.
        guilty = self._stuck_lane or (self._opens if len(self._opens) else self._looks)
        blamed = self._stuck_lane is not None or is_of_the_prompt(cause)
        for lane in (self._opens, self._looks):
            stuck = lane is self._stuck_lane
            others = self._stuck_lane is not None and not stuck
            lane.lose_all(cause, guilty=blamed and lane is guilty, stuck=stuck, others=others)
        self._on_end(self, cause)


def fail(future: asyncio.Future[Any], error: Exception) -> None:
    """Fails what is not done, of which nobody may wait any more."""
    if not future.done():
        future.set_exception(error)
        future.exception()
