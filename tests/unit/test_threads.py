from __future__ import annotations

import asyncio
import threading

import pytest

from quorate.engines.worker.beside import beside_streams
from quorate.engines.worker.messages import TO_WORKER, Encode
from quorate.request import TextPrompt


async def test_work_is_done_on_a_thread() -> None:
    assert await beside_streams(threading.get_ident) != threading.get_ident()


async def test_a_prompt_is_written_although_no_thread_can_be_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    message = Encode(1, TextPrompt("x" * 1000))
    with monkeypatch.context() as without_threads:
        without_threads.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start"):
            await asyncio.to_thread(int)
        line = await beside_streams(TO_WORKER.encode, message)
    assert line == TO_WORKER.encode(message)


async def test_what_fails_fails_the_same() -> None:
    with pytest.raises(ZeroDivisionError):
        await beside_streams(divmod, 1, 0)
