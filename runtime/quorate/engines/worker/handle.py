"""One life of a worker: from its spawning to its loss, which is final.

Sessions belong to one incarnation. When it is lost, by the end of its process, by the watchdog or
by being stopped, everyone who waits for it learns so at once; the next one starts from nothing.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from quorate.engines.admission import Admission
from quorate.engines.byte_order import PrefixSums
from quorate.engines.contract import EngineSampling, LogProbs, ModelFacts, SampledToken
from quorate.engines.spec import EngineSpec
from quorate.engines.worker import sealed_memory
from quorate.engines.worker.encodings import Encodings
from quorate.engines.worker.launch import launch
from quorate.engines.worker.limits import HostLimits
from quorate.engines.worker.link import WorkerLink
from quorate.engines.worker.messages import (
    Close,
    Completed,
    Encoded,
    Feed,
    Fork,
    FromWorker,
    Generate,
    Load,
    Loaded,
    Open,
    Progress,
    Refused,
    Rewind,
    Sampled,
    Score,
    Scored,
    SetCores,
    Stop,
    Unusable,
)
from quorate.engines.worker.shared_rows import RowsReader
from quorate.engines.worker.watchdog import Sighting, Watchdog
from quorate.errors import Internal, ModelUnusable, WorkerLost
from quorate.request import Prompt

_UNLOADED = "unloaded"


class Feeder(Protocol):
    """Who fed tokens and waits for the outcome."""

    def completed(self, cached_tokens: int) -> None:
        """The row holds the log-probs; so many tokens of the first feed were cached."""
        ...

    def scored(self, logprobs: Sequence[float]) -> None:
        """A text was fed, and its tokens but the first had these log-probs."""
        ...

    def sampled(self, drawn: Sequence[SampledToken], finished: bool, cached_tokens: int) -> None:
        """The worker drew tokens; nothing more comes where that finished the generation."""
        ...

    def failed(self, error: WorkerLost) -> None:
        """The worker is lost, and with it what it had still to tell."""
        ...


class Outputs(NamedTuple):
    """Where the outcome of a session's feeds appears, read-only."""

    row: LogProbs
    sums: PrefixSums | None


