"""What an encoder does: load a tokenizer, then encode until told to stop. A thread for each prompt.

Native calls and Python code take turns among the threads, so that a long prompt costs a short one
milliseconds. What does not end by itself when its budget is spent (a template that loops, a native
call that nobody can stop) ends with the process: it is refused, and the coordinator starts another.
"""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable

from quorate.engines.encoding_budget import (
    EncodingBudget,
    EncodingCancelled,
    allowed_seconds,
    spending,
    too_slow,
)
from quorate.engines.memory_bound import hold, taken
from quorate.engines.prompt_encoding import PromptEncoder
from quorate.engines.registry import find_engine
from quorate.engines.worker.affinity import pin_all_threads
from quorate.engines.worker.answers import answer, refused
from quorate.engines.worker.claims import LONGEST_TEXT
from quorate.engines.worker.messages import (
    Cancel,
    Encode,
    EncodeContinuation,
    LoadTokenizer,
    Refused,
    SetContextLength,
    SetCores,
    Stop,
    TokenizerLoaded,
    ToWorker,
    Unusable,
)
from quorate.engines.worker.transport.worker_end import ControlChannel, CoordinatorGone
from quorate.errors import CannotRun, QuorateError
from quorate.request import ChatPrompt

# The C++ library's regular expressions take some 300 bytes of it for each character of a word. It
# is reserved, and taken only as far as it is used.
_STACK_BYTES = (512 << 20, 64 << 20, 8 << 20)
# What prompts may take together, of which the longest have some millions of characters.
_ENCODING_BYTES = 1 << 30
_LOOK_SECONDS = 0.1
_LEAVING_SECONDS = 0.5
# Beyond its budget a thread may take as much again before it counts as one that cannot be stopped.
_PATIENCE = 2.0
_THREAD_CLOCK = 6
_TID_SHIFT = 3


def serve(control: ControlChannel) -> int:
    """Runs an encoder to its end and returns the exit status."""
    try:
        encoder = _load(control)
        if encoder is not None:
            EncodeLoop(control, encoder).run()
    except CoordinatorGone:
        pass
    finally:
        control.close()
    return 0


def _load(control: ControlChannel) -> PromptEncoder | None:
    messages = control.receive(None)
    while not messages:
        messages = control.receive(None)
    (order,) = messages
    if not isinstance(order, LoadTokenizer):
        raise TypeError(f"expected the order to load a tokenizer, not {order!r}")
    pin_all_threads(order.cores)
    try:
        engine = find_engine(order.engine)
        encoder = engine.load_encoder(order.path, order.options)
    except QuorateError as error:
        problem = error.problem if isinstance(error, CannotRun) else error.message
        control.send(Unusable(problem[:LONGEST_TEXT]))
        return None
    control.send(TokenizerLoaded(encoder.identity))
    return encoder


