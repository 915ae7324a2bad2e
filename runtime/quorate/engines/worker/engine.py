"""An engine whose model runs in a process of its own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

from quorate.engines.admission import required_kv_tokens
from quorate.engines.confinement.plan import Isolation
from quorate.engines.contract import ModelFacts
from quorate.engines.identity import identity
from quorate.engines.prompt_sizes import check_prompt, check_text
from quorate.engines.quarantine import Quarantine
from quorate.engines.registry import engines
from quorate.engines.session import EngineSession, open_session
from quorate.engines.spec import EngineSpec
from quorate.engines.vocabulary import Vocabulary
from quorate.engines.worker.encoder.encoder import Encoder
from quorate.engines.worker.encoder.life import ENCODER_COMMAND
from quorate.engines.worker.handle import WorkerHandle
from quorate.engines.worker.limits import WorkerLimits
from quorate.engines.worker.prefills import WatchedWorker
from quorate.engines.worker.statuses import Activity, WorkerPhase, WorkerStatus
from quorate.engines.worker.supervisor import LoadedModel, Supervisor
from quorate.engines.worker.transport.local import LocalTransport
from quorate.engines.worker.transport.process import WORKER_COMMAND
from quorate.engines.worker.turns import Turns
from quorate.errors import SettingsError, Unavailable
from quorate.large_texts import SLICE
from quorate.request import Prompt
from quorate.threads import beside_loop


class HostedEngine:
    """``Engine`` over a supervised worker process. It outlives its workers; sessions do not.

    Args:
        cores: Processor cores its worker runs on, one for each thread; see ``places``.
        limits: When the worker counts as stuck, and how long a stop may take.
        isolation: What the configuration says of its processes.
        turns: How it takes turns with the engines that share its cores; alone by default.
        command: The worker's program and first arguments.
        encoder_command: Those of the encoder beside it, where its engine has one.
        sleep: Waits for so many seconds before a restart.

    Attributes:
        turns: As it was given, or made.
    """

    def __init__(
        self,
        spec: EngineSpec,
        cores: Sequence[int],
        *,
        limits: WorkerLimits | None = None,
        isolation: Isolation | None = None,
        turns: Turns | None = None,
        command: Sequence[str] = WORKER_COMMAND,
        encoder_command: Sequence[str] = ENCODER_COMMAND,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.spec = spec
        self._limits = limits or WorkerLimits()
        isolation = isolation or Isolation()
        self.turns = turns or Turns()
        self._has_own_turns = turns is None
        connect = partial(LocalTransport, command, self.turns, isolation)
        self._supervisor = Supervisor(spec, _checked(cores), connect, self._limits, sleep)
        engine = engines().get(spec.engine)
        self._encoder = (
            Encoder(spec, cores, self._limits, encoder_command, isolation)
            if engine is not None and engine.encoder
            else None
        )
        self._company: asyncio.Task[None] | None = None
        self._quarantine = Quarantine(spec.model)
        self._watch: WatchedWorker | None = None

    def start(self) -> None:
        """Spawns the worker and returns at once; ``watch`` and ``wait_ready`` tell how it goes.

        Must be called on the thread of the event loop, which should be the main one: a worker dies
        with the thread that spawned it. A model that can never be loaded, and one whose worker
        died three times while loading, ends in ``WorkerPhase.FAILED``.
        """
        self._supervisor.start()
        if self._encoder is not None and self._company is None:
            self._encoder.start()
            self._company = asyncio.create_task(self._keep_company(self._encoder))

    @property
    def facts(self) -> ModelFacts:
        """Facts of the model, kept while its worker restarts; ``Unavailable`` before a load."""
        return self._model.facts

    @property
    def vocabulary(self) -> Vocabulary:
        """The model's tokens, the same object through all restarts; raises as ``facts``."""
        return self._model.vocabulary

    async def encode(self, prompt: Prompt) -> list[int]:
        """See ``Engine``; ``Unavailable`` where no worker is ready, or none can encode.

        Where the worker itself encodes, it may be lost meanwhile.
        """
        worker = self._supervisor.ready_worker()
        check_prompt(prompt, self.vocabulary, self.facts.context_length)
        if self._encoder is None:
            return await worker.encode(prompt)
        self._match(self._encoder)
        return await self._encoder.encode(prompt)

    async def encode_continuation(self, text: str) -> list[int]:
        """See ``Engine``; raises as ``encode`` does."""
        worker = self._supervisor.ready_worker()
        limits = self.vocabulary, self.facts.context_length
        if len(text) > SLICE:
            await beside_loop(check_text, "continuation", text, *limits)
        else:
            check_text("continuation", text, *limits)
        if self._encoder is None:
            return await worker.encode_continuation(text)
        self._match(self._encoder)
        return await self._encoder.encode_continuation(text)

    async def open(self, tokens: int, branches: int = 0) -> EngineSession:
        """See ``Engine``."""
        kv_tokens = required_kv_tokens(self.facts, tokens, branches, self.spec.model)
        watched = self._watched(self._supervisor.ready_worker())
        return await open_session(watched, tokens, branches, kv_tokens)

    async def wait_ready(self) -> None:
        """See ``Engine``."""
        await self._supervisor.wait_ready()

    async def close(self) -> None:
        """See ``Engine``; returns when the processes are gone."""
        if self._company is not None:
            self._company.cancel()
        if self._encoder is not None:
            await self._encoder.close()
        await self._supervisor.stop()
        if self._has_own_turns:
            self.turns.close()

    @property
    def status(self) -> WorkerStatus:
        """Where the worker is in its life."""
        return self._supervisor.status

    def watch(self) -> AsyncIterator[WorkerStatus]:
        """Yields the status now and whenever it changes, load progress included."""
        return self._supervisor.watch()

    @property
    def wedged(self) -> bool:
        """Whether a ready worker is waited for and has shown no progress for too long."""
        worker = self._supervisor.worker
        if worker is None or self.status.phase is not WorkerPhase.READY:
            return False
        return worker.stuck_seconds > self._limits.wedged_after_seconds

    @property
    def worker_pid(self) -> int | None:
        """Process id of the worker, or None while there is none."""
        worker = self._supervisor.worker
        return None if worker is None else worker.pid

    @property
    def steps_done(self) -> int:
        """Decode steps of the worker that runs now."""
        worker = self._supervisor.worker
        return 0 if worker is None else worker.done.steps

    @property
    def worked_seconds(self) -> float:
        """See ``Engine``, as the worker tells it; 0.0 while there is none."""
        worker = self._supervisor.worker
        if worker is None:
            return 0.0
        done = worker.done
        return done.computed_seconds + done.waited_seconds

    @property
    def activity(self) -> Activity:
        """What its worker has done and is asked for; nothing while there is none."""
        worker = self._supervisor.worker
        return Activity() if worker is None else worker.activity

    @property
    def kv_usage(self) -> float | None:
        """Share of the KV cache that sessions have reserved, in [0, 1]; None without a worker."""
        worker = self._supervisor.worker
        return None if worker is None else worker.kv_usage

    @property
    def restarts(self) -> int:
        """How often a worker was started in the place of one that was lost."""
        return self._supervisor.restarts

    @property
    def encoder_pid(self) -> int | None:
        """Process id of the encoder, or None while there is none."""
        return None if self._encoder is None else self._encoder.pid

    def memory_bytes(self) -> int:
        """Resident memory of worker and encoder, mapped weights included; 0 without processes."""
        return _resident_bytes(self.worker_pid) + _resident_bytes(self.encoder_pid)

    @property
    def cores(self) -> tuple[int, ...]:
        """Processor cores the worker runs on."""
        return self._supervisor.cores

    def set_cores(self, cores: Sequence[int]) -> None:
        """Moves the worker to these cores, from its next step on, and every later worker too.

        Raises:
            SettingsError: None, or a core this process may not use.
        """
        self._supervisor.set_cores(_checked(cores))
        if self._encoder is not None:
            self._encoder.set_cores(cores)

    def _watched(self, worker: WorkerHandle) -> WatchedWorker:
        if self._watch is None or self._watch.worker is not worker:
            self._watch = WatchedWorker(worker, self._quarantine)
        return self._watch

    async def _keep_company(self, encoder: Encoder) -> None:
        """Tells the encoder of each worker that is ready, and ends it when there will be none."""
        async for status in self._supervisor.watch():
            if status.phase is WorkerPhase.READY:
                self._match(encoder)
        await encoder.close()

    def _match(self, encoder: Encoder) -> None:
        facts = self.facts
        digest = self._model.table_digest
        loaded = identity(digest, facts.template)
        encoder.belong_to(facts.context_length, loaded, len(self.vocabulary))

    @property
    def _model(self) -> LoadedModel:
        if self._supervisor.model is None:
            raise Unavailable(f"model {self.spec.model} is not loaded yet")
        return self._supervisor.model


def _resident_bytes(pid: int | None) -> int:
    if pid is None:
        return 0
    try:
        resident_pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0
    return resident_pages * os.sysconf("SC_PAGE_SIZE")


def _checked(cores: Sequence[int]) -> Sequence[int]:
    allowed = os.sched_getaffinity(0)
    wrong = sorted({core for core in cores if core >= 0} - allowed)
    if wrong:
        raise SettingsError(f"cores: {wrong} are not among the usable cores {sorted(allowed)}")
    if not cores:
        raise SettingsError("cores: a worker needs at least one")
    return cores
