from __future__ import annotations

import asyncio

from quorate.engines.worker.statuses import StatusBoard, WorkerPhase, WorkerStatus


async def test_a_watcher_sees_the_current_status_every_change_and_the_end():
    board = StatusBoard()
    seen: asyncio.Queue[WorkerStatus] = asyncio.Queue()

    async def watch():
        async for status in board.watch():
            seen.put_nowait(status)

    watcher = asyncio.create_task(watch())
    posted = [
        WorkerStatus(WorkerPhase.STARTING, progress=0.5),
        WorkerStatus(WorkerPhase.READY),
        WorkerStatus(WorkerPhase.STOPPED),
    ]
    assert (await seen.get()).phase is WorkerPhase.STARTING
    for status in posted:
        board.post(status)
        assert await seen.get() is status
    await watcher


async def test_a_slow_watcher_gets_the_latest_status_only():
    board = StatusBoard()
    watcher = board.watch()
    await anext(watcher)

    board.post(WorkerStatus(WorkerPhase.STARTING, progress=0.5))
    board.post(WorkerStatus(WorkerPhase.READY))

    assert (await anext(watcher)).phase is WorkerPhase.READY
