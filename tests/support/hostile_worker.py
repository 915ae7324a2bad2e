"""A worker that keeps to the protocol until it lies: a real process, run as a program.

It serves a scripted model as any worker does. Instead of one message of its own, the first of some
kind, it says what the lie of its first argument says; what a lie leaves unsaid it answers rightly.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from quorate.engines import sealed_memory
from quorate.engines.worker import serving
from quorate.engines.worker.messages import FROM_WORKER, FromWorker
from quorate.engines.worker.transport import worker_end
from quorate.engines.worker.worker import main

Say = Callable[["LyingChannel", Any], "Iterator[bytes]"]


def command(lie: str) -> list[str]:
    """Program and first arguments of a worker that tells this lie."""
    return [sys.executable, str(Path(__file__)), lie]


class LyingChannel(worker_end.ControlChannel):
    """Says what it is told, but for the lie."""

    rows: Any = None
    lied = False

    def send(self, message: FromWorker) -> None:
        """Sends a message, or the lie in its place."""
        kind, say, *repeats = LIES[LIE]
        if type(message).__name__ != kind or (self.lied and not repeats):
            super().send(message)
            return
        self.lied = True
        for data in say(self, message):
            self._socket.sendall(data)


class LyingMemories(worker_end.SharedMemories):
    """Shares what it should, but for the lie."""

    def share(self, sessions: int, vocabulary: Any, block_rows: int) -> Any:
        """Sizes and fills the memories; notes the rows for the lie."""
        if LIE == "a vocabulary of rubbish":
            sealed_memory.write(self._vocabulary, b"QVOC" + b"\xff" * 4096)
        elif LIE == "a vocabulary of a gigabyte":
            sealed_memory.seal(self._vocabulary, 1 << 30)
        elif LIE == "a vocabulary that may still change":
            self._vocabulary = sealed_memory.create("mine")
        elif LIE == "rows of another size":
            sealed_memory.seal(self._rows, 4096)
            self._rows = sealed_memory.create("mine")
        LyingChannel.rows = (
            super().share(sessions, vocabulary, block_rows)
            if LIE not in _SHARED
            else (worker_end.RowsWriter(self._rows, sessions, len(vocabulary), block_rows))
        )
        return LyingChannel.rows


_SHARED = ("a vocabulary of rubbish", "a vocabulary of a gigabyte")


def _raw(*lines: bytes) -> Say:
    return lambda channel, message: iter(line + b"\n" for line in lines)


def _and_then(*lines: bytes) -> Say:
    """The truth first."""
    return lambda channel, message: iter(
        (FROM_WORKER.encode(message), *(line + b"\n" for line in lines))
    )


def _for_ever(data: bytes) -> Say:
    def say(channel: LyingChannel, message: Any) -> Iterator[bytes]:
        while True:
            yield data

    return say


def _loaded(**other: Any) -> Say:
    """The facts of the model, with some changed by their names."""

    def say(channel: LyingChannel, message: Any) -> Iterator[bytes]:
        text = FROM_WORKER.encode(message)
        for name, value in other.items():
            told = getattr(message.facts, name, None)
            told = message.vocabulary_size if name == "vocabulary_size" else told
            assert str(told).encode() in text, (name, told)
            text = text.replace(b"%d" % told, str(value).encode(), 1)
        yield text

    return say


def _row(value: float) -> Say:
    def say(channel: LyingChannel, message: Any) -> Iterator[bytes]:
        channel.rows.all_rows[:] = np.float32(value)
        yield FROM_WORKER.encode(message)

    return say


def _of_the_session(line: bytes) -> Say:
    """``%d`` in it is the session that was fed."""
    return lambda channel, message: iter((line % message.feeds[0][0] + b"\n",))


def _print_for_ever(text: str) -> Say:
    def say(channel: LyingChannel, message: Any) -> Iterator[bytes]:
        yield FROM_WORKER.encode(message)
        for _ in range(200_000):
            sys.stderr.write(text)

    return say


LOADING: dict[str, tuple[Any, ...]] = {
    "a line without end": ("Loaded", _for_ever(b"x" * 65536)),
    "a long line with an end": ("Loaded", _raw(b'["loaded",' + b" " * 200_000 + b"]")),
    "brackets in brackets": ("Loaded", _raw(b"[" * 16_000)),
    "brackets in a message": (
        "Loaded",
        _raw(b'["progress",' + b"[" * 8_000 + b"]" * 8_000 + b"]"),
    ),
    "nothing": ("Loaded", _for_ever(b"\n" * 4096)),
    "no message": ("Loaded", _raw(b"\x1b[2J hello \xff")),
    "a message that is none": ("Loaded", _raw(b'["hello",1]')),
    "an object": ("Loaded", _raw(b'{"loaded":1}')),
    "an order": ("Loaded", _raw(b'["stop"]')),
    "facts of the wrong types": ("Loaded", _raw(b'["loaded",5,"x"]')),
    "thirty million sessions": ("Loaded", _loaded(sessions=30_000_000)),
    "a vocabulary of any size": ("Loaded", _loaded(vocabulary_size=10**12)),
    "a number of 4,000 digits": ("Loaded", _loaded(vocabulary_size="9" * 4000)),
    "a number of 5,000 digits": ("Loaded", _loaded(vocabulary_size="9" * 5000)),
    "a context of less than nothing": ("Loaded", _loaded(context_length=-5)),
    "more loaded than there is": ("Loaded", _raw(b'["progress",7.0]')),
    "progress that is no number": ("Loaded", _raw(b'["progress",NaN]')),
    "progress without end": ("Loaded", _for_ever(b'["progress",0.5]\n' * 4096)),
    "a tokenizer": ("Loaded", _raw(b'["tokenizer_loaded","x"]')),
    "tokens before there is anything": ("Loaded", _raw(b'["encoded",0,[1]]')),
    "an answer before there is anything": ("Loaded", _raw(b'["completed",[[0,0]]]')),
    "to have loaded twice": (
        "Loaded",
        lambda channel, message: iter([FROM_WORKER.encode(message)] * 2),
    ),
    "a vocabulary of rubbish": ("", _raw()),
    "a vocabulary of a gigabyte": ("", _raw()),
    "a vocabulary that may still change": ("", _raw()),
    "rows of another size": ("", _raw()),
}
"""Lies before a model is ready, with the message that they stand for."""

FEEDING: dict[str, tuple[Any, ...]] = {
    "another session": ("Completed", _raw(b'["completed",[[999,0]]]')),
    "an answer twice": ("Completed", _of_the_session(b'["completed",[[%d,0],[0,0]]]')),
    "a session that is true": ("Completed", _raw(b'["completed",[[false,0]]]')),
    "a session that is a text": ("Completed", _raw(b'["completed",[["0",0]]]')),
    "a session that is a list": ("Completed", _raw(b'["completed",[[[0],0]]]')),
    "a feed of one number": ("Completed", _of_the_session(b'["completed",[[%d]]]')),
    "more cached than was fed": ("Completed", _of_the_session(b'["completed",[[%d,1000000]]]')),
    "less cached than nothing": ("Completed", _of_the_session(b'["completed",[[%d,-1]]]')),
    "a score": ("Completed", _of_the_session(b'["scored",%d,[-1.0]]')),
    "a sample": ("Completed", _of_the_session(b'["sampled",[[%d,[],false,0]]]')),
    "tokens": ("Completed", _raw(b'["encoded",77,[1]]')),
    "to be unusable": ("Completed", _raw(b'["unusable","so there"]')),
    "rows that are no numbers": ("Completed", _row(float("nan")), "always"),
    "rows above certainty": ("Completed", _row(float("inf")), "always"),
    "rows of nothing": ("Completed", _row(float("-inf")), "always"),
    "nothing, again and again": ("Completed", _for_ever(b'["completed",[]]\n')),
    "answers without end": ("Completed", _and_then(*[b'["completed",[[0,0]]]'] * 10_000)),
}
"""Lies in place of the row of a session that was fed."""

ENCODING: dict[str, tuple[Any, ...]] = {
    "a token that there is not": ("Encoded", _raw(b'["encoded",0,[1000000000]]')),
    "a token below all": ("Encoded", _raw(b'["encoded",0,[-1]]')),
    "a token that is a text": ("Encoded", _raw(b'["encoded",0,["1"]]')),
    "a token that is a fraction": ("Encoded", _raw(b'["encoded",0,[1.5]]')),
    "another prompt's tokens": ("Encoded", _raw(b'["encoded",5,[1]]')),
    "empty parts without end": ("Encoded", _for_ever(b'["encoded_part",0,[]]\n')),
    "parts without end": (
        "Encoded",
        _for_ever(b'["encoded_part",0,' + str([1] * 500).encode() + b"]\n"),
    ),
}
"""Lies in place of the tokens of a prompt."""

SCORING: dict[str, tuple[Any, ...]] = {
    "scores that are no numbers": ("Scored", _raw(b'["scored",0,[NaN,NaN,NaN]]')),
    "scores above certainty": ("Scored", _raw(b'["scored",0,[0.0,5.0,0.0]]')),
    "too few scores": ("Scored", _raw(b'["scored",0,[-1.0]]')),
    "too many scores": ("Scored", _raw(b'["scored",0,' + str([-1.0] * 500).encode() + b"]")),
    "scores without end": ("Scored", _for_ever(b'["scored_part",0,[-1.0]]\n')),
}
"""Lies in place of the log-probs of a text of four tokens."""

NOISE: dict[str, tuple[Any, ...]] = {
    "prints without end": ("Completed", _print_for_ever("nothing to see\n")),
    "empty lines without end": ("Completed", _print_for_ever("\n" * 100)),
    "warnings without end": ("Completed", _print_for_ever("quorate warns: \x1b[31mfire\n")),
}
"""What is no lie, and must cost nobody anything."""

LIES = {**LOADING, **FEEDING, **ENCODING, **SCORING, **NOISE}
LIE = ""


if __name__ == "__main__":
    LIE = sys.argv.pop(1)
    worker_end.ControlChannel = LyingChannel  # type: ignore[misc]
    worker_end.SharedMemories = LyingMemories  # type: ignore[misc]
    serving.find_engine("scripted")
    sys.exit(main())
