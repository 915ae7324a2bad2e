"""What a guide does: it follows grammars over the symbols of one vocabulary until nobody asks.

One look after the other: each takes some microseconds, and milliseconds at most, by the limits of
the library.
"""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper

from quorate.engines.memory_bound import hold, taken
from quorate.engines.vocabulary import Vocabulary
from quorate.guides.frames import (
    LONGEST_FRAME,
    LONGEST_PROBLEM,
    Flag,
    Frame,
    FrameBuffer,
    Kind,
    Look,
    constraint_from_bytes,
    pack,
)
from quorate.guides.grammars import LIMITS, BrokenPattern, grammar_of, place_of_problem
from quorate.request.constraints import ConstraintKind

_READ_BYTES = 1 << 16
STACK_BYTES = 256 << 20
"""Of each thread: grammars are read by recursion, rule by rule."""

# Of all grammars and what their parsers come to, beside the vocabulary and the stack of the thread
# that compiles them, which begins with the first.
_GRAMMAR_BYTES = 1 << 30
# Lines that show a place, with an arrow below.
_EXCERPT = re.compile(r"^\s*(?:\d+ \|.*|[\^~ ]+)$", re.MULTILINE)
_NO_SYMBOL = ("NoExtension", "NoExtensionBias")
# Below so many symbols finding those that cannot matter takes longer than looking at them.
_WORTH_SLICES = 4096


def serve(connection: socket.socket) -> int:
    """Serves until the other end is closed; returns the exit status."""
    frames = FrameBuffer(LONGEST_FRAME)
    sending = threading.Lock()
    guide: Guide | None = None

    def send(answer: bytes) -> None:
        with sending:
            connection.sendall(answer)

    while data := connection.recv(_READ_BYTES):
        for frame in frames.push(data):
            if frame.kind is Kind.VOCABULARY:
                guide = Guide(Vocabulary.from_bytes(frame.body), send)
                hold(taken() + STACK_BYTES + _GRAMMAR_BYTES)
                send(pack(Kind.READY))
            elif guide is not None:
                guide.take(frame)
    return 0


class Guide:
    """Answers frames.

    Grammars are compiled on a thread, which does not keep the interpreter, so that answers that are
    on their way do not wait for one that begins.

    Args:
        vocabulary: What is sampled: symbols and their bytes.
        send: Sends an answer; from any thread.
    """

    def __init__(self, vocabulary: Vocabulary, send: Callable[[bytes], None]) -> None:
        ends = sorted(vocabulary.end_of_generation)
        wrapped = TokenizerWrapper(_Symbols(vocabulary.pieces, ends))
        slices: list[str] | None = None if len(vocabulary) > _WORTH_SLICES else []
        self._tokenizer = LLTokenizer(wrapped, eos_token=ends or None, slices=slices)
        self._send = send
        self._lock = threading.Lock()
        self._matchers: dict[int, LLMatcher] = {}
        self._opening: set[int] = set()
        self._compiler = ThreadPoolExecutor(1)

    def take(self, frame: Frame) -> None:
        """Answers a frame, now or once its grammar is compiled."""
        match frame.kind:
            case Kind.OPEN:
                self._opening.add(frame.number)
                self._compiler.submit(self._open, frame)
            case Kind.LOOK:
                look = Look.from_bytes(frame.body)
                flag, body = self._look(look)
                self._send(pack(Kind.SEEN, frame.number, bytes((flag,)), body))
            case Kind.CLOSE:
                with self._lock:
                    self._matchers.pop(frame.number, None)
                    # One that is being compiled is not kept.
                    self._opening.discard(frame.number)

    def _look(self, look: Look) -> tuple[Flag, bytes]:
        matcher = self._matchers.get(look.session)
        if matcher is None:
            return Flag.BROKEN, b"it is not open"
        return _seen(matcher, look)

    def _open(self, frame: Frame) -> None:
        constraint = constraint_from_bytes(frame.body)
        try:
            found = self._compiled(constraint.kind, constraint.text)
        except MemoryError:
            found = "it takes too much memory"
        except BaseException as error:
            # The library's own panics are no exceptions of Python's.
            found = str(error)
        with self._lock:
            wanted = frame.number in self._opening
            self._opening.discard(frame.number)
            if wanted and not isinstance(found, str):
                self._matchers[frame.number] = found
        if isinstance(found, str):
            self._send(pack(Kind.REFUSED, frame.number, _body(found)))
        else:
            self._send(pack(Kind.OPENED, frame.number))

    def _compiled(self, kind: ConstraintKind, text: str) -> LLMatcher | str:
        """A matcher, or what is wrong."""
        try:
            grammar = grammar_of(kind, text)
        except BrokenPattern:
            return _placed(text)
        except (ValueError, RecursionError) as error:
            return str(error)
        matcher = LLMatcher(self._tokenizer, grammar, limits=LIMITS, log_level=0)
        if not matcher.is_error():
            return matcher
        if kind is ConstraintKind.JSON_SCHEMA:
            return _placed(text)
        problem: str = matcher.get_error()
        # Places in it are those of a grammar around the expression.
        return problem if kind is ConstraintKind.GRAMMAR else problem.rpartition("error: ")[2]


def _seen(matcher: LLMatcher, look: Look) -> tuple[Flag, bytes]:
    if look.accepted and not matcher.is_error():
        matcher.consume_tokens([*look.accepted])
    if matcher.is_error():
        return Flag.BROKEN, _body(matcher.get_error())
    if not look.path:
        return _allowed(matcher)
    # Whatever comes of it, the answer itself goes on from where it is.
    guessed = matcher.deep_copy()
    if guessed.try_consume_tokens([*look.path]) < len(look.path):
        return Flag.IMPOSSIBLE, b""
    return _allowed(guessed)


def _allowed(matcher: LLMatcher) -> tuple[Flag, bytes]:
    if matcher.is_stopped() and not matcher.is_error():
        return Flag.COMPLETE, b""
    mask = matcher.compute_bitmask()
    if matcher.is_error():
        if _told(matcher.get_error()) in _NO_SYMBOL:
            return Flag.NOTHING, b""
        return Flag.BROKEN, _body(matcher.get_error())
    return Flag.NOTHING, mask


class _Symbols:
    """Symbols as ``TokenizerWrapper`` reads them."""

    bos_token_id = None
    special_token_ids: Sequence[int] = ()

    def __init__(self, pieces: Sequence[bytes], ends: Sequence[int]) -> None:
        self.tokens = [*pieces]
        self.eos_token_id = ends[0] if ends else None

    def __call__(self, text: bytes) -> list[int]:
        """Asked where a text is forced, which no grammar of ours does."""
        raise NotImplementedError


def _placed(text: str) -> str:
    """What is wrong with a schema, behind the place where it is."""

    def problem_of(schema: object) -> str:
        try:
            grammar = grammar_of(ConstraintKind.JSON_SCHEMA, json.dumps(schema))
        except ValueError as error:
            return str(error)
        problem: str = LLMatcher.validate_grammar(grammar, limits=LIMITS)
        return "" if problem.startswith("WARNING") else problem

    place, problem = place_of_problem(json.loads(text), problem_of)
    return f"at {place}: {problem}" if place else problem


def _body(problem: str) -> bytes:
    return _told(problem).encode(errors="replace")[:LONGEST_PROBLEM]


def _told(problem: str) -> str:
    """What the library says in one line, without excerpts and what is for its own developers."""
    if problem.startswith("panic"):
        return "the grammar cannot be read; write it in another way"
    told = _EXCERPT.sub("", problem.replace("<non-verbose/>", ""))
    return " ".join(told.split()) or "the grammar cannot be followed"
