"""What an engine finds out before its workers are started reaches every one of them."""

from __future__ import annotations

import os
import signal
import threading

from quorate.engines.worker import supervisor
from quorate.engines.worker.statuses import WorkerPhase
from support.hosted_engines import ready, scripted_spec, until


async def test_every_life_of_a_worker_gets_them_and_the_event_loop_does_not_wait(monkeypatch):
    threads: list[int] = []

    def prepared(engine, options):
        threads.append(threading.get_ident())
        assert (engine, options) == ("scripted", {"sessions": 3})
        return {**options, "context_length": 64 * len(threads)}

    monkeypatch.setattr(supervisor, "prepared_options", prepared)
    async with ready(scripted_spec(sessions=3)) as engine:
        assert (engine.facts.sessions, engine.facts.context_length) == (3, 64)
        os.kill(engine.worker_pid, signal.SIGKILL)
        await until(engine, WorkerPhase.RESTARTING)
        await until(engine, WorkerPhase.READY)
        assert engine.facts.context_length == 128
        assert engine.spec.options == {"sessions": 3}
    assert threading.get_ident() not in threads
