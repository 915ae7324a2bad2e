from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from quorate.app.service_manager import ServiceManager
from support.service_manager import Notified, notified


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Notified]:
    path = str(tmp_path / "notify")
    with notified(path if request.param == "path" else f"@{path}") as manager:
        yield manager


def test_the_start_a_reload_and_the_end_are_told(systemd: Notified) -> None:
    manager = ServiceManager(systemd.address)
    manager.status("listening")
    manager.ready("serving a")
    before = time.monotonic_ns() // 1000
    manager.reloading()
    manager.reloaded()
    manager.stopping("draining", 60.0)
    assert systemd.next() == {"STATUS": "listening"}
    assert systemd.next() == {"READY": "1", "STATUS": "serving a"}
    reloading = systemd.next()
    assert before <= int(reloading.pop("MONOTONIC_USEC")) <= time.monotonic_ns() // 1000
    assert reloading == {"RELOADING": "1"}
    assert systemd.next() == {"READY": "1"}
    assert systemd.next() == {
        "STOPPING": "1",
        "STATUS": "draining",
        "EXTEND_TIMEOUT_USEC": "60000000",
    }


def test_a_reload_before_the_start_is_over_does_not_end_it(systemd: Notified) -> None:
    manager = ServiceManager(systemd.address)
    manager.reloading()
    manager.reloaded()
    assert systemd.nothing_waits()


def test_a_text_of_several_lines_says_nothing_but_the_status(systemd: Notified) -> None:
    ServiceManager(systemd.address).status("a\nREADY=1")
    assert systemd.next() == {"STATUS": "a READY=1"}


async def test_the_watchdog_hears_of_the_event_loop_twice_in_its_time(systemd: Notified) -> None:
    manager = ServiceManager(systemd.address, watchdog_seconds=0.1)
    begun = time.monotonic()
    alive = asyncio.create_task(manager.keep_alive())
    told = [await asyncio.to_thread(systemd.next) for _ in range(3)]
    alive.cancel()
    assert told == [{"WATCHDOG": "1"}] * 3
    assert time.monotonic() - begun >= 0.1


async def test_without_a_watchdog_there_is_nothing_to_keep_alive(systemd: Notified) -> None:
    await asyncio.wait_for(ServiceManager(systemd.address).keep_alive(), 30)
    assert systemd.nothing_waits()


@pytest.mark.parametrize(
    ("pid", "microseconds", "beats"),
    [
        (str(os.getpid()), "5000000", True),
        ("", "5000000", True),
        ("1", "5000000", False),
        ("", "soon", False),
        ("", "", False),
    ],
)
async def test_only_a_watchdog_of_this_process_hears_of_it(
    tmp_path: Path, pid: str, microseconds: str, beats: bool
) -> None:
    with notified(str(tmp_path / "notify")) as systemd:
        environment = {
            "NOTIFY_SOCKET": systemd.address,
            "WATCHDOG_PID": pid,
            "WATCHDOG_USEC": microseconds,
        }
        alive = asyncio.create_task(ServiceManager.of_environment(environment).keep_alive())
        await asyncio.wait((alive,), timeout=0)
        # One turn of the loop is enough for the first word.
        await asyncio.sleep(0)
        alive.cancel()
        assert systemd.nothing_waits() is not beats


def test_its_variables_are_taken_away_and_no_others() -> None:
    environment = {
        "NOTIFY_SOCKET": "/run/notify",
        "WATCHDOG_PID": "1",
        "WATCHDOG_USEC": "1",
        "HOME": "/home",
    }
    ServiceManager.of_environment(environment)
    assert environment == {"HOME": "/home"}


def test_nothing_is_sent_where_nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> socket.socket:
        raise AssertionError("a socket was made")

    monkeypatch.setattr(socket, "socket", refused)
    manager = ServiceManager.of_environment({})
    manager.status("listening")
    manager.ready("serving")
    manager.reloading()
    manager.reloaded()
    manager.stopping("draining", 1.0)


@pytest.mark.parametrize("address", ["/nowhere/notify", "@nobody", "vsock:2:1234", "x" * 200])
def test_a_socket_that_takes_nothing_is_told_in_the_log(
    address: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        ServiceManager(address).ready("serving")
    (record,) = caplog.records
    assert record.getMessage().startswith(f"the service manager at {address}: ")


def test_a_manager_that_reads_nothing_is_not_waited_for(
    systemd: Notified, caplog: pytest.LogCaptureFixture
) -> None:
    manager = ServiceManager(systemd.address)
    with caplog.at_level(logging.WARNING):
        while not caplog.records:
            manager.status("still here")
    assert "timed out" in caplog.records[0].getMessage()