class EncodeLoop:
    """Takes messages on the main thread and has a thread of its own serve each request.

    Args:
        encoder: May be used by many threads at once.
    """

    def __init__(self, control: ControlChannel, encoder: PromptEncoder) -> None:
        self._control = control
        self._encoder = encoder
        self._seconds = allowed_seconds(encoder.context_length)
        self._stack_bytes = 0
        self._most_bytes = 0
        self._lock = threading.Lock()
        self._running: dict[int, tuple[threading.Thread, EncodingBudget]] = {}
        self._answered: list[threading.Thread] = []

    def run(self) -> None:
        """Works until a ``Stop``, or until a thread that cannot be stopped has been given up.

        Raises:
            CoordinatorGone: The coordinator closed the channel.
        """
        self._stack_bytes = _claim_stack()
        self._most_bytes = taken() + _ENCODING_BYTES
        self._hold()
        while True:
            for message in self._control.receive(_LOOK_SECONDS if self._running else None):
                if isinstance(message, Stop):
                    os._exit(0)
                self._handle(message)
            self._look()

    def _handle(self, message: ToWorker) -> None:
        match message:
            case Encode(request, prompt):
                field = "chat" if isinstance(prompt, ChatPrompt) else "prompt"
                self._begin(request, field, lambda: self._encoder.encode(prompt))
            case EncodeContinuation(request, text):
                self._begin(
                    request, "continuation", lambda: self._encoder.encode_continuation(text)
                )
            case Cancel(request):
                with self._lock:
                    if request in self._running:
                        self._running[request][1].cancel()
            case SetContextLength(context_length):
                self._encoder.set_context_length(context_length)
                self._seconds = allowed_seconds(context_length)
            case SetCores(cores):
                pin_all_threads(cores)
            case _:
                raise TypeError(f"not expected by an encoder: {message!r}")

    def _begin(self, request: int, field: str, encode: Callable[[], list[int]]) -> None:
        budget = EncodingBudget(field, self._encoder.context_length, self._seconds)
        thread = threading.Thread(target=self._serve, args=(request, budget, encode), daemon=True)
        with self._lock:
            # Those that have answered have their stacks for a moment still, which would count.
            while self._answered:
                _see_off(self._answered.pop())
            self._running[request] = thread, budget
            self._hold()
            try:
                _start(thread)
            except RuntimeError as error:
                del self._running[request]
                self._control.send(refused(request, "Internal", field, str(error)))

    def _serve(self, request: int, budget: EncodingBudget, encode: Callable[[], list[int]]) -> None:
        try:
            with spending(budget):
                results = answer(request, encode, self._encoder.context_length)
        except EncodingCancelled:
            # Nobody reads why, but only what is answered makes room for another.
            results = [Refused(request, "Internal", budget.field, "cancelled")]
        if taken() > self._allowed - _ENCODING_BYTES // 2:
            # What a template was stopped with hangs in frames that only the collector finds.
            gc.collect()
        with self._lock:
            thread, _ = self._running.pop(request)
            self._answered.append(thread)
            self._hold()
            for result in results:
                self._control.send(result)

    def _hold(self) -> None:
        hold(self._allowed)

    @property
    def _allowed(self) -> int:
        """Bytes; every thread's stack counts as a whole, however little it takes of it."""
        return self._most_bytes + len(self._running) * self._stack_bytes

    def _look(self) -> None:
        """Refuses what goes on far beyond its budget, and ends the process where there is any."""
        with self._lock:
            overdue = [
                (request, budget)
                for request, (thread, budget) in self._running.items()
                if _cpu_seconds(thread) > _PATIENCE * budget.seconds
            ]
            for request, budget in overdue:
                error = too_slow(budget.field, budget.seconds)
                self._control.send(Refused(request, "InvalidRequest", error.field, error.problem))
            if overdue:
                # Holding the lock, so that no thread answers in between; the rest is asked again.
                os._exit(0)


def _claim_stack() -> int:
    """Gives the threads that begin from now on as much stack as can be had; returns its bytes."""
    for size in _STACK_BYTES:
        threading.stack_size(size)
        try:
            trial = threading.Thread(target=int)
            trial.start()
        except RuntimeError:
            continue
        trial.join()
        return size
    return 0


def _see_off(thread: threading.Thread) -> None:
    """Waits for a thread that is about to end, until the kernel is done with it too.

    Python's ``join`` returns before that, and a stack that is still stood on is not used again.
    """
    thread.join()
    deadline = time.monotonic() + _LEAVING_SECONDS
    while os.path.exists(f"/proc/self/task/{thread.native_id}") and time.monotonic() < deadline:
        time.sleep(0.001)


def _start(thread: threading.Thread) -> None:
    """Starts a thread, once more without what hangs in cycles where its stack cannot be had.

    Raises:
        RuntimeError: There is no room for its stack.
    """
    try:
        thread.start()
    except RuntimeError:
        gc.collect()
        thread.start()


def _cpu_seconds(thread: threading.Thread) -> float:
    """CPU time of a thread; 0 where it has ended or not begun.

    Named as Linux names the clocks of threads, by their ids; the one that POSIX gives for a thread
    may not be asked for once that has ended.
    """
    if thread.native_id is None:
        return 0.0
    try:
        return time.clock_gettime((~thread.native_id << _TID_SHIFT) | _THREAD_CLOCK)
    except OSError:
        return 0.0
