"""Turns prompts into tokens for one model, in a process that may die of them."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Sequence

from quorate.engines.confinement.plan import Isolation
from quorate.engines.quarantine import ANOTHER_FILE, Quarantine, is_of_the_prompt
from quorate.engines.spec import EngineSpec
from quorate.engines.worker.claims import (
    LONGEST_TEXT,
    MOST_VOCABULARY,
    OutOfTurn,
    check_tokens,
    clean,
    most_prompt_tokens,
    told,
)
from quorate.engines.worker.encoder.job import Job
from quorate.engines.worker.encoder.lanes import LONG_BYTES, Lane, Lanes
from quorate.engines.worker.encoder.life import ENCODER_COMMAND, EncoderLife
from quorate.engines.worker.encodings import add_part, refusal
from quorate.engines.worker.limits import WorkerLimits
from quorate.engines.worker.messages import (
    TO_WORKER,
    Cancel,
    Encode,
    EncodeContinuation,
    Encoded,
    EncodedPart,
    FromWorker,
    Refused,
    SetContextLength,
    SetCores,
    TokenizerLoaded,
    Unusable,
)
from quorate.engines.worker.restarts import backoff_seconds
from quorate.errors import Unavailable
from quorate.request import ChatPrompt, Prompt
from quorate.threads import beside_loop

_log = logging.getLogger(__name__)

_TRIES = 3
# What is longer takes milliseconds to be written as JSON.
_WRITTEN_AT_ONCE_BYTES = 1 << 18
# A vocabulary is loaded in seconds, with the slowest of libraries on a busy machine in a minute.
_LOAD_SECONDS = 180.0


class Encoder:
    """The encoder of one model through all the lives of its process.

    A process that ends is replaced. What it had been given goes to the next one, alone where it may
    have been the cause; a prompt that was it twice is refused. Workers notice nothing of it. It
    loads beside its worker, and encodes once it is known to have loaded the same.

    Args:
        cores: Processor cores of the model.
        command: The program of the process and its first arguments.
        isolation: What the configuration says of the process.
    """

    def __init__(
        self,
        spec: EngineSpec,
        cores: Sequence[int],
        limits: WorkerLimits,
        command: Sequence[str] = ENCODER_COMMAND,
        isolation: Isolation | None = None,
    ) -> None:
        self._spec = spec
        self._cores = tuple(cores)
        self._limits = limits
        self._command = command
        self._isolation = isolation or Isolation()
        self._quarantine = Quarantine(spec.model)
        self._numbers = itertools.count()
        self._lanes: Lanes[Job] = Lanes()
        self._running: dict[int, Job] = {}
        self._life: EncoderLife | None = None
        self._loaded: TokenizerLoaded | None = None
        self._failures = 0
        self._proven = False
        self._context_length = 0
        self._identity = ""
        self._vocabulary_size = MOST_VOCABULARY
        self._retry: asyncio.TimerHandle | None = None
        self._patience: asyncio.TimerHandle | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._closed = False

    def start(self) -> None:
        """Starts the process, unless it runs; what it is given waits for ``belong_to``."""
        if self._life is None and self._retry is None and not self._closed:
            self._begin_life()

    def belong_to(
        self, context_length: int, identity: str, vocabulary_size: int = MOST_VOCABULARY
    ) -> None:
        """Encodes from now on for a worker with such a context, which loaded this model.

        Args:
            context_length: Prompts of more tokens are refused.
            vocabulary_size: There are no other tokens.
            identity: ``PromptEncoder.identity`` of what the worker loaded. A process that found
                another file in its place is replaced.
        """
        self._vocabulary_size = vocabulary_size
        if (context_length, identity) != (self._context_length, self._identity):
            self._context_length, self._identity = context_length, identity
            self._settle()
            self._pump()

    async def encode(self, prompt: Prompt) -> list[int]:
        """See ``Engine.encode``.

        Raises:
            PromptQuarantined: Two processes died of it.
            Unavailable: No process can be had.
        """
        field = "chat" if isinstance(prompt, ChatPrompt) else "prompt"
        return await self._tokens(Encode(next(self._numbers), prompt), field, prompt.token_bound)

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
        if self._life is not None and self._loaded is not None:
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
        job = Job(message, field, Lane.LONG if size > LONG_BYTES else Lane.SHORT)
        if size > _WRITTEN_AT_ONCE_BYTES:
            job.line = await beside_loop(TO_WORKER.encode_large, message)
            if self._quarantine:
                await beside_loop(getattr, job, "key")
        if self._closed:
            raise Unavailable(f"model {self._spec.model} is unloaded")
        if self._quarantine:
            self._quarantine.check(field, job.key)
            if self._quarantine.suspicion(job.key):
                job.lane = Lane.ALONE
        self._lanes.add(job, job.lane)
        self._pump()
        try:
            return await job.tokens
        finally:
            self._forget(job)

    def _forget(self, job: Job) -> None:
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
        while self._life is not None and self._fits and (job := self._lanes.next()) is not None:
            self._running[job.message.request] = job
            self._life.send(job.line or job.message)
            self._watch()

    @property
    def _fits(self) -> bool:
        """Whether the process has loaded what the worker has."""
        return self._loaded is not None and self._loaded.identity == self._identity

    def _settle(self) -> None:
        """Compares what the process has loaded with what it should have, once both are known."""
        if self._life is None or self._loaded is None or not self._identity:
            return
        if self._fits:
            self._life.send(SetContextLength(self._context_length))
        else:
            self._loaded = None
            self._life.kill(ANOTHER_FILE)

    def _begin_life(self) -> None:
        self._loaded = None
        self._proven = False
        try:
            self._life = EncoderLife(
                self._command,
                self._isolation,
                self._spec,
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
            case EncodedPart(request) | Encoded(request) | Refused(request):
                self._answered(request, message)
            case TokenizerLoaded(identity):
                if self._loaded is not None or len(identity) > LONGEST_TEXT:
                    raise OutOfTurn("a tokenizer that was loaded before, or has no short name")
                self._loaded = message
                self._watch()
                self.set_cores(self._cores)
                self._settle()
            case Unusable(problem):
                if self._loaded is not None:
                    raise OutOfTurn("Unusable after it had loaded")
                self._fail_all(f"model {self._spec.model}: it cannot encode: {clean(problem)}")
            case _:
                raise OutOfTurn(f"{type(message).__name__}, which is for workers")
        self._pump()

    def _answered(self, request: int, message: EncodedPart | Encoded | Refused) -> None:
        job = self._running.get(request)
        if job is None:
            raise OutOfTurn(f"tokens of request {request}, which nobody asked for")
        if not isinstance(message, Refused):
            check_tokens(message.tokens, self._vocabulary_size)
            add_part(job.parts, message, most_prompt_tokens(self._context_length))
        if isinstance(message, EncodedPart):
            return
        del self._running[request]
        self._proven, self._failures = True, 0
        self._lanes.done(job.lane)
        self._watch()
        if self._quarantine:
            self._quarantine.absolve(job.key)
        if job.tokens.done():
            return
        if isinstance(message, Encoded):
            job.tokens.set_result(job.parts)
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
        # Before the worker has loaded, whatever is wrong is told of that.
        if given or (self._loaded is None and self._identity):
            _log.warning("model %s: its encoder %s", self._spec.model, told(cause))
        for job in given:
            self._lanes.done(job.lane)
        blamed = is_of_the_prompt(cause)
        for job in reversed(given):
            self._try_again(job, cause, blamed)
        if given or self._proven:
            # At once, so that the next prompt need not wait for it.
            self._begin_life()
            self._pump()
        else:
            self._fail_to_load(cause)

    def _try_again(self, job: Job, cause: str, blamed: bool) -> None:
        job.tries += 1
        job.parts = []
        if blamed and self._quarantine.blame(job.key, cause):
            job.fail(self._quarantine.refusal(job.field, job.key))
        elif job.tokens.done():
            return
        elif job.tries >= _TRIES and not blamed:
            job.fail(Unavailable(f"model {self._spec.model}: its encoder was lost ({cause})"))
        else:
            job.lane = Lane.ALONE if blamed else job.lane
            self._lanes.add(job, job.lane, first=True)

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
            job.fail(Unavailable(message))

    def _watch(self) -> None:
        """From now on the process must answer within a while, as long as it has anything to do."""
        self._wait_no_longer()
        if (self._running or self._loaded is None) and not self._closed:
            limits = self._limits
            patience = limits.step_timeout_seconds
            if self._loaded is None:
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
