"""Workers that die at a chosen moment of their work, under streams that must not notice.

A worker is told by a file to send itself a signal when it comes to that moment: from outside it
could not be hit within a microsecond's work.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from quorate.client import Client
from quorate.dispatch import Dispatcher, DispatchSettings
from quorate.engines.confinement.plan import Isolation
from quorate.engines.spec import EngineSpec
from quorate.engines.worker.engine import HostedEngine
from quorate.engines.worker.limits import WorkerLimits
from quorate.engines.worker.turns import Turns
from quorate.fleet.fleet import Fleet
from quorate.fleet.life_cycle import ModelSource
from quorate.fleet.status import ModelState
from quorate.v1 import inference_pb2
from support.managed_engines import Cast
from support.service import service_over
from support.streams import Stream

MOMENTS = ("load", "encode", "open", "prefill", "decode", "idle")
SIGNALS = (signal.SIGKILL, signal.SIGSEGV, signal.SIGSTOP)
POLICIES = ("continue", "replay")
SAY = "the quick brown fox jumps over the lazy dog"
STREAMS = 8
DEADLINE_SECONDS = 60.0

_LIMITS = WorkerLimits(stopped_seconds=0.2)
_WORKER = """
import os, sys
from quorate.engines.scheduler.scheduler import Scheduler
from quorate.engines.scripted import model as scripted

def dies_in(owner, name, moment, due=lambda *_: True):
    original = getattr(owner, name)
    def call(*arguments):
        if due(*arguments):
            try:
                number, for_ever = map(int, open({folder!r} + '/' + moment).read().split())
                if not for_ever:
                    os.unlink({folder!r} + '/' + moment)
                os.kill(os.getpid(), number)
            except FileNotFoundError:
                pass
        return original(*arguments)
    setattr(owner, name, call)

def is_prefill(model, chunks):
    return any(chunk.position == 0 for chunk in chunks)

dies_in(scripted, 'load', 'load')
dies_in(scripted.ScriptedModel, 'encode', 'encode')
dies_in(Scheduler, 'open', 'open')
dies_in(scripted.ScriptedModel, 'decode', 'prefill', is_prefill)
dies_in(scripted.ScriptedModel, 'decode', 'decode', lambda *call: not is_prefill(*call))

from quorate.engines.worker.worker import main
sys.exit(main())
"""


@dataclass
class Cell:
    """What became of the streams of one moment, signal and policy.

    Attributes:
        kinds: How many answers were whole, by what their notices told.
        lost: Why the others were not.
    """

    kinds: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)

    def add(self, stream: Stream, text: str | None) -> None:
        """Counts an answer that has ended; None takes any text for the right one."""
        if stream.error is not None:
            self.lost.append(f"{stream.error.status}: {stream.error.message}")
        elif stream.finished is None or text not in (None, stream.text):
            self.lost.append(f"it said {stream.text!r}")
        else:
            told = {notice.kind for notice in stream.notices}
            dropped = inference_pb2.NOTICE_KIND_MEMBER_DROPPED in told
            replayed = inference_pb2.NOTICE_KIND_MEMBER_REPLAYED in told
            self.kinds["dropped" if dropped else "replayed" if replayed else "untouched"] += 1


Matrix = dict[tuple[str, str, str], Cell]


def table(matrix: Matrix) -> str:
    """The matrix for people."""
    heads = ("moment", "signal", "policy", "answered", "dropped", "replayed", "lost")
    lines = ["{:8} {:8} {:9} {:>9} {:>8} {:>9} {:>5}".format(*heads)]
    for (moment, name, policy), cell in matrix.items():
        kinds = cell.kinds
        lines.append(
            f"{moment:8} {name:8} {policy:9} {kinds.total():9} {kinds['dropped']:8} "
            f"{kinds['replayed']:9} {len(cell.lost):5}"
        )
    return "\n".join(lines)


def losses(matrix: Matrix) -> list[str]:
    """Why answers were lost, each with its cell."""
    return [f"{cell}: {why}" for cell, found in matrix.items() for why in found.lost]


class Victims:
    """Two models in workers of their own, behind a server, and the files that tell them to die."""

    def __init__(self, folder: Path, fleet: Fleet, dispatcher: Dispatcher, client: Client) -> None:
        self._folder = folder
        self.client = client
        self.dispatcher = dispatcher
        self.fleet = fleet

    def pid(self, model: str) -> int:
        """The process of a model that is ready."""
        return self.fleet.process_ids()[model]

    def dies_at(
        self, moment: str, model: str, number: signal.Signals, *, for_ever: bool = False
    ) -> None:
        """Has a worker send itself a signal when it comes to a moment next, or whenever it does."""
        written = self._folder / model / f"{moment}.new"
        written.write_text(f"{int(number)} {int(for_ever)}")
        written.rename(self._folder / model / moment)

    async def reaches(self, model: str, state: ModelState) -> None:
        """Waits until a model is in a state."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            async for status in self.fleet.watch():
                if status.id == model and status.state is state:
                    return

    def streams(self, prompt: str, **options: object) -> list[Stream]:
        """Answers of both models, by either policy in turn."""
        return [
            Stream(
                self.client,
                prompt,
                models=["a", "b"],
                temperature=0.0,
                failure_policy=POLICIES[number % len(POLICIES)],
                **{"timeout": DEADLINE_SECONDS, **options},
            )
            for number in range(STREAMS)
        ]


