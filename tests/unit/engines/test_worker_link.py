from __future__ import annotations

import asyncio
import errno
import socket
import threading

import pytest

from quorate.engines.worker.messages import FROM_WORKER, Completed, Feed, Progress, Stop
from quorate.engines.worker.transport.link import WorkerLink
from quorate.engines.worker.transport.worker_end import ControlChannel, CoordinatorGone


class Ends:
    """A link and the worker's end of it."""

    def __init__(self) -> None:
        ours, self.theirs = socket.socketpair()
        self.received: asyncio.Queue[object] = asyncio.Queue()
        self.unreadable: asyncio.Queue[str] = asyncio.Queue()
        self.link = WorkerLink(ours, self.received.put_nowait, self.unreadable.put_nowait)


@pytest.fixture
async def ends():
    ends = Ends()
    yield ends
    ends.link.close()
    ends.theirs.close()


async def test_messages_arrive_in_order_also_in_pieces(ends):
    data = FROM_WORKER.encode(Progress(0.5)) + FROM_WORKER.encode(Completed([[1, 0]]))
    ends.theirs.send(data[:5])
    ends.theirs.send(data[5:])

    assert await ends.received.get() == Progress(0.5)
    assert await ends.received.get() == Completed([[1, 0]])


async def test_what_the_worker_does_not_read_yet_is_kept_and_never_blocks(ends):
    prompts = [Feed(number, [number] * 5000) for number in range(200)]
    for prompt in prompts:
        ends.link.send(prompt)
    ends.link.send(Stop())

    channel = ControlChannel(ends.theirs.detach())
    received: list[object] = []

    def read() -> None:
        while len(received) < 201:
            received.extend(channel.receive(None))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    await asyncio.to_thread(reader.join, 30)

    channel.close()
    assert received == [*prompts, Stop()]


@pytest.mark.parametrize("missing", [errno.ENOBUFS, errno.ENOMEM])
async def test_what_the_kernel_has_no_memory_for_is_sent_and_heard_later(missing):
    class Scarce(socket.socket):
        lacks = 3

        def _tried(self) -> None:
            if self.lacks:
                self.lacks -= 1
                raise OSError(missing, "no memory")

        def send(self, *arguments):
            self._tried()
            return super().send(*arguments)

        def recv(self, *arguments):
            self._tried()
            return super().recv(*arguments)

    ours, theirs = socket.socketpair()
    received: asyncio.Queue[object] = asyncio.Queue()
    link = WorkerLink(Scarce(fileno=ours.detach()), received.put_nowait, received.put_nowait)
    channel = ControlChannel(theirs.detach())
    link.send(Stop())
    assert await asyncio.to_thread(channel.receive, 30) == [Stop()]
    Scarce.lacks = 3
    channel.send(Progress(0.5))
    assert await received.get() == Progress(0.5)
    link.close()
    channel.close()


async def test_an_unreadable_line_is_reported_not_raised(ends):
    ends.theirs.send(b"hello\n")

    assert "unreadable message b'hello'" in await ends.unreadable.get()


async def test_sending_to_a_worker_that_is_gone_is_harmless(ends):
    ends.theirs.close()
    ends.link.send(Stop())
    ends.link.close()
    ends.link.send(Stop())
    ends.link.close()


async def test_last_words_are_heard_when_drained(ends):
    ends.theirs.send(FROM_WORKER.encode(Progress(1.0)))
    ends.theirs.close()
    ends.link.drain()

    assert ends.received.get_nowait() == Progress(1.0)


async def test_a_worker_learns_that_its_coordinator_is_gone(ends):
    channel = ControlChannel(ends.theirs.detach())
    assert channel.receive(0) == []
    assert channel.receive(0.001) == []

    ends.link.close()

    with pytest.raises(CoordinatorGone):
        channel.receive(None)
    with pytest.raises(CoordinatorGone):
        channel.send(Progress(1.0))
    channel.close()
