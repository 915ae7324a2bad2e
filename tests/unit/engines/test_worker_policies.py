from __future__ import annotations

import errno
import signal
from pathlib import Path

import pytest

from quorate.engines.confinement.environment import worker_environment
from quorate.engines.worker.restarts import FailureHistory, backoff_seconds
from quorate.engines.worker.shortages import is_shortage
from quorate.engines.worker.transport.process import (
    exit_cause,
    remove_leftovers,
)
from quorate.engines.worker.watchdog import StallClock

TRACEBACK = ["Traceback (most recent call last):", '  File "x.py", line 1', "ValueError: no", ""]


@pytest.mark.parametrize(
    ("return_code", "lines", "expected"),
    [
        (-signal.SIGKILL, [], "killed by SIGKILL"),
        (-signal.SIGSEGV, ["noise"], "killed by SIGSEGV"),
        (-signal.SIGABRT, [], "killed by SIGABRT"),
        (-signal.SIGABRT, ["noise", ""], "aborted: noise"),
        (
            -signal.SIGABRT,
            ["a.c:3: GGML_ASSERT(n > 0) failed", "frame 1", "frame 2"],
            "aborted: a.c:3: GGML_ASSERT(n > 0) failed",
        ),
        (-60, [], "killed by signal 60"),
        (3, ["noise"], "exited with status 3"),
        (0, [], "exited with status 0"),
        (1, TRACEBACK, "exited with status 1: ValueError: no"),
    ],
)
def test_the_cause_of_an_exit_is_told_in_one_line(return_code, lines, expected):
    assert exit_cause(return_code, lines) == expected


def test_the_backoff_doubles_up_to_half_a_minute():
    delays = [backoff_seconds(failures) for failures in range(12)]

    assert delays[:5] == [0.0, 0.1, 0.2, 0.4, 0.8]
    assert delays[9:] == [25.6, 30.0, 30.0]
    assert backoff_seconds(10**6) == 30.0


def test_a_minute_of_health_forgives_earlier_failures():
    history = FailureHistory().after_crash(1.0).after_crash(59.0)
    assert (history.failures, history.delay_seconds) == (2, 0.2)

    assert history.after_crash(60.0).failures == 1


def test_a_third_crash_while_loading_is_hopeless():
    twice = FailureHistory().after_crash_while_loading().after_crash_while_loading()

    assert not twice.hopeless
    assert twice.after_crash_while_loading().hopeless
    assert not twice.after_crash(5.0).after_crash_while_loading().hopeless


def test_a_start_for_which_the_machine_lacks_something_waits_longer_and_is_no_verdict():
    history = FailureHistory().after_crash_while_loading()
    for _ in range(50):
        history = history.after_shortage()

    assert history.delay_seconds == 30.0
    assert not history.hopeless
    assert not history.after_crash_while_loading().hopeless
    assert history.after_crash_while_loading().after_crash_while_loading().hopeless


@pytest.mark.parametrize(
    ("error", "short"),
    [
        (OSError(errno.EMFILE, "x"), True),
        (OSError(errno.ENFILE, "x"), True),
        (OSError(errno.EAGAIN, "x"), True),
        (OSError(errno.ENOMEM, "x"), True),
        (MemoryError(), True),
        (OSError(errno.ENOENT, "x"), False),
        (OSError(errno.EACCES, "x"), False),
        (ValueError("x"), False),
    ],
)
def test_what_may_be_there_again_later_is_told_from_what_is_wrong(error, short):
    assert is_shortage(error) is short


def test_crashes_in_use_are_never_hopeless():
    history = FailureHistory()
    for _ in range(50):
        history = history.after_crash(1.0)

    assert not history.hopeless


def test_only_waiting_without_progress_counts_as_stuck():
    clock = StallClock(longest_gap_seconds=2.0)

    assert clock.look(0.0, marker=1, waiting=True) == 0.0
    assert clock.look(1.0, marker=1, waiting=True) == 1.0
    assert clock.look(2.0, marker=1, waiting=True) == 2.0
    assert clock.look(3.0, marker=2, waiting=True) == 0.0
    assert clock.look(4.0, marker=2, waiting=True) == 1.0
    assert clock.look(5.0, marker=2, waiting=False) == 0.0
    assert clock.look(6.0, marker=2, waiting=True) == 1.0


def test_time_in_which_the_coordinator_itself_was_stopped_hardly_counts():
    clock = StallClock(longest_gap_seconds=2.0)
    clock.look(0.0, marker=1, waiting=True)

    assert clock.look(3600.0, marker=1, waiting=True) == 2.0


def test_a_worker_gets_its_threads_and_stays_off_the_network_whatever_is_set_outside():
    base = {"OMP_NUM_THREADS": "64", "HF_HUB_OFFLINE": "0", "OMP_WAIT_POLICY": "ACTIVE"}

    environment = worker_environment(base, 3)

    assert environment["OMP_NUM_THREADS"] == "3"
    assert environment["HF_HUB_OFFLINE"] == "1"
    assert environment["OMP_WAIT_POLICY"] == "ACTIVE"
    assert environment["GGML_NO_BACKTRACE"] == "1"
    assert base["OMP_NUM_THREADS"] == "64"


def test_only_what_that_process_left_is_removed(tmp_path: Path) -> None:
    names = (
        "__KMP_REGISTERED_LIB_12_0",
        "__KMP_REGISTERED_LIB_12_1000",
        "__KMP_REGISTERED_LIB_123_0",
        "sem.12",
    )
    for name in names:
        (tmp_path / name).touch()
    remove_leftovers(12, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(names[2:])


def test_without_shared_memory_there_is_nothing_to_remove(tmp_path: Path) -> None:
    remove_leftovers(12, tmp_path / "none")
