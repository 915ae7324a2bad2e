"""Real encoder processes, and what becomes of prompts when one dies."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from quorate.engines.spec import EngineSpec
from quorate.engines.worker.encoder.encoder import Encoder
from quorate.engines.worker.encoder.lanes import Lane
from quorate.engines.worker.limits import WorkerLimits
from quorate.errors import InvalidRequest, PromptQuarantined, Unavailable
from quorate.request import ChatPrompt, Message, TextPrompt
from support.encoder_processes import COMMAND
from support.hosted_engines import DEADLINE_SECONDS, children, ends_of, open_descriptors

TESTS = Path(__file__).resolve().parents[1]
CONTEXT = 4096
TOY = EngineSpec("toy", "any")


@pytest.fixture(autouse=True)
def support_is_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(TESTS), prepend=os.pathsep)


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Any:
    before = (open_descriptors(), children())
    yield
    assert (open_descriptors(), children()) == before


@asynccontextmanager
async def encoding(
    command: Any = COMMAND, spec: EngineSpec = TOY, identity: str = "any", **limits: float
) -> AsyncIterator[Encoder]:
    cores = sorted(os.sched_getaffinity(0))
    encoder = Encoder(spec, cores, WorkerLimits(**limits), command)
    encoder.start()
    encoder.belong_to(CONTEXT, identity)
    try:
        yield encoder
    finally:
        await encoder.close()


async def within_deadline(awaitable: Awaitable[Any]) -> Any:
    async with asyncio.timeout(DEADLINE_SECONDS):
        return await awaitable


async def encode(encoder: Encoder, text: str) -> list[int]:
    tokens: list[int] = await within_deadline(encoder.encode(TextPrompt(text)))
    return tokens


async def test_a_prompt_that_kills_two_processes_is_refused_from_then_on() -> None:
    async with encoding() as encoder:
        first = await within_deadline(encoder.encode_continuation(""))
        with pytest.raises(PromptQuarantined, match=r"2 processes .*killed by SIGSEGV"):
            await encode(encoder, "CRASH")
        third = await within_deadline(encoder.encode_continuation(""))
        assert third != first
        with pytest.raises(PromptQuarantined):
            await encode(encoder, "CRASH")
        # Refused without trying.
        assert await within_deadline(encoder.encode_continuation("")) == third
        assert await encode(encoder, "ok") == [111, 107]


async def test_those_beside_a_prompt_that_kills_are_all_answered() -> None:
    async with encoding() as encoder:
        texts = [f"innocent {number}" for number in range(40)]
        tasks = [asyncio.create_task(encode(encoder, text)) for text in texts[:20]]
        poison = asyncio.create_task(encode(encoder, "CRASH"))
        tasks += [asyncio.create_task(encode(encoder, text)) for text in texts[20:]]
        assert await asyncio.gather(*tasks) == [list(text.encode()) for text in texts]
        with pytest.raises(PromptQuarantined):
            await poison


async def test_a_prompt_that_is_there_when_others_kill_is_not_refused(tmp_path: Path) -> None:
    async with encoding() as encoder:
        (pid,) = await within_deadline(encoder.encode_continuation(""))
        gate = tmp_path / "gate"
        innocent = asyncio.create_task(encode(encoder, f"UNTIL {gate}"))
        killers = [asyncio.create_task(encode(encoder, "CRASH first"))]
        async with asyncio.timeout(DEADLINE_SECONDS):
            while encoder.pid in (pid, None):
                await asyncio.sleep(0)
        killers.append(asyncio.create_task(encode(encoder, "CRASH second")))
        while not encoder._running:
            await asyncio.sleep(0)
        gate.touch()
        assert await innocent == list(f"UNTIL {gate}".encode())
        outcomes = await asyncio.gather(*killers, return_exceptions=True)
        assert [type(one) for one in outcomes] == [PromptQuarantined, PromptQuarantined]


async def test_a_process_that_somebody_else_kills_is_no_fault_of_its_prompts() -> None:
    async with encoding() as encoder:
        for _ in range(3):
            task = asyncio.create_task(encode(encoder, "WAIT"))
            # It was begun before this one, in the other lane or before it in the same.
            (pid,) = await within_deadline(encoder.encode_continuation(""))
            ended = ends_of([pid])
            os.kill(pid, signal.SIGKILL)
            await within_deadline(ended)
            (other,) = await within_deadline(encoder.encode_continuation(""))
            assert other != pid
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert not encoder._quarantine


async def test_what_cannot_be_stopped_is_refused_and_the_rest_goes_on() -> None:
    async with encoding() as encoder:
        endless = asyncio.create_task(encode(encoder, "LOOP"))
        assert await encode(encoder, "short") == list(b"short")
        with pytest.raises(InvalidRequest, match=r"longer than the 1\.08 s of CPU time"):
            await endless
        assert await encode(encoder, "after") == list(b"after")


async def test_a_cancelled_prompt_makes_room() -> None:
    async with encoding() as encoder:
        waiting = [asyncio.create_task(encode(encoder, f"WAIT {n}")) for n in range(9)]
        await asyncio.sleep(0)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert await encode(encoder, "ok") == list(b"ok")


async def test_a_process_that_does_not_answer_is_killed_and_its_prompts_are_asked_again() -> None:
    async with encoding(step_timeout_seconds=0.5) as encoder:
        (pid,) = await within_deadline(encoder.encode_continuation(""))
        os.kill(pid, signal.SIGSTOP)
        assert await encode(encoder, "ok") == list(b"ok")
        assert encoder.pid != pid


def test_an_encoder_gives_way_to_whoever_decodes() -> None:
    program = (
        "import os, pathlib\n"
        "from quorate.niceness import give_way\n"
        "before = os.nice(0)\n"
        "give_way()\n"
        "group = pathlib.Path('/proc/self/autogroup')\n"
        "told = group.read_text().split() if group.exists() else []\n"
        "print(os.nice(0) - before, told[-1] if told else 5)\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", program],
        start_new_session=True,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    of_threads, of_the_session = map(int, told.split())
    assert of_threads == 5
    assert of_the_session >= 5


async def test_a_program_that_cannot_encode_fails_those_who_wait() -> None:
    for command in (("/nonexistent",), ("/bin/false",)):
        async with encoding(command) as encoder:
            with pytest.raises(Unavailable, match="model toy: its encoder cannot be started"):
                await encode(encoder, "ok")


async def test_a_file_that_was_replaced_is_never_encoded_with(tmp_path: Path) -> None:
    file = tmp_path / "model"
    file.write_text("first")
    spec = EngineSpec("toy", "any", str(file), {"identity": "of the file"})
    async with encoding(spec=spec, identity="first") as encoder:
        (first,) = await within_deadline(encoder.encode_continuation(""))
        file.write_text("second")
        os.kill(first, signal.SIGKILL)
        await within_deadline(ends_of([first]))
        with pytest.raises(Unavailable, match=r"toy.* file was replaced by another one; unload"):
            await encode(encoder, "ok")
        # A worker that was started anew has loaded the same.
        encoder.belong_to(CONTEXT, "second")
        assert await encode(encoder, "ok") == list(b"ok")


async def test_a_process_from_before_its_file_was_replaced_makes_way(tmp_path: Path) -> None:
    file = tmp_path / "model"
    file.write_text("first")
    spec = EngineSpec("toy", "any", str(file), {"identity": "of the file"})
    async with encoding(spec=spec, identity="first") as encoder:
        (first,) = await within_deadline(encoder.encode_continuation(""))
        file.write_text("second")
        encoder.belong_to(CONTEXT, "second")
        (second,) = await within_deadline(encoder.encode_continuation(""))
        assert second != first


async def test_many_short_messages_and_long_roles_are_no_short_prompt() -> None:
    async with encoding() as encoder:
        chats = [
            ChatPrompt((Message("user", "x"),) * 4000),
            ChatPrompt((Message("u" * 100_000, ""),)),
        ]
        await within_deadline(encoder.encode_continuation(""))
        for chat in chats:
            task = asyncio.create_task(encoder.encode(chat))
            await asyncio.sleep(0)
            assert [job.lane for job in encoder._running.values()] == [Lane.LONG]
            await within_deadline(task)


async def test_closing_tells_those_who_wait() -> None:
    async with encoding() as encoder:
        task = asyncio.create_task(encode(encoder, "WAIT"))
        await within_deadline(encoder.encode_continuation(""))
        await encoder.close()
        with pytest.raises(Unavailable, match="toy is unloaded"):
            await task
        with pytest.raises(Unavailable, match="toy is unloaded"):
            await encode(encoder, "late")


# Says that it has loaded, and lies whenever it is told something.
LIAR = """
import socket, sys
coordinator = socket.socket(fileno=int(sys.argv[1]))
coordinator.recv(65536)
coordinator.sendall({first!r})
try:
    while coordinator.recv(65536):
        for _ in range({times}):
            coordinator.sendall({lie!r})
