"""Turns prompts into tokens for one model, in a process that may die of them."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import logging
from collections.abc import Sequence

from quorate.engines.quarantine import Quarantine, is_of_the_prompt
from quorate.engines.spec import EngineSpec
from quorate.engines.worker.encoder.lanes import LONG_BYTES, Lanes
from quorate.engines.worker.encoder.life import ENCODER_COMMAND, EncoderLife
from quorate.engines.worker.encodings import refusal
from quorate.engines.worker.limits import WorkerLimits
from quorate.engines.worker.messages import (
    Cancel,
    Encode,
    EncodeContinuation,
    Encoded,
    FromWorker,
    Refused,
    SetCores,
    TokenizerLoaded,
    Unusable,
)
from quorate.engines.worker.restarts import backoff_seconds
from quorate.errors import Unavailable
from quorate.request import ChatPrompt, Prompt

_log = logging.getLogger(__name__)

_TRIES = 3
# A vocabulary is loaded in seconds, with the slowest of libraries on a busy machine in a minute.
_LOAD_SECONDS = 180.0


@dataclasses.dataclass(eq=False, slots=True)
class _Job:
    """One prompt.

    Attributes:
        field: What its caller calls it.
        long: Whether it is in the lane of the long ones.
        tries: Processes that ended while they had it.
    """

    message: Encode | EncodeContinuation
    field: str
    long: bool
    tokens: asyncio.Future[list[int]] = dataclasses.field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    tries: int = 0

    @property
    def key(self) -> bytes:
        """What a quarantine knows its prompt by."""
        text = (
            self.message.prompt.canonical_text
            if isinstance(self.message, Encode)
            else self.message.text
        )
        return f"{self.field} {text}".encode("utf-8", "surrogatepass")


class Encoder:
    """The encoder of one model through all the lives of its process.

    A process that ends is replaced. What it had been given goes to the next one, alone where it may
    have been the cause; a prompt that was it twice is refused. Workers notice nothing of it.

    Args:
        cores: Processor cores of the model.
        command: The program of the process and its first arguments.
    """

    def __init__(
        self,
        spec: EngineSpec,
        cores: Sequence[int],
        limits: WorkerLimits,
        command: Sequence[str] = ENCODER_COMMAND,
    ) -> None:
        self._spec = spec
        self._cores = tuple(cores)
        self._limits = limits
        self._command = command
        self._quarantine = Quarantine(spec.model)
        self._numbers = itertools.count()
        self._lanes: Lanes[_Job] = Lanes()
        self._running: dict[int, _Job] = {}
        self._life: EncoderLife | None = None
        self._loaded = False
        self._failures = 0
        self._context_length = 0
        self._retry: asyncio.TimerHandle | None = None
        self._patience: asyncio.TimerHandle | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._closed = False

    def start(self, context_length: int) -> None:
        """Starts the process, unless it runs: prompts of more tokens are refused."""
        self._context_length = context_length
        if self._life is None and self._retry is None and not self._closed:
            self._begin_life()

    async def encode(self, prompt: Prompt) -> list[int]:
        """See ``Engine.encode``.

        Raises:
            PromptQuarantined: Two processes died of it.
            Unavailable: No process can be had.
        """
        field = "chat" if isinstance(prompt, ChatPrompt) else "prompt"
        return await self._tokens(Encode(next(self._numbers), prompt), field, prompt.size_bytes)

    async def encode_continuation(self, text: str) -> list[int]:
        """See ``Engine.encode_continuation``; raises as ``encode`` does."""
        message = EncodeContinuation(next(self._numbers), text)
        return await self._tokens(message, "continuation", len(text))

    @property
    def pid(self) -> int | None:
        """Id of the process, or None while there is none."""
        return None if self._life is None else self._life.pid

    def set_cores(self, cores: Sequence[int]) -> None:
        """Moves the process, and every later one, to these cores."""
        self._cores = tuple(cores)
        if self._life is not None and self._loaded:
            self._life.send(SetCores(self._cores))

    async def close(self) -> None:
        """Ends the process; whoever waits is told so. Idempotent."""
        self._closed = True
        self._wait_no_longer()
        if self._retry is not None:
            self._retry.cancel()
        self._fail_all(f"model {self._spec.model} is unloaded")
        life, self._life = self._life, None
        if life is not None:
            await life.close(self._limits.kill_seconds)
        await asyncio.gather(*self._ending)

    async def _tokens(
        self, message: Encode | EncodeContinuation, field: str, size: int
    ) -> list[int]:
        if self._closed:
            raise Unavailable(f"model {self._spec.model} is unloaded")
        job = _Job(message, field, size > LONG_BYTES)
        if self._quarantine:
            self._quarantine.check(field, job.key)
            job.long = job.long or self._suspected(job)
        self._lanes.add(job, job.long)
        self._pump()
        try:
            return await job.tokens
        finally:
            self._forget(job)

    def _suspected(self, job: _Job) -> bool:
        return self._quarantine.suspicion(job.key) > 0

    def _forget(self, job: _Job) -> None:
        """Whoever asked has the tokens, or has left.

        What is being encoded keeps its place until the process says that it has stopped.
        """
        waits = self._lanes.remove(job)
        if not waits and job.message.request in self._running and self._life is not None:
            self._life.send(Cancel(job.message.request))

    def _pump(self) -> None:
        """Hands over what may begin."""
        if self._life is None and self._retry is None and self._lanes:
            self._begin_life()
        while self._life is not None and self._loaded and (chosen := self._lanes.next()):
            job, _ = chosen
            self._running[job.message.request] = job
            self._life.send(job.message)
            self._watch()

    def _begin_life(self) -> None:
        self._loaded = False
        try:
            self._life = EncoderLife(
                self._command,
                self._spec,
                self._context_length,
                self._cores,
                self._on_message,
                self._on_lost,
            )
        except OSError as error:
            self._fail_to_load(f"cannot be started: {error}")
        else:
            self._watch()

    def _on_message(self, message: FromWorker) -> None:
        match message:
            case Encoded(request) | Refused(request):
                self._answered(request, message)
            case TokenizerLoaded():
                self._loaded = True
                self._failures = 0
                self._watch()
                self.set_cores(self._cores)
            case Unusable(problem):
                self._fail_all(f"model {self._spec.model}: it cannot encode: {problem}")
        self._pump()

    def _answered(self, request: int, message: Encoded | Refused) -> None:
        job = self._running.pop(request, None)
        if job is None:
            return
        self._lanes.done(job.long)
        self._watch()
        if self._quarantine:
            self._quarantine.absolve(job.key)
        if job.tokens.done():
            return
        if isinstance(message, Encoded):
            job.tokens.set_result(message.tokens)
        else:
            job.tokens.set_exception(refusal(message))

    def _on_lost(self, cause: str) -> None:
        life, self._life = self._life, None
        self._wait_no_longer()
        if life is not None:
            # Killed, it may take a moment to be gone.
            ending = asyncio.create_task(life.close(self._limits.kill_seconds))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)
        given, self._running = list(self._running.values()), {}
        if given or not self._loaded:
            _log.warning("model %s: its encoder was lost (%s)", self._spec.model, cause)
        for job in given:
            self._lanes.done(job.long)
        blamed = self._blamed(given) if is_of_the_prompt(cause) else []
        for job in reversed(given):
            self._try_again(job, cause, job in blamed)
        if self._loaded:
            self._pump()
        else:
            self._fail_to_load(cause)

    def _blamed(self, given: list[_Job]) -> list[_Job]:
        """Those that were suspected before, or else all that the process had."""
        return [job for job in given if self._suspected(job)] or given

    def _try_again(self, job: _Job, cause: str, blamed: bool) -> None:
        job.tries += 1
        if blamed and self._quarantine.blame(job.key, cause):
            _fail(job, self._quarantine.refusal(job.field, job.key))
        elif job.tokens.done():
            return
        elif job.tries >= _TRIES and not blamed:
            _fail(job, Unavailable(f"model {self._spec.model}: its encoder was lost ({cause})"))
        else:
            job.long = job.long or blamed
            self._lanes.add(job, job.long, first=True)

    def _fail_to_load(self, cause: str) -> None:
        """Tries again later; from the third time on, nobody waits for that."""
        self._failures += 1
        if self._failures >= _TRIES:
            self._fail_all(f"model {self._spec.model}: its encoder cannot be started ({cause})")
        self._retry = asyncio.get_running_loop().call_later(
            backoff_seconds(self._failures), self._begin_again
        )

    def _begin_again(self) -> None:
        self._retry = None
        self._pump()

    def _fail_all(self, message: str) -> None:
        for job in (*self._lanes.take_all(), *self._running.values()):
            _fail(job, Unavailable(message))

    def _watch(self) -> None:
        """From now on the process must answer within a while, as long as it has anything to do."""
        self._wait_no_longer()
        if (self._running or not self._loaded) and not self._closed:
            limits = self._limits
            patience = limits.step_timeout_seconds
            if not self._loaded:
                patience = min(limits.load_timeout_seconds, _LOAD_SECONDS)
            self._patience = asyncio.get_running_loop().call_later(patience, self._bark, patience)

    def _bark(self, patience: float) -> None:
        self._patience = None
        if self._life is not None:
            self._life.kill(f"stuck for {patience:.3g} s")

    def _wait_no_longer(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None


def _fail(job: _Job, error: Exception) -> None:
    if not job.tokens.done():
        job.tokens.set_exception(error)
        # Whoever asked may have left meanwhile.
        job.tokens.exception()
