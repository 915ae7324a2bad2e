"""One life of a worker, as the coordinator sees it: from its start to its loss, which is final.

Sessions belong to one life. When the worker is lost, by the end of its process, by the watchdog or
by being stopped, everyone who waits for it learns so at once; the next one starts from nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from quorate.engines.admission import Admission
from quorate.engines.contract import ModelFacts
from quorate.engines.generation import EngineSampling
from quorate.engines.session_backend import OpenedSession, WaitingSession
from quorate.engines.shared_rows import WorkDone
from quorate.engines.spec import EngineSpec
from quorate.engines.worker.claims import (
    MOST_PROGRESS,
    OutOfTurn,
    cause,
    check_fraction,
    check_tokens,
    checked_loaded,
    clean,
    most_prompt_tokens,
)
from quorate.engines.worker.encodings import Encodings
from quorate.engines.worker.limits import WorkerLimits
from quorate.engines.worker.messages import (
    Branch,
    Close,
    Completed,
    Encoded,
    EncodedPart,
    Feed,
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
    ScoredPart,
    SetCores,
    Stop,
    Taken,
    Unusable,
)
from quorate.engines.worker.session_table import SessionTable
from quorate.engines.worker.shortages import is_shortage
from quorate.engines.worker.sightings import of_loading, of_process
from quorate.engines.worker.statuses import Activity
from quorate.engines.worker.transport.contract import Connect
from quorate.engines.worker.vital_signs import run_delay_seconds
from quorate.engines.worker.watchdog import Sighting, Watchdog
from quorate.errors import Internal, ModelUnusable, WorkerLost
from quorate.request import Prompt


class WorkerHandle:
    """A worker with the sessions that are open on it; a ``SessionBackend`` once it is loaded.

    Attributes:
        model: Id of the model.
        vocabulary_size: Tokens that a row has, once the model is loaded.
        lost: Done once the worker is of no more use; its result is the cause.
    """

    def __init__(
        self,
        spec: EngineSpec,
        cores: Sequence[int],
        connect: Connect,
        limits: WorkerLimits,
        on_progress: Callable[[float], None],
    ) -> None:
        """Starts the worker and has it load the model; ``on_progress`` is told the loaded fraction.

        Raises:
            OSError: It cannot be started.
        """
        loop = asyncio.get_running_loop()
        self.model = spec.model
        self._limits = limits
        self._on_progress = on_progress
        self._progress_reports = 0
        self.vocabulary_size = 0
        self._sessions: SessionTable | None = None
        self._loaded: asyncio.Future[Loaded] = loop.create_future()
        # Whoever waits for it may have been cancelled; then nobody need hear how loading ended.
        self._loaded.add_done_callback(asyncio.Future.exception)
        self.lost: asyncio.Future[str] = loop.create_future()
        self._transport = connect(spec, len(cores), self._on_message, self._lose)
        self._encodings = Encodings(self._transport.send)
        self._watchdog = Watchdog(
            self._look,
            lambda what, seconds: self.kill(f"{what} for {seconds:.3g} s"),
            limits.shortest_seconds,
        )
        self._transport.send(Load(spec.engine, spec.path, spec.options, cores))

    async def load(self) -> tuple[ModelFacts, bytes]:
        """Waits until the model is loaded; returns its facts and its vocabulary table.

        Whoever reads the table says what is wrong with it by ``refuse``.

        Raises:
            OSError: What is shared with it cannot be mapped here for now.
            MemoryError: Likewise.
            ModelUnusable: It can never be loaded here.
            WorkerLost: The worker died meanwhile.
        """
        loaded = await asyncio.shield(self._loaded)
        self.check_alive()
        facts = loaded.facts
        try:
            table = self._transport.vocabulary()
            rows = self._transport.rows(facts.sessions, loaded.vocabulary_size, facts.block_rows)
        except ValueError as error:
            raise self.refuse(str(error)) from error
        except OSError as error:
            self.kill(f"its shared memory cannot be used: {error}")
            if is_shortage(error):
                raise
            raise self._loss() from error
        self.vocabulary_size = loaded.vocabulary_size
        self._sessions = SessionTable(facts, rows, loaded.vocabulary_size, self.model)
        self._watchdog.reset()
        return facts, table

    def refuse(self, problem: str) -> WorkerLost:
        """Ends the worker for something that it should not have said; the error tells."""
        self.kill(cause(problem))
        return self._loss()

    @property
    def facts(self) -> ModelFacts:
        """Facts of the model; ``WorkerLost`` where the worker is gone."""
        return self._table.facts

    @property
    def admission(self) -> Admission:
        """Who may open a session; ``WorkerLost`` where the worker is gone."""
        return self._table.admission

    def open(self, slot: int, sums: bool) -> OpenedSession:
        """See ``SessionBackend``."""
        opened = self._table.add(slot, sums)
        self._transport.send(Open(opened.number, slot, sums))
        return opened

    def branch(self, parent: int, slot: int, sums: bool) -> OpenedSession:
        """See ``SessionBackend``."""
        opened = self._table.add(slot, sums)
        self._transport.send(Branch(parent, opened.number, slot, sums))
        return opened

    def feed(
        self, number: int, tokens: Sequence[int], session: WaitingSession, rows: int = 0
    ) -> None:
        """See ``SessionBackend``."""
        self._table.feeds(number, tokens, session, rows)
        self._transport.send(Feed(number, tokens, rows))

    def score(self, number: int, tokens: Sequence[int], session: WaitingSession) -> None:
        """See ``SessionBackend``."""
        self._table.scores(number, tokens, session)
        self._transport.send(Score(number, tokens))

    def generate(
        self, number: int, tokens: Sequence[int], options: EngineSampling, session: WaitingSession
    ) -> None:
        """See ``SessionBackend``."""
        self._table.generates(number, tokens, options, session)
        self._transport.send(Generate(number, tokens, options))

    def taken(self, number: int, tokens: int) -> None:
        """See ``SessionBackend``."""
        if self._sessions is not None:
            self._sessions.taken(number, tokens)
            self._transport.send(Taken(number, tokens))

    def rewind(self, number: int, count: int) -> None:
        """See ``SessionBackend``."""
        self._transport.send(Rewind(number, count))

    def close(self, number: int) -> None:
        """See ``SessionBackend``.

        Its slot is free at once: the worker closes the session before it hears of the next one.
        """
        if self._sessions is not None:
            self._sessions.forget(number)
            self._transport.send(Close(number))

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
        if self._sessions is not None:
            self._transport.send(SetCores(cores))

    @property
    def kv_usage(self) -> float | None:
        """Share of the KV cache that sessions have reserved, in [0, 1]; None while it loads."""
        return None if self._sessions is None else self._sessions.kv_usage

    @property
    def done(self) -> WorkDone:
        """What its decode steps took so far; nothing while the model loads."""
        return WorkDone() if self._sessions is None else self._sessions.rows.work_done

    @property
    def waited_seconds(self) -> float:
        """See ``SessionBackend``; 0.0 where the worker is gone."""
        return 0.0 if self._sessions is None else self._sessions.rows.waited_ns / 1e9

    @property
    def activity(self) -> Activity:
        """What it has done, and whether it is asked for more."""
        sessions, pid = self._sessions, self.pid
        if sessions is None or pid is None:
            return Activity()
        delayed = run_delay_seconds(pid) if sessions.open_sessions else 0.0
        done = self.done._replace(delayed_seconds=delayed)
        return Activity(done, sessions.open_sessions, sessions.waiting)

    @property
    def stuck_seconds(self) -> float:
        """For how long the worker was waited for without any sign of progress."""
        return self._watchdog.stuck_seconds

    @property
    def pid(self) -> int | None:
        """Id of its process, or None once that has ended."""
        return self._transport.pid

    def check_alive(self) -> None:
        """See ``SessionBackend``; raises ``WorkerLost``."""
        if self.lost.done():
            raise self._loss()

    def kill(self, cause: str) -> None:
        """Kills the worker and counts it as lost now, whatever its process is stuck in."""
        self._transport.kill()
        self._lose(cause)

    async def stop(self) -> None:
        """Ends the process: by a message where it listens, then by SIGKILL.

        SIGTERM is no step in between, because a worker ignores it; see ``worker``.
        """
        listens = self._sessions is not None
        if listens:
            self._transport.send(Stop())
        self._lose("unloaded")
        if listens and await self.ends_within(self._limits.stop_seconds):
            return
        self._transport.kill()
        await self.ends_within(self._limits.kill_seconds)

    async def ends_within(self, seconds: float) -> bool:
        """Waits for the end of the process; False when it still runs after that time."""
        return await self._transport.ends_within(seconds)

    @property
    def _table(self) -> SessionTable:
        self.check_alive()
        if self._sessions is None:
            raise Internal(f"model {self.model}: a session before the model was loaded")
        return self._sessions

    def _loss(self) -> WorkerLost:
        return WorkerLost(self.model, self.lost.result())

    def _on_message(self, message: FromWorker) -> None:
        match message:
            case Completed() | ScoredPart() | Scored() | Sampled():
                if self._sessions is None:
                    raise OutOfTurn("an answer of a session before there was any")
                self._sessions.deliver(message)
            case EncodedPart() | Encoded() | Refused():
                self._take_encoded(message)
            case Progress(fraction):
                self._expect_loading(message)
                check_fraction(fraction)
                self._progress_reports += 1
                if self._progress_reports > MOST_PROGRESS:
                    raise OutOfTurn(f"more than {MOST_PROGRESS} reports of progress")
                self._on_progress(fraction)
            case Loaded():
                self._expect_loading(message)
                self._loaded.set_result(checked_loaded(message))
            case Unusable(problem):
                self._expect_loading(message)
                self._loaded.set_exception(ModelUnusable(self.model, clean(problem)))
            case _:
                raise OutOfTurn(f"{type(message).__name__}, which is for encoders")

    def _expect_loading(self, message: FromWorker) -> None:
        if self._loaded.done():
            raise OutOfTurn(f"{type(message).__name__} after it had loaded")

    def _take_encoded(self, message: EncodedPart | Encoded | Refused) -> None:
        if self._sessions is None:
            raise OutOfTurn("tokens before it had loaded")
        if not isinstance(message, Refused):
            check_tokens(message.tokens, self.vocabulary_size)
        self._encodings.answered(message, most_prompt_tokens(self._sessions.facts.context_length))

    def _look(self) -> list[Sighting]:
        if self._sessions is None:
            return of_loading(self.pid, self._progress_reports, self._limits)
        rows = self._sessions.rows
        busy_since = rows.busy_since_ns
        waiting = bool(self._sessions.waiting or self._encodings or busy_since)
        limit = self._limits.step_timeout_seconds
        stuck = Sighting("stuck", (busy_since, rows.steps_done), waiting, limit)
        return [stuck, of_process(self.pid, waiting, self._limits)]

    def _lose(self, cause: str) -> None:
        if self.lost.done():
            return
        self.lost.set_result(cause)
        self._watchdog.stop()
        self._transport.close()
        if not self._loaded.done():
            self._loaded.set_exception(self._loss())
        sessions, self._sessions = self._sessions, None
        if sessions is not None:
            sessions.fail_all(self._loss)
        self._encodings.fail_all(self._loss)