class Incarnation:
    """A worker process with the sessions that are open on it.

    Attributes:
        process: The process, for its id and its end.
        lost: Done once the worker is of no more use; its result is the cause.
    """

    def __init__(
        self,
        spec: EngineSpec,
        cores: Sequence[int],
        command: Sequence[str],
        limits: HostLimits,
        on_progress: Callable[[float], None],
    ) -> None:
        """Spawns the worker and has it load the model.

        Args:
            spec: The model.
            cores: Processor cores it runs on.
            command: The worker's program and first arguments.
            limits: When it counts as stuck.
            on_progress: Told the loaded fraction.

        Raises:
            OSError: The process cannot be started.
        """
        loop = asyncio.get_running_loop()
        self._model = spec.model
        self._limits = limits
        self._on_progress = on_progress
        self._progress_reports = 0
        self._feeders: dict[int, Feeder] = {}
        self._numbers = itertools.count()
        self._rows: RowsReader | None = None
        self._admission: Admission | None = None
        self._loaded: asyncio.Future[Loaded] = loop.create_future()
        # Whoever waits for it may have been cancelled; then nobody need hear how loading ended.
        self._loaded.add_done_callback(asyncio.Future.exception)
        self.lost: asyncio.Future[str] = loop.create_future()
        launched = launch(command, len(cores), spec.model, spec.engine)
        self._memories = [launched.rows, launched.vocabulary]
        self._link = WorkerLink(launched.connection, self._on_message, self.kill)
        self._encodings = Encodings(self._link.send)
        self.process = launched.process
        self.process.exited.add_done_callback(self._on_exit)
        self._watchdog = Watchdog(
            self._look,
            lambda seconds: self.kill(f"stuck for {seconds:.3g} s"),
            min(limits.step_timeout_seconds, limits.load_timeout_seconds),
        )
        self._link.send(Load(spec.engine, spec.path, spec.options, cores))

    async def load(self) -> tuple[ModelFacts, bytes]:
        """Waits until the model is loaded; returns its facts and its vocabulary table.

        Raises:
            ModelUnusable: It can never be loaded here.
            WorkerLost: The worker died meanwhile.
        """
        loaded = await asyncio.shield(self._loaded)
        self.check_alive()
        facts = loaded.facts
        rows, vocabulary = self._memories
        try:
            table = sealed_memory.read(vocabulary)
            self._rows = RowsReader(rows, facts.sessions, loaded.vocabulary_size)
        except (OSError, ValueError) as error:
            self.kill(f"its shared memory cannot be used: {error}")
            raise self._loss() from error
        self._close_memories()
        self._admission = Admission(facts.sessions, facts.kv_tokens)
        self._watchdog.reset()
        return facts, table

    @property
    def admission(self) -> Admission:
        """Who may open a session.

        Raises:
            WorkerLost: The worker is gone.
        """
        self.check_alive()
        if self._admission is None:
            raise Internal(f"model {self._model}: a session before the model was loaded")
        return self._admission

    def open(self, slot: int, sums: bool) -> tuple[int, Outputs]:
        """Opens a session on a leased slot; returns its number and its outputs.

        Raises:
            WorkerLost: The worker is gone.
        """
        session, outputs = next(self._numbers), self._outputs(slot, sums)
        self._link.send(Open(session, slot, sums))
        return session, outputs

    def fork(self, parent: int, slot: int, sums: bool) -> tuple[int, Outputs]:
        """Opens a session with the tokens of another; returns its number and its outputs.

        Raises:
            WorkerLost: The worker is gone.
        """
        session, outputs = next(self._numbers), self._outputs(slot, sums)
        self._link.send(Fork(parent, session, slot, sums))
        return session, outputs

    def feed(self, session: int, tokens: Sequence[int], feeder: Feeder) -> None:
        """Feeds a session that has no outstanding feed.

        Raises:
            WorkerLost: The worker is gone; the feeder hears nothing.
        """
        self._ask(feeder, Feed(session, tokens))

    def score(self, session: int, tokens: Sequence[int], feeder: Feeder) -> None:
        """Feeds a whole text to an empty session.

        Raises:
            WorkerLost: The worker is gone; the feeder hears nothing.
        """
        self._ask(feeder, Score(session, tokens))

    def generate(
        self, session: int, tokens: Sequence[int], options: EngineSampling, feeder: Feeder
    ) -> None:
        """Feeds a session and has the worker draw what follows.

        Raises:
            WorkerLost: The worker is gone; the feeder hears nothing.
        """
        self._ask(feeder, Generate(session, tokens, options))

    def rewind(self, session: int, count: int) -> None:
        """Has a session forget its last tokens.

        Raises:
            WorkerLost: The worker is gone.
        """
        self.check_alive()
        self._link.send(Rewind(session, count))

    def close(self, session: int) -> None:
        """Frees a session; its feeder, if any, hears nothing more.

        Its slot is free at once: the worker closes the session before it hears of the next one.
        """
        self._feeders.pop(session, None)
        if not self.lost.done():
            self._link.send(Close(session))

    async def encode(self, prompt: Prompt) -> list[int]:
        """See ``Engine.encode``; also raises ``WorkerLost``."""
        self.check_alive()
        return await self._encodings.prompt(prompt)

    async def encode_continuation(self, text: str) -> list[int]:
        """See ``Engine.encode_continuation``; also raises ``WorkerLost``."""
        self.check_alive()
        return await self._encodings.continuation(text)

    def set_cores(self, cores: Sequence[int]) -> None:
        """Moves the worker to these cores after its current step.

        Ignored while it loads: the order to load is the only message that it expects by then, and
        the supervisor compares the cores once it is ready.
        """
        if self._rows is not None:
            self._link.send(SetCores(cores))

    @property
    def steps_done(self) -> int:
        """Decode steps so far; 0 while the model loads."""
        return 0 if self._rows is None else self._rows.steps_done

    @property
    def stuck_seconds(self) -> float:
        """For how long the worker was waited for without any sign of progress."""
        return self._watchdog.stuck_seconds

    def check_alive(self) -> None:
        """Returns if the worker is not lost.

        Raises:
            WorkerLost: It is.
        """
        if self.lost.done():
            raise self._loss()

    def kill(self, cause: str) -> None:
        """Kills the worker and counts it as lost now, whatever its process is stuck in."""
        self.process.kill()
        self._lose(cause)

    async def stop(self) -> None:
        """Ends the process: by a message where it listens, then by SIGKILL.

        SIGTERM is no step in between, because a worker ignores it; see ``worker``.
        """
        listens = self._rows is not None and not self.lost.done()
        if listens:
            self._link.send(Stop())
        self._lose(_UNLOADED)
        if listens and await self.process.exits_within(self._limits.stop_seconds):
            return
        self.process.kill()
        await self.process.exits_within(self._limits.kill_seconds)

    def _ask(self, feeder: Feeder, message: Feed | Score | Generate) -> None:
        self.check_alive()
        self._feeders[message.session] = feeder
        self._link.send(message)

    def _outputs(self, slot: int, sums: bool) -> Outputs:
        self.check_alive()
        if self._rows is None:
            raise Internal(f"model {self._model}: a session before the model was loaded")
        return Outputs(self._rows.row(slot), self._rows.sums(slot) if sums else None)

    def _loss(self) -> WorkerLost:
        return WorkerLost(self._model, self.lost.result())

    def _on_message(self, message: FromWorker) -> None:
        match message:
            case Completed() | Scored() | Sampled():
                self._tell_feeders(message)
            case Encoded() | Refused():
                self._encodings.answered(message)
            case Progress(fraction):
                self._progress_reports += 1
                self._on_progress(fraction)
            case Loaded():
                self._loaded.set_result(message)
            case Unusable(problem):
                self._loaded.set_exception(ModelUnusable(self._model, problem))

    def _tell_feeders(self, message: Completed | Scored | Sampled) -> None:
        """Tells those who wait; a session that was closed meanwhile has nobody waiting."""
        match message:
            case Completed(feeds):
                for session, cached_tokens in feeds:
                    feeder = self._feeders.pop(session, None)
                    if feeder is not None:
                        feeder.completed(cached_tokens)
            case Scored(session, logprobs):
                feeder = self._feeders.pop(session, None)
                if feeder is not None:
                    feeder.scored(logprobs)
            case Sampled(stretches):
                for session, drawn, finished, cached_tokens in stretches:
                    take = self._feeders.pop if finished else self._feeders.get
                    feeder = take(session, None)
                    if feeder is not None:
                        feeder.sampled(drawn, finished, cached_tokens)

    def _on_exit(self, exited: asyncio.Future[str]) -> None:
        self._link.drain()
        self._lose(exited.result())

    def _look(self) -> Sighting:
        if self._rows is None:
            return Sighting(self._progress_reports, True, self._limits.load_timeout_seconds)
        busy_since = self._rows.busy_since_ns
        return Sighting(
            (busy_since, self._rows.steps_done),
            bool(self._feeders or self._encodings or busy_since),
            self._limits.step_timeout_seconds,
        )

    def _lose(self, cause: str) -> None:
        if self.lost.done():
            return
        self.lost.set_result(cause)
        self._watchdog.stop()
        self._link.close()
        self._close_memories()
        self._rows = None
        if not self._loaded.done():
            self._loaded.set_exception(self._loss())
        feeders, self._feeders = self._feeders, {}
        for feeder in feeders.values():
            feeder.failed(self._loss())
        self._encodings.fail_all(self._loss)
        if self._admission is not None:
            self._admission.fail_all(self._loss())

    def _close_memories(self) -> None:
        while self._memories:
            os.close(self._memories.pop())
