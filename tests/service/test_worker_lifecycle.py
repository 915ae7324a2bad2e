"""Real worker processes: their sessions, and every way they can end."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from quorate.engines.spec import EngineSpec
from quorate.engines.worker.engine import HostedEngine
from quorate.engines.worker.limits import WorkerLimits
from quorate.engines.worker.restarts import backoff_seconds
from quorate.engines.worker.statuses import WorkerPhase
from quorate.engines.worker.turns import Turns
from quorate.errors import (
    Internal,
    InvalidRequest,
    PromptQuarantined,
    PromptTooLong,
    SettingsError,
    Unavailable,
    UnsupportedPlan,
    WorkerLost,
)
from quorate.request import ChatPrompt, Message, TextPrompt
from support.hosted_engines import (
    DEADLINE_SECONDS,
    children,
    hosted,
    open_descriptors,
    ready,
    scripted_spec,
    shared_memories,
    until,
)
from support.scripted_models import fresh_row, scripted_model

PROMPT = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8]
CORES = sorted(os.sched_getaffinity(0))
START_REAL_WORKER = "from quorate.engines.worker.worker import main; sys.exit(main())"


SILENT = "import signal; signal.pause()"
CHATTER = "import os, sys\nwhile True: os.write({descriptor}, {text} * 1000)"


@pytest.fixture(autouse=True)
def nothing_left_behind():
    before = (open_descriptors(), children(), shared_memories())
    yield
    assert (open_descriptors(), children(), shared_memories()) == before


@pytest.fixture
async def engine():
    async with ready(scripted_spec()) as engine:
        yield engine


def noted_delays():
    """What a supervisor wanted to wait for, and the sleep that only notes it."""
    delays = []

    async def sleep(seconds):
        delays.append(seconds)

    return delays, sleep


def python(script):
    """Keywords of an engine whose worker runs this program."""
    return {"command": [sys.executable, "-c", script]}


async def feed_greedily(engine, count, prompt=PROMPT):
    session = await engine.open(len(prompt) + count)
    row = await session.feed(prompt)
    for _ in range(count):
        row = await session.feed([int(row.argmax())])
    session.close()


# Sessions


async def test_a_worker_gives_the_same_bits_as_the_model_in_this_process(engine):
    session = await engine.open(100)

    tokens = list(PROMPT)
    row = await session.feed(tokens)
    for _ in range(20):
        np.testing.assert_array_equal(row, fresh_row(tokens))
        tokens.append(int(row.argmax()))
        row = await session.feed(tokens[-1:])
    np.testing.assert_array_equal(row, fresh_row(tokens))

    assert session.position == len(tokens) == len(PROMPT) + 20
    assert session.busy_seconds > 0
    assert not row.flags.writeable
    session.close()


async def test_facts_vocabulary_and_encoding_come_from_the_model(engine):
    model = scripted_model()

    assert engine.facts == model.facts
    assert engine.vocabulary.fingerprint == model.vocabulary.fingerprint
    for prompt in (TextPrompt("hello é"), ChatPrompt((Message("user", "hi"),))):
        assert await engine.encode(prompt) == model.encode(prompt)
    assert await engine.encode_continuation("abc") == model.encode_continuation("abc")


async def test_a_model_without_a_template_refuses_a_chat():
    async with ready(scripted_spec(chat=False)) as engine:
        with pytest.raises(UnsupportedPlan, match="no chat template"):
            await engine.encode(ChatPrompt((Message("user", "hi"),)))
        assert await engine.encode(TextPrompt("still there"))


async def test_a_defect_in_encoding_concerns_that_request_alone():
    script = (
        "import sys; from quorate.engines.scripted.model import ScriptedModel\n"
        "ScriptedModel.encode_continuation = lambda self, text: 1 // 0\n" + START_REAL_WORKER
    )
    async with ready(scripted_spec(), **python(script)) as engine:
        pid = engine.worker_pid
        with pytest.raises(Internal, match="ZeroDivisionError"):
            await engine.encode_continuation("abc")
        await feed_greedily(engine, 1)

        assert engine.worker_pid == pid


async def test_what_can_never_be_tokenised_is_refused_as_too_long():
    script = (
        "import sys; from quorate.engines.scripted.model import ScriptedModel\n"
        "from quorate.errors import PromptTooLong\n"
        "def encode(self, prompt): raise PromptTooLong('prompt', '9 characters')\n"
        "ScriptedModel.encode = encode\n" + START_REAL_WORKER
    )
    async with ready(scripted_spec(), **python(script)) as engine:
        with pytest.raises(PromptTooLong, match=r"^prompt: 9 characters$"):
            await engine.encode(TextPrompt("x"))


async def test_an_encoding_that_never_ends_costs_its_own_model_alone():
    script = (
        "import sys; from quorate.engines.scripted.model import ScriptedModel\n"
        "def encode(self, prompt):\n"
        "    while True: pass\n"
        "ScriptedModel.encode = encode\n" + START_REAL_WORKER
    )
    limits = WorkerLimits(step_timeout_seconds=0.5)
    async with (
        ready(scripted_spec(), **python(script), limits=limits) as engine,
        ready(scripted_spec()) as other,
    ):
        chat = engine.encode(ChatPrompt((Message("user", "hi"),)))
        with pytest.raises(WorkerLost, match="stuck for"):
            await asyncio.gather(chat, feed_greedily(other, 3))
        await engine.wait_ready()
        await feed_greedily(engine, 1)


async def test_sessions_in_lock_step_share_their_steps():
    async with ready(scripted_spec(step_delay_ms=20)) as engine:
        prompts = [[number + 3, *PROMPT[:4]] for number in range(8)]
        async with asyncio.timeout(DEADLINE_SECONDS):
            await asyncio.gather(*(feed_greedily(engine, 20, prompt) for prompt in prompts))

        assert 21 <= engine.steps_done <= 40


async def test_many_sessions_one_after_another_leak_no_slot(engine):
    rows = set()
    for number in range(200):
        session = await engine.open(512)
        pending = session.feed([number % 100 + 3])
        if number % 3:
            rows.add((await pending).ctypes.data)
        session.close()

    sessions = [await engine.open(512) for _ in range(8)]
    assert len(rows) == 1
    for session in sessions:
        session.close()


async def test_the_next_session_of_a_slot_hears_nothing_of_a_feed_given_up():
    async with ready(scripted_spec(sessions=1, step_delay_ms=20)) as engine:
        for _ in range(5):
            given_up = await engine.open(100)
            abandoned = given_up.feed(PROMPT)
            given_up.close()
            assert abandoned.cancelled()

            session = await engine.open(100)
            row = await session.feed([7, 7])
            np.testing.assert_array_equal(row, fresh_row([7, 7]))
            session.close()


async def test_after_a_cancelled_feed_a_session_can_only_be_closed(engine):
    session = await engine.open(100)
    session.feed(PROMPT).cancel()
    with pytest.raises(Internal, match="cancelled"):
        await session.feed([1])
    with pytest.raises(Internal, match="cancelled"):
        session.rewind(0)

    session.close()
    session.close()

    with pytest.raises(Internal, match="closed"):
        await session.feed([1])


@pytest.mark.parametrize(
    ("tokens", "problem"),
    [
        ([], "at least one"),
        ([-1], "ids must be from 0 to 270"),
        ([1, 271], "ids must be from 0 to 270"),
        ([1] * 11, "11 where 10 more were reserved"),
    ],
)
async def test_wrong_tokens_are_refused_and_the_session_goes_on(engine, tokens, problem):
    session = await engine.open(10)
    with pytest.raises(InvalidRequest, match=problem):
        await session.feed(tokens)

    assert (await session.feed([1])).shape == (271,)
    session.close()


async def test_what_can_never_fit_is_refused_at_once(engine):
    with pytest.raises(PromptTooLong, match=r"513 tokens .* holds 512"):
        await engine.open(513)


async def test_missing_capabilities_and_impossible_rewinds_are_refused():
    async with ready(scripted_spec(rewind=False)) as engine:
        session = await engine.open(10)
        with pytest.raises(UnsupportedPlan, match="cannot rewind"):
            session.rewind(0)
        with pytest.raises(InvalidRequest, match="cannot forget 1 of 0"):
            session.rewind(1)
        session.close()


# Losing a worker


async def test_a_killed_worker_fails_everyone_who_waits_and_comes_back():
    async with ready(scripted_spec(sessions=2, step_delay_ms=200)) as engine:
        vocabulary, first_pid = engine.vocabulary, engine.worker_pid
        sessions = [await engine.open(100) for _ in range(2)]
        feeds = [session.feed(PROMPT) for session in sessions]
        waiting = asyncio.create_task(engine.open(100))
        encoding = asyncio.create_task(engine.encode(TextPrompt("x")))
        await asyncio.sleep(0)

        os.kill(first_pid, signal.SIGKILL)

        async with asyncio.timeout(DEADLINE_SECONDS):
            for lost in (*feeds, waiting, encoding):
                with pytest.raises(WorkerLost, match="killed by SIGKILL") as caught:
                    await lost
                assert caught.value.model == "toy"
        with pytest.raises(Unavailable, match=r"restarts \(killed by SIGKILL\)"):
            await engine.open(100)
        with pytest.raises(WorkerLost):
            sessions[0].branch()
        for session in sessions:
            session.close()

        async with asyncio.timeout(DEADLINE_SECONDS):
            await engine.wait_ready()
            await feed_greedily(engine, 1)
        assert engine.worker_pid not in (None, first_pid)
        assert engine.vocabulary is vocabulary


async def test_a_feed_refused_after_the_loss_that_nobody_awaits_is_not_complained_of(engine):
    complaints = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: complaints.append(told))
    session = await engine.open(4)
    os.kill(engine.worker_pid, signal.SIGKILL)
    await until(engine, WorkerPhase.RESTARTING)

    session.feed([5])
    gc.collect()

    assert complaints == []
    session.close()


async def test_rows_stay_readable_after_the_worker_is_gone(engine):
    session = await engine.open(100)
    row = await session.feed(PROMPT)
    before = row.copy()

    os.kill(engine.worker_pid, signal.SIGKILL)
    await until(engine, WorkerPhase.RESTARTING)

    np.testing.assert_array_equal(row, before)
    with pytest.raises(WorkerLost, match="killed by SIGKILL"):
        await session.feed([1])
    session.close()


async def test_a_crash_in_mid_step_is_a_lost_worker(tmp_path):
    spec = scripted_spec(crash_after_steps=3, crash_marker=str(tmp_path / "crashed"))
    async with ready(spec) as engine:
        with pytest.raises(WorkerLost, match="killed by SIGKILL"):
            await feed_greedily(engine, 10)
        async with asyncio.timeout(DEADLINE_SECONDS):
            await engine.wait_ready()
            await feed_greedily(engine, 10)


async def test_a_crash_in_mid_block_is_a_lost_worker_and_the_next_one_gives_it(tmp_path):
    marker = str(tmp_path / "crashed")
    spec = scripted_spec(batch_tokens=4, crash_after_steps=3, crash_marker=marker)
    async with ready(spec) as engine, asyncio.timeout(DEADLINE_SECONDS):
        session = await engine.open(100)
        block = session.feed_block(PROMPT, 10)
        with pytest.raises(WorkerLost, match="killed by SIGKILL"):
            await block
        with pytest.raises(WorkerLost):
            session.rewind(1)
        session.close()
        await engine.wait_ready()
        session = await engine.open(100)
        rows = await session.feed_block(PROMPT, 10)
        for row, end in zip(rows, range(3, 13), strict=True):
            np.testing.assert_array_equal(row, fresh_row(PROMPT[:end]))
        session.close()


async def test_rewinding_and_feeding_again_in_one_turn_reaches_the_worker_in_order(engine):
    session = await engine.open(100)
    await session.feed_block(PROMPT, 4)
    for right in (3, 1, 0):
        session.rewind(4 - right)
        rows = await session.feed_block([7, 7, *PROMPT[:2]], 4)
        assert session.position == 12 - 4 + right + 4
        held = [*PROMPT[: 8 + right], 7, 7, *PROMPT[:2]]
        np.testing.assert_array_equal(rows[3], fresh_row(held))
        session.rewind(4 + right)
        await session.feed_block(PROMPT[8:], 4)
    session.close()


async def test_a_stuck_worker_is_wedged_then_killed_by_the_watchdog(tmp_path):
    spec = scripted_spec(hang_after_steps=2, crash_marker=str(tmp_path / "hung"))
    limits = WorkerLimits(step_timeout_seconds=0.5, wedged_after_seconds=0.0)
    async with ready(spec, limits=limits) as engine, asyncio.timeout(DEADLINE_SECONDS):
        assert not engine.wedged
        session = await engine.open(100)
        row = await session.feed(PROMPT)
        hanging = session.feed([int(row.argmax())])
        while not engine.wedged:
            await asyncio.sleep(0)
        with pytest.raises(WorkerLost, match=r"stuck for 0\.\d+ s"):
            await hanging
        session.close()
        await engine.wait_ready()
        await feed_greedily(engine, 3)


async def test_a_worker_that_is_stopped_by_a_signal_counts_as_stuck():
    limits = WorkerLimits(step_timeout_seconds=0.4)
    async with ready(scripted_spec(), limits=limits) as engine, asyncio.timeout(DEADLINE_SECONDS):
        session = await engine.open(100)
        os.kill(engine.worker_pid, signal.SIGSTOP)
        with pytest.raises(WorkerLost, match="stuck for"):
            await session.feed(PROMPT)
        session.close()
        await engine.wait_ready()


async def test_the_line_that_explains_an_abort_is_in_the_cause():
    script = (
        "import os, sys; print('model.c:7: GGML_ASSERT(n > 0) failed', file=sys.stderr);"
        "sys.stderr.flush(); os.abort()"
    )
    async with hosted(scripted_spec(), **python(script)) as engine:
        status = await until(engine, WorkerPhase.FAILED)

    assert status.message == (
        "its worker died 3 times while loading; last: aborted: model.c:7: GGML_ASSERT(n > 0) failed"
    )


# Loading


async def test_a_model_that_cannot_be_loaded_fails_at_once_in_one_line():
    delays, sleep = noted_delays()
    async with hosted(scripted_spec(fail_load="wrong architecture"), sleep=sleep) as engine:
        status = await until(engine, WorkerPhase.FAILED)
        with pytest.raises(Unavailable, match="toy has failed: wrong architecture"):
            await engine.wait_ready()
        with pytest.raises(Unavailable, match="not loaded yet"):
            await engine.open(1)

    assert status.message == "wrong architecture"
    assert delays == []


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        (
            EngineSpec("toy", "nothing"),
            "no engine named 'nothing'; known: llama_cpp, scripted, vllm",
        ),
        (scripted_spec(sead=1), "options.sead: unknown key; did you mean seed?"),
    ],
)
async def test_a_wrong_specification_fails_at_once_in_one_line(spec, problem):
    async with hosted(spec) as engine:
        assert (await until(engine, WorkerPhase.FAILED)).message == problem


async def test_a_worker_killed_while_loading_is_tried_three_times_with_backoff():
    delays, sleep = noted_delays()
    async with hosted(scripted_spec(), **python("import sys; sys.exit(3)"), sleep=sleep) as engine:
        status = await until(engine, WorkerPhase.FAILED)

    assert status.message == "its worker died 3 times while loading; last: exited with status 3"
    assert delays == [0.1, 0.2]


async def test_a_crash_while_loading_is_retried(tmp_path):
    script = (
        f"import os, pathlib, sys; marker = pathlib.Path({str(tmp_path / 'crashed')!r})\n"
        "if not marker.exists(): marker.touch(); os.kill(os.getpid(), 9)\n" + START_REAL_WORKER
    )
    async with hosted(scripted_spec(), **python(script)) as engine:
        async with asyncio.timeout(DEADLINE_SECONDS):
            await engine.wait_ready()
            await feed_greedily(engine, 1)


@pytest.mark.parametrize(
    ("keywords", "told"),
    [
        ({"command": ["/nonexistent/worker"]}, "cannot be started"),
        (
            {**python(SILENT), "limits": WorkerLimits(load_timeout_seconds=0.2)},
            "stuck for 0.",
        ),
    ],
    ids=["does not exist", "makes no progress"],
)
async def test_a_program_that_never_loads_is_a_failure_and_not_an_exception(keywords, told):
    _, sleep = noted_delays()
    async with hosted(scripted_spec(), sleep=sleep, **keywords) as engine:
        assert told in (await until(engine, WorkerPhase.FAILED)).message


async def test_a_worker_that_is_stopped_while_it_loads_is_killed_long_before_a_slow_one(tmp_path):
    marker = tmp_path / "stopped"
    script = (
        f"import os, pathlib, signal, sys; marker = pathlib.Path({str(marker)!r})\n"
        "if not marker.exists(): marker.touch(); os.kill(os.getpid(), signal.SIGSTOP)\n"
        + START_REAL_WORKER
    )
    limits = WorkerLimits(stopped_seconds=0.2)
    async with hosted(scripted_spec(), **python(script), limits=limits) as engine:
        async with asyncio.timeout(DEADLINE_SECONDS):
            status = await until(engine, WorkerPhase.RESTARTING)
            assert status.message.startswith("stopped by a signal for 0.")
            await engine.wait_ready()
            await feed_greedily(engine, 1)


async def test_a_worker_that_does_nothing_at_all_while_it_loads_is_killed():
    _, sleep = noted_delays()
    limits = WorkerLimits(still_seconds=0.3)
    async with hosted(scripted_spec(), **python(SILENT), limits=limits, sleep=sleep) as engine:
        message = (await until(engine, WorkerPhase.FAILED)).message
    assert "loading without a sign of life for 0." in message


@pytest.mark.parametrize(
    ("works", "told"),
    [
        # Computing leads nowhere by itself, but earns the longer patience.
        ("while True: pass", "stuck for 0."),
        # Reading is progress: this one lives until it ends by itself.
        (
            "import os, time; end = time.monotonic() + 1.5\n"
            "while time.monotonic() < end: open('/proc/self/stat').read(); time.sleep(0.01)\n"
            "os._exit(7)",
            "exited with status 7",
        ),
    ],
    ids=["computes", "reads"],
)
async def test_a_worker_that_works_while_it_loads_is_given_time(works, told):
    _, sleep = noted_delays()
    limits = WorkerLimits(load_timeout_seconds=0.8, still_seconds=0.2, stopped_seconds=0.2)
    async with hosted(scripted_spec(), **python(works), limits=limits, sleep=sleep) as engine:
        assert told in (await until(engine, WorkerPhase.FAILED)).message


@pytest.mark.parametrize(
    ("where", "missing"),
    [
        ("subprocess.Popen", "EAGAIN"),
        ("os.memfd_create", "ENFILE"),
        ("socket.socketpair", "EMFILE"),
        ("os.pidfd_open", "EMFILE"),
        ("mmap.mmap", "ENOMEM"),
    ],
)
async def test_what_the_coordinator_lacks_is_no_verdict_on_the_model(monkeypatch, where, missing):
    delays, sleep = noted_delays()
    owner, name = where.split(".")
    module = sys.modules[owner]
    original, lacks = getattr(module, name), 3
    # A server makes them once, when it starts.
    turns = Turns()

    def scarce(*arguments, **keywords):
        nonlocal lacks
        if lacks:
            lacks -= 1
            number = getattr(errno, missing)
            raise OSError(number, os.strerror(number))
        return original(*arguments, **keywords)

    monkeypatch.setattr(module, name, scarce)
    async with hosted(scripted_spec(), sleep=sleep, turns=turns) as engine:
        async with asyncio.timeout(DEADLINE_SECONDS):
            await engine.wait_ready()
            await feed_greedily(engine, 1)
    assert lacks == 0
    assert delays == [backoff_seconds(failures) for failures in (1, 2, 3)]


async def test_crashes_in_use_wait_longer_each_time():
    delays, sleep = noted_delays()
    async with hosted(scripted_spec(), sleep=sleep) as engine, asyncio.timeout(DEADLINE_SECONDS):
        for _ in range(4):
            await engine.wait_ready()
            os.kill(engine.worker_pid, signal.SIGKILL)
            await until(engine, WorkerPhase.RESTARTING)
        await engine.wait_ready()

    assert delays == [backoff_seconds(failures) for failures in (1, 2, 3, 4)]


async def test_a_replaced_file_with_another_vocabulary_is_not_taken_for_the_same_model(tmp_path):
    marker = tmp_path / "restarted"
    script = (
        "import pathlib, sys, types; from quorate.engines.worker import serving\n"
        "from quorate.engines.scripted.registration import ENGINE\n"
        f"marker = pathlib.Path({str(marker)!r})\n"
        "words = {'vocabulary': 'words'} if marker.exists() else {}\n"
        "marker.touch()\n"
        "serving.find_engine = lambda engine: types.SimpleNamespace("
        "load=lambda path, options, *rest: ENGINE.load(path, {**options, **words}, *rest))\n"
        + START_REAL_WORKER
    )
    async with ready(scripted_spec(), **python(script)) as engine:
        os.kill(engine.worker_pid, signal.SIGKILL)
        status = await until(engine, WorkerPhase.FAILED)

    assert "another vocabulary" in status.message


# Ending


async def test_close_ends_the_process_and_whoever_waits():
    async with ready(scripted_spec(step_delay_ms=300)) as engine:
        pid = engine.worker_pid
        assert engine.memory_bytes() > 1_000_000
        session = await engine.open(100)
        feed = session.feed(PROMPT)

        await engine.close()
        await engine.close()

        with pytest.raises(WorkerLost, match="unloaded"):
            await feed
        with pytest.raises(Unavailable, match="is unloaded"):
            await engine.open(10)
        with pytest.raises(Unavailable, match="is unloaded"):
            await engine.wait_ready()
        session.close()
        assert engine.status.phase is WorkerPhase.STOPPED
        assert engine.worker_pid is None
        assert engine.memory_bytes() == 0
        assert pid not in children()


async def test_close_ends_a_worker_that_loads():
    async with hosted(scripted_spec(), **python(SILENT)) as engine:
        while engine.worker_pid is None:
            await asyncio.sleep(0)
        await engine.close()
    assert engine.worker_pid is None


async def test_close_ends_the_wait_for_a_restart():
    waiting = asyncio.Event()

    async def sleep(_):
        waiting.set()
        await asyncio.Event().wait()

    async with ready(scripted_spec(), sleep=sleep) as engine:
        os.kill(engine.worker_pid, signal.SIGKILL)
        async with asyncio.timeout(DEADLINE_SECONDS):
            await waiting.wait()
            await engine.close()

    assert engine.status.phase is WorkerPhase.STOPPED


async def test_progress_reported_during_the_close_does_not_bring_a_model_back():
    script = CHATTER.format(descriptor="int(sys.argv[1])", text=r"""b'["progress",0.5]\n'""")
    async with hosted(scripted_spec(), **python(script)) as engine:
        async for status in engine.watch():
            if status.progress == 0.5:
                break
        await engine.close()

        assert engine.status.phase is WorkerPhase.STOPPED
        with pytest.raises(Unavailable, match="unloaded"):
            async with asyncio.timeout(DEADLINE_SECONDS):
                await engine.wait_ready()


async def test_a_worker_that_never_stops_printing_leaves_the_event_loop_to_others(
    monkeypatch, caplog
):
    printed = asyncio.Event()
    log = logging.getLogger("quorate.engines.worker.transport.process")
    caplog.set_level(logging.DEBUG, log.name)
    monkeypatch.setattr(log, "handle", lambda record: printed.set())
    script = CHATTER.format(descriptor=1, text=r"b'\n'")
    async with hosted(scripted_spec(), **python(script)) as engine:
        async with asyncio.timeout(DEADLINE_SECONDS):
            await printed.wait()
            for _ in range(20):
                await asyncio.sleep(0)
        assert engine.status.phase is WorkerPhase.STARTING


async def test_close_ends_a_worker_that_hangs():
    limits = WorkerLimits(stop_seconds=0.1)
    async with ready(scripted_spec(hang_after_steps=1), limits=limits) as engine:
        session = await engine.open(10)
        hanging = session.feed([1])

        await engine.close()

        with pytest.raises(WorkerLost, match="unloaded"):
            await hanging
        session.close()


async def test_an_engine_closed_before_it_started_never_starts():
    engine = HostedEngine(scripted_spec(), CORES[:1])
    await engine.close()
    engine.start()

    with pytest.raises(Unavailable, match="is unloaded"):
        await engine.wait_ready()


async def test_a_worker_dies_with_its_parent():
    script = (
        "import asyncio, os\n"
        "from quorate.engines.worker.engine import HostedEngine\n"
        "from quorate.engines.spec import EngineSpec\n"
        "async def main():\n"
        f"    engine = HostedEngine(EngineSpec('toy', 'scripted'), [{CORES[0]}])\n"
        "    engine.start()\n"
        "    await engine.wait_ready()\n"
        "    print(engine.worker_pid, flush=True)\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    with parent:
        worker = os.pidfd_open(int(parent.stdout.readline()))
        try:
            parent.kill()
            ended, _, _ = select.select([worker], [], [], DEADLINE_SECONDS)
        finally:
            os.close(worker)

    assert ended


def test_a_worker_whose_parent_is_gone_already_ends_at_once():
    worker = [sys.executable, "-m", "quorate.engines.worker.worker", *["0"] * 4]
    ended = subprocess.run(
        [*worker, str(os.getpid() + 1)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )

    assert (ended.returncode, ended.stderr) == (1, b"the coordinator is gone\n")


async def test_signals_meant_for_the_server_do_not_end_a_worker(engine):
    pid = engine.worker_pid
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(pid, number)
    await feed_greedily(engine, 3)

    assert engine.worker_pid == pid
    assert os.getsid(pid) == pid != os.getsid(0)


# Cores


def allowed_cores(pid):
    return {
        line.split()[1]
        for task in Path(f"/proc/{pid}/task").iterdir()
        for line in (task / "status").read_text().splitlines()
        if line.startswith("Cpus_allowed_list")
    }


@pytest.mark.skipif(len(CORES) < 2, reason="needs two processor cores")
async def test_cores_can_be_changed_while_running_and_outlive_a_restart():
    first, second = CORES[:2]
    async with ready(scripted_spec(), cores=(first,)) as engine:
        assert allowed_cores(engine.worker_pid) == {str(first)}

        engine.set_cores((second,))
        await engine.encode(TextPrompt("handled after the change"))
        assert allowed_cores(engine.worker_pid) == {str(second)}

        os.kill(engine.worker_pid, signal.SIGKILL)
        await until(engine, WorkerPhase.RESTARTING)
        await engine.wait_ready()
        assert allowed_cores(engine.worker_pid) == {str(second)}


@pytest.mark.skipif(len(CORES) < 2, reason="needs two processor cores")
async def test_cores_changed_while_a_worker_starts_are_taken_over_once_it_has():
    first, second = CORES[:2]
    async with hosted(scripted_spec(), cores=(first,)) as engine:
        async for status in engine.watch():
            if status.progress is not None:
                break
        pid = engine.worker_pid
        engine.set_cores((second,))
        await engine.wait_ready()
        await engine.encode(TextPrompt("handled after the change"))

        assert engine.worker_pid == pid
        assert allowed_cores(pid) == {str(second)}


@pytest.mark.parametrize(("cores", "problem"), [((), "at least one"), ((4096,), "4096")])
async def test_cores_that_cannot_be_used_are_refused(engine, cores, problem):
    with pytest.raises(SettingsError, match=problem):
        engine.set_cores(cores)
    assert engine.cores == tuple(CORES[:1])


# Prompts that kill

DIES_OF_66 = (
    "import os, signal, sys\n"
    "from quorate.engines.scripted.model import ScriptedModel\n"
    "decode = ScriptedModel.decode\n"
    "def fragile(self, chunks):\n"
    "    if any(66 in chunk.tokens for chunk in chunks): os.kill(os.getpid(), signal.{signal})\n"
    "    decode(self, chunks)\n"
    "ScriptedModel.decode = fragile\n" + START_REAL_WORKER
)


async def died_of(engine, *prompts):
    """Feeds prompts to sessions of their own and waits for the worker's death and return."""
    sessions = [await engine.open(20) for _ in prompts]
    feeds = [session.feed(prompt) for session, prompt in zip(sessions, prompts, strict=True)]
    results = await asyncio.gather(*feeds, return_exceptions=True)
    for session in sessions:
        session.close()
    await engine.wait_ready()
    return results


async def test_a_prompt_that_killed_two_workers_is_refused_and_its_neighbours_are_not():
    async with ready(scripted_spec(), **python(DIES_OF_66.format(signal="SIGSEGV"))) as engine:
        (lost,) = await died_of(engine, [5, 66])
        assert isinstance(lost, WorkerLost)
        # The neighbours were replayed, and so are being read as well.
        losses = await died_of(engine, [5, 66], [7, 8], [9])
        assert [type(loss) for loss in losses] == [WorkerLost] * 3
        pid = engine.worker_pid
        refused, *rows = await died_of(engine, [5, 66], [7, 8], [9])
        assert isinstance(refused, PromptQuarantined)
        assert "2 processes in a row" in refused.problem and "SIGSEGV" in refused.problem
        assert not any(isinstance(row, BaseException) for row in rows)
        assert engine.worker_pid == pid


async def test_workers_that_somebody_else_kills_put_no_prompt_into_quarantine():
    async with ready(scripted_spec(), **python(DIES_OF_66.format(signal="SIGKILL"))) as engine:
        for _ in range(3):
            (lost,) = await died_of(engine, [5, 66])
            assert isinstance(lost, WorkerLost)
