"""``quorate ps``, ``load``, ``unload`` and ``status`` against a server."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from support.command_line import TWO_MODELS, Ask, complaint

CONFIG = f"""{TWO_MODELS}
[[models]]
id = "gamma"
engine = "scripted"
load = false

[profiles.both]
members = ["alpha", "beta"]

[profiles.third]
members = ["gamma"]

[ledger]
path = "off"
""".replace("[server]", '[server]\ndefault_profile = "both"')


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    from support.command_line import listening

    home = tmp_path_factory.mktemp("server")
    (home / "served.toml").write_text(CONFIG)
    with listening(home, "serve", "--config", "served.toml") as running:
        assert running.process.stdout is not None
        while json.loads(running.process.stdout.readline()).get("event") != "ready":
            pass
        yield running


def test_ps_lists_what_lives_and_counts_the_rest(ask: Ask) -> None:
    done = ask("ps")
    heading, alpha, beta, last = done.stdout.splitlines()
    named = ["model", "state", "engine", "context", "sessions", "cores", "memory"]
    assert heading.split() == named
    assert alpha.split()[:5] == ["alpha", "ready", "scripted", "512", "8"]
    assert beta.split()[0] == "beta"
    assert last == "1 not loaded; see them with --all"
    assert "\x1b" not in done.stdout


def test_ps_prints_an_object_for_each_model(ask: Ask) -> None:
    lines = [json.loads(line) for line in ask("ps", "--all", "--json").stdout.splitlines()]
    assert [(one["event"], one["id"]) for one in lines] == [
        ("model", "alpha"),
        ("model", "beta"),
        ("model", "gamma"),
    ]
    assert (lines[2]["state"], lines[2]["memory_bytes"]) == ("unloaded", 0)


def test_a_model_is_loaded_and_unloaded_with_a_word_about_each_step(ask: Ask) -> None:
    loaded = ask("load", "gamma")
    assert (loaded.returncode, loaded.stdout) == (0, "gamma: ready\n")
    assert "gamma: loading\n" in loaded.stderr
    assert "gamma  ready" in ask("ps").stdout
    unloaded = ask("unload", "gamma", "--json")
    last = json.loads(unloaded.stdout.splitlines()[-1])
    assert (unloaded.stderr, last["id"], last["state"]) == ("", "gamma", "unloaded")


@pytest.mark.parametrize("command", ["load", "unload"])
def test_an_unknown_model_is_one_line(ask: Ask, command: str) -> None:
    assert "no model named 'gama'; did you mean gamma?" in complaint(ask(command, "gama"), 1)


def test_status_tells_health_models_and_profiles(ask: Ask) -> None:
    done = ask("status")
    first, second, *rest = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert first.endswith(": healthy")
    assert second.startswith("quorate 0.")
    told = "\n".join(rest)
    assert "requests: 0 of 64 running, 0 of 256 waiting" in told
    assert "model alpha: ready" in told
    assert "profile both (default), alpha+beta: ready" in told
    assert "profile third, gamma: cannot run: gamma: is not loaded" in told


def test_status_prints_an_object_for_each_thing(ask: Ask) -> None:
    lines = [json.loads(line) for line in ask("status", "--json").stdout.splitlines()]
    assert [line["event"] for line in lines] == ["server", *["model"] * 3, *["profile"] * 2]
    server = lines[0]
    assert {engine["name"] for engine in server["engines"]} >= {"llama_cpp", "scripted", "vllm"}
    assert server["machine"]["cores"] >= 1
    assert server["started_at"] > 1.7e9


def test_status_of_a_server_that_is_not_healthy_exits_with_1(ask: Ask) -> None:
    ask("unload", "beta")
    try:
        done = ask("status")
    finally:
        ask("load", "beta")
    assert done.returncode == 1
    assert ": not healthy: the default profile both cannot run: beta" in done.stdout


@pytest.mark.parametrize("command", [("ps",), ("status",), ("load", "a"), ("unload", "a")])
def test_where_nothing_listens_it_is_one_line(here: Ask, command: tuple[str, ...]) -> None:
    done = here(*command, "--target", "127.0.0.1:1")
    assert "nothing listens at 127.0.0.1:1" in complaint(done, 1)


def test_wrong_usage_is_one_line(misused: Callable[..., str]) -> None:
    assert "MODEL" in misused("load")