except ConnectionError:
    pass
"""
LOADED = b'["tokenizer_loaded","any"]\n'
LIES = {
    "a line without end": (LOADED, b"x" * 65536, 1000),
    "no message": (LOADED, b"hello\n", 1),
    "tokens that nobody asked for": (LOADED, b'["encoded",99,[1]]\n', 1),
    "a token that there is not": (LOADED, b'["encoded",0,[99999999]]\n', 1),
    "parts without end": (LOADED, b'["encoded_part",0,[1,2,3]]\n' * 1000, 1000),
    "to have loaded twice": (LOADED + LOADED, b"", 0),
    "what a worker says": (b'["progress",0.5]\n', b"", 0),
    "a name of any length": (b'["tokenizer_loaded","' + b"x" * 5000 + b'"]\n', b"", 0),
}


@pytest.mark.parametrize(("first", "lie", "times"), LIES.values(), ids=LIES)
async def test_an_encoder_that_lies_is_ended_and_prompts_are_told(
    caplog: Any, first: bytes, lie: bytes, times: int
) -> None:
    script = LIAR.format(first=first, lie=lie, times=times)
    async with encoding(command=(sys.executable, "-c", script)) as encoder:
        with pytest.raises(Unavailable, match="spoke out of turn: ") as told:
            await encode(encoder, "hello")

    assert len(told.value.message) < 500
    lost = [record.getMessage() for record in caplog.records]
    assert lost
    assert all(line.startswith("model toy: its encoder spoke out of turn: ") for line in lost)