async def at_once(_: float) -> None:
    """No backoff: a worker that dies on purpose is started again at once."""


@asynccontextmanager
async def victims(
    folder: Path,
    *specs: EngineSpec,
    backoff: Callable[[float], Awaitable[None]] = at_once,
) -> AsyncIterator[Victims]:
    """Runs models ``a`` and ``b`` behind a server; by default toys that can be told to die.

    ``backoff`` is waited for before a worker is started again.
    """
    cores = sorted(os.sched_getaffinity(0))
    turns = Turns()

    def start(spec: EngineSpec, given: Sequence[int]) -> HostedEngine:
        own = folder / spec.model
        own.mkdir(exist_ok=True)
        command = [sys.executable, "-c", _WORKER.format(folder=str(own))]
        # It is told by files, and takes them away.
        open_one = Isolation(sandbox=False)
        toy = {"command": command, "isolation": open_one} if spec.engine == "scripted" else {}
        engine = HostedEngine(spec, given, limits=_LIMITS, sleep=backoff, turns=turns, **toy)
        engine.start()
        return engine

    fleet = Fleet(start, cores)
    toys = [
        EngineSpec(name, "scripted", options={"say": SAY, "step_delay_ms": 1.0, "seed": seed})
        for seed, name in enumerate("ab")
    ]
    for spec in specs or toys:
        fleet.add(_source(spec))
    await asyncio.gather(*(fleet.load(name) for name in "ab"))
    dispatcher = Dispatcher(fleet, DispatchSettings())
    async with (
        service_over(dispatcher, fleet, Cast()) as service,
        service.client() as client,
    ):
        yield Victims(folder, fleet, dispatcher, client)


async def strike(
    there: Victims, matrix: Matrix, moment: str, number: signal.Signals, model: str
) -> None:
    """Has a worker die once at a moment, under streams that are counted in the matrix."""
    pid = there.pid(model)
    if moment == "idle":
        os.kill(pid, number)
    else:
        there.dies_at(moment, model, number)
    if moment == "load":
        os.kill(pid, signal.SIGKILL)
        await there.reaches(model, ModelState.RESTARTING)
    streams = there.streams("x")
    for stream in streams:
        await stream.end()
    await there.reaches(model, ModelState.READY)
    assert there.pid(model) != pid, f"nobody died at {moment}"
    count(streams, matrix, moment, number, SAY)


def count(
    streams: Sequence[Stream],
    matrix: Matrix,
    moment: str,
    number: signal.Signals,
    text: str | None,
) -> None:
    """Counts streams that have ended."""
    for index, stream in enumerate(streams):
        policy = POLICIES[index % len(POLICIES)]
        matrix.setdefault((moment, number.name, policy), Cell()).add(stream, text)


def _source(spec: EngineSpec) -> ModelSource:
    async def prepare(_: object) -> EngineSpec:
        return spec

    return ModelSource(spec.model, spec.engine, prepare)
