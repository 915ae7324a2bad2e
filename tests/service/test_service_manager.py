"""``quorate serve`` as systemd runs it: what is told of the start, of reloads and of the end."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.command_line import Serving, listening, serving
from support.service_manager import Notified, notified

CONFIG = """
server.listen = "127.0.0.1:0"
http.listen = "127.0.0.1:0"

[[models]]
id = "alpha"
engine = "scripted"
options = { say = "fine" }
"""
BROKEN = '[[models]]\nid = "beta"\nengine = "scripted"\noptions = { fail_load = "no luck" }\n'


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Notified]:
    """Set up for the commands that a test starts."""
    with notified(str(tmp_path / "notify")) as manager:
        monkeypatch.setenv("NOTIFY_SOCKET", manager.address)
        yield manager


@contextmanager
def started_server(home: Path, text: str = CONFIG) -> Iterator[Serving]:
    (home / "served.toml").write_text(text)
    with listening(home, "serve", "--config", "served.toml") as server:
        yield server


def test_ready_is_told_when_the_models_answer(tmp_path: Path, systemd: Notified) -> None:
    with started_server(tmp_path) as server:
        told = systemd.until("READY")
        done = server.asked(tmp_path, "generate", "x", "--model", "alpha", "--temperature", "0")
    assert (done.stdout, done.returncode) == ("fine\n", 0)
    http = server.events[0]["http"]
    listened = f"listening on {server.address}, for HTTP on {http}, models: alpha"
    assert told == [{"STATUS": listened}, {"READY": "1", "STATUS": "serving alpha"}]


def test_ready_is_told_as_well_where_a_model_failed(tmp_path: Path, systemd: Notified) -> None:
    with started_server(tmp_path, CONFIG + BROKEN):
        told = systemd.until("READY")[-1]
    assert told["STATUS"] == "serving alpha; failed: beta"


def test_ready_is_told_where_there_is_nothing_to_load(tmp_path: Path, systemd: Notified) -> None:
    with started_server(tmp_path, CONFIG.replace("options", "load = false\noptions")):
        assert systemd.until("READY")[-1]["STATUS"] == "serving no model"


def test_a_reload_is_told_and_that_it_is_over_however_it_went(
    tmp_path: Path, systemd: Notified
) -> None:
    with started_server(tmp_path) as server:
        systemd.until("READY")
        for text in (CONFIG, "[server\n"):
            (tmp_path / "served.toml").write_text(text)
            server.process.send_signal(signal.SIGHUP)
            assert systemd.next().keys() == {"RELOADING", "MONOTONIC_USEC"}
            assert systemd.next() == {"READY": "1"}
        assert server.asked(tmp_path, "ps").returncode == 0


def test_the_end_is_told_before_the_drain(tmp_path: Path, systemd: Notified) -> None:
    config = CONFIG.replace("http.listen", "server.drain_seconds = 90\nhttp.listen")
    with started_server(tmp_path, config) as server:
        systemd.until("READY")
        server.process.send_signal(signal.SIGTERM)
        told = systemd.next()
        assert server.end() == 0
    assert told["STOPPING"] == "1"
    assert told["STATUS"] == "draining; running requests may end within 90 s"
    assert int(told["EXTEND_TIMEOUT_USEC"]) > 90_000_000
    assert systemd.nothing_waits()


def test_a_watchdog_hears_of_the_start_and_of_what_follows(
    tmp_path: Path, systemd: Notified, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    with started_server(tmp_path):
        systemd.until("READY")
        assert systemd.until("WATCHDOG")[-1] == {"WATCHDOG": "1"}


def test_no_process_of_the_service_inherits_the_socket(tmp_path: Path, systemd: Notified) -> None:
    with serving(tmp_path) as server:
        workers = server.workers()
        inherited = [Path(f"/proc/{pid}/environ").read_bytes() for pid in workers]
    assert workers
    assert not [one for one in inherited if b"NOTIFY_SOCKET" in one]


def test_a_socket_that_is_gone_keeps_nobody_from_serving(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    with serving(tmp_path) as server:
        done = server.asked(tmp_path, "generate", "x", "--model", "alpha", "--temperature", "0")
        server.process.send_signal(signal.SIGTERM)
        assert server.end() == 0
    assert done.stdout == "yes indeed\n"
