from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from quorate.cli.unblocked import QUEUED_BYTES, UnblockedStream, unblocked_streams

DEADLINE_SECONDS = 20.0
LINE = "x" * 99 + "\n"


class Unread:
    """A pipe whose reader has stopped, with no room left in it."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()
        os.set_blocking(self.write_end, False)
        self.filled = 0
        try:
            while True:
                self.filled += os.write(self.write_end, b"\0" * 4096)
        except BlockingIOError:
            os.set_blocking(self.write_end, True)

    def read_lines(self, until: str) -> list[str]:
        """Reads on, and returns what came behind the filling, up to a line that has ``until``."""
        data = b""
        while until.encode() not in data or not data.endswith(b"\n"):
            chunk = os.read(self.read_end, 1 << 16)
            assert chunk, data[-200:]
            skipped = min(self.filled, len(chunk))
            self.filled -= skipped
            data += chunk[skipped:]
        return data.decode().splitlines()


@contextmanager
def unread_stream() -> Iterator[tuple[Unread, UnblockedStream]]:
    pipe = Unread()
    stream = UnblockedStream(os.dup(pipe.write_end), io.StringIO())
    try:
        yield pipe, stream
    finally:
        os.close(pipe.read_end)
        stream.end()
        os.close(pipe.write_end)


def test_what_nobody_reads_is_kept_as_far_as_there_is_room_then_dropped_and_counted() -> None:
    lines = 2 * QUEUED_BYTES // len(LINE)
    with unread_stream() as (pipe, stream):
        for index in range(lines):
            stream.write(f"{index:09} {LINE[10:]}")
        read = pipe.read_lines(until="dropped")
        kept = [int(line.split()[0]) for line in read[:-1]]
        assert kept == list(range(len(kept)))
        assert len(kept) >= QUEUED_BYTES // len(LINE)
        dropped = lines - len(kept)
        assert read[-1] == f"quorate: {dropped} lines were dropped here, since nobody read them"
        stream.write("all is well again\n")
        assert pipe.read_lines(until="again")[-1] == "all is well again"


def test_the_end_gives_up_on_a_reader_that_has_stopped() -> None:
    with unread_stream() as (_, stream):
        stream.write(LINE)
        ended = threading.Event()
        threading.Thread(target=lambda: (stream.end(0.01), ended.set())).start()
        assert ended.wait(DEADLINE_SECONDS)


def test_lines_of_several_threads_do_not_mix_and_the_rest_comes_at_the_end() -> None:
    read_end, write_end = os.pipe()
    stream = UnblockedStream(write_end, io.StringIO())
    threads = [
        threading.Thread(
            target=lambda name=name: [stream.write(f"{name * 50}\n") for _ in range(9)]
        )
        for name in "ab"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stream.write("unfinished")
    stream.end(DEADLINE_SECONDS)
    with open(read_end) as file:
        lines = file.read().splitlines()
    assert sorted(lines) == ["a" * 50] * 9 + ["b" * 50] * 9 + ["unfinished"]


def test_a_reader_that_has_gone_stops_nobody() -> None:
    read_end, write_end = os.pipe()
    stream = UnblockedStream(write_end, io.StringIO())
    os.close(read_end)
    for _ in range(100):
        stream.write(LINE)
    stream.end(DEADLINE_SECONDS)


def test_a_full_disk_is_written_again_once_it_has_room(monkeypatch: pytest.MonkeyPatch) -> None:
    full, told = threading.Event(), threading.Event()
    written: list[bytes] = []

    def write(descriptor: int, data: bytes) -> int:
        if not full.is_set():
            full.set()
            raise OSError(errno.ENOSPC, "no space left")
        written.append(bytes(data))
        told.set()
        return len(data)

    monkeypatch.setattr("quorate.cli.unblocked._RETRY_SECONDS", 0.0)
    monkeypatch.setattr("quorate.cli.unblocked.os.write", write)
    stream = UnblockedStream(os.open(os.devnull, os.O_WRONLY), io.StringIO())
    stream.write("one\ntwo\n")
    assert told.wait(DEADLINE_SECONDS)
    stream.end(DEADLINE_SECONDS)
    assert written == [b"quorate: 2 lines were dropped here, since nobody read them\n"]


def test_streams_without_a_descriptor_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = io.StringIO()
    monkeypatch.setattr(sys, "stdout", memory)
    with unblocked_streams():
        assert sys.stdout is memory
    assert sys.stdout is memory


PROGRAM = """
import os, sys, threading
from quorate.cli.unblocked import unblocked_streams
outside = sys.stderr
with unblocked_streams():
    print("printed", file=sys.stderr)
    try:
        os.write(2, b"by a library")
        told = "written"
    except BlockingIOError:
        told = "no room"
    print(told, os.get_blocking(int(sys.argv[1])))
assert sys.stderr is outside
"""


def test_libraries_that_write_to_a_full_pipe_themselves_do_not_block_either() -> None:
    pipe = Unread()
    try:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(pipe.write_end)],
            stdout=subprocess.PIPE,
            stderr=pipe.write_end,
            pass_fds=[pipe.write_end],
            timeout=DEADLINE_SECONDS,
            check=True,
        )
    finally:
        os.close(pipe.read_end)
        os.close(pipe.write_end)
    # Others that hold the same pipe are not changed.
    assert done.stdout == b"no room True\n"
