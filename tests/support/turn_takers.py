"""Processes that take turns on cores when they are told to, for tests of ``TurnTaker``."""

from __future__ import annotations

import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from quorate.engines.worker.turns import Turns

DEADLINE_SECONDS = 20.0

_PROGRAM = """
import sys, time
from quorate.engines.worker.turns import TurnTaker

descriptor, cores, patience = int(sys.argv[1]), sys.argv[2], float(sys.argv[3])
ticks = 0
def tick():
    global ticks
    ticks += 1
taker = TurnTaker(descriptor, map(int, cores.split()), tick, patience)
def say(*what):
    print(*what, flush=True)
say("ready")
for line in sys.stdin:
    order, *numbers = line.split()
    if order == "take":
        say("taken", taker.take())
    elif order == "end":
        taker.end()
        say("ended")
    elif order == "move":
        taker.move(map(int, numbers))
        say("moved", taker.cores)
    elif order == "rounds":
        for _ in range(int(numbers[0])):
            taker.take()
            with open(sys.argv[4], "a") as log:
                log.write(sys.argv[5])
            time.sleep(0.003)
            taker.end()
        say("done")
    elif order == "compute":
        end = time.monotonic() + float(numbers[0])
        while time.monotonic() < end:
            pass
        say("computed")
    elif order == "company":
        say("company", taker.has_company)
    elif order == "ticks":
        say("ticks", ticks)
"""


class TurnProcess:
    """A process with a ``TurnTaker``; ``send`` and ``hear`` go together."""

    def __init__(self, turns: Turns, cores: Sequence[int], patience: float, *more: str) -> None:
        told = [str(turns.descriptor), " ".join(map(str, cores)), str(patience), *more]
        self._popen = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, *told],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            pass_fds=[turns.descriptor],
        )
        assert self.hear() == ["ready"]

    def send(self, order: str) -> None:
        assert self._popen.stdin is not None
        self._popen.stdin.write(order + "\n")

    def hear(self, seconds: float = DEADLINE_SECONDS) -> list[str]:
        """The next line in words; fails where none comes in time."""
        assert self._popen.stdout is not None
        assert select.select([self._popen.stdout], [], [], seconds)[0], "no answer in time"
        return self._popen.stdout.readline().split()

    def is_silent(self, seconds: float = 0.3) -> bool:
        """Whether it says nothing for so long."""
        assert self._popen.stdout is not None
        return not select.select([self._popen.stdout], [], [], seconds)[0]

    def ask(self, order: str) -> list[str]:
        self.send(order)
        return self.hear()

    def take(self) -> float:
        """Has it take its cores, and returns for how long it waited."""
        return float(self.ask("take")[1])

    def stop(self) -> None:
        self._popen.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._popen.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self._popen.kill()
        self._popen.wait()
        for pipe in (self._popen.stdin, self._popen.stdout):
            if pipe is not None:
                pipe.close()


@contextmanager
def turn_processes(
    *cores: Sequence[int], patience: float = 10.0, log: str = ""
) -> Iterator[list[TurnProcess]]:
    """Processes that share one file; what they do in ``rounds`` goes to a log, by their letters."""
    turns = Turns()
    made: list[TurnProcess] = []
    try:
        for index, own in enumerate(cores):
            made.append(TurnProcess(turns, own, patience, log, "abcdefgh"[index]))
        yield made
    finally:
        for one in made:
            one.kill()
