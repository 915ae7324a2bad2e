"""``quorate check``, and what ``quorate serve`` refuses for the same reasons."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from support.command_line import Ask, listening, quorate, serving
from support.gguf_files import smollm2, stories260k

WORKS = """
server.listen = "127.0.0.1:0"

[[models]]
id = "a"
engine = "scripted"

[profiles.p]
members = ["a"]
"""

WRONG = """
server.listen = "127.0.0.1:0"

[[models]]
model = "./nowhere.gguf"

[[models]]
id = "b"
engine = "scripted"
cores = 4096

[[models]]
model = "./words.gguf"

[profiles.p]
members = ["nowhere", "b", "words"]
"""


def test_a_configuration_that_works_is_one_line_and_exit_code_0(here: Ask, tmp_path: Path) -> None:
    (tmp_path / "q.toml").write_text(WORKS)
    done = here("check", "q.toml")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "q.toml: nothing is wrong (1 model, 1 profile, 0 remotes)\n"


def test_what_is_wrong_is_a_line_each_and_exit_code_1(here: Ask, tmp_path: Path) -> None:
    (tmp_path / "words.gguf").write_text("no model")
    (tmp_path / "quorate.toml").write_text(WRONG)
    done = here("check")
    assert (done.returncode, done.stderr) == (1, "")
    first, second, third, last = done.stdout.splitlines()
    assert first.startswith("quorate.toml: models[0].model: ")
    assert "nowhere.gguf' does not exist" in first
    assert second.startswith("quorate.toml: models[1].cores: is 4096")
    assert third.startswith("quorate.toml: models[2].model: ")
    assert "is not a GGUF file" in third
    assert last == "quorate.toml: 3 errors, 0 warnings"
    lines = [json.loads(line) for line in here("check", "--json").stdout.splitlines()]
    assert [line.get("key") for line in lines[:-1]] == [
        "models[0].model",
        "models[1].cores",
        "models[2].model",
    ]
    assert lines[0].keys() == {"event", "level", "file", "key", "problem"}
    assert lines[-1] == {"event": "checked", "errors": 3, "warnings": 0}


def test_a_file_that_cannot_be_read_is_exit_code_2(here: Ask, tmp_path: Path) -> None:
    done = here("check", "absent.toml")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("quorate: absent.toml: cannot be read")
    (tmp_path / "q.toml").write_text("[[models]\n")
    assert here("check", "q.toml").returncode == 2


def test_serve_refuses_what_can_never_work_with_a_line_each(tmp_path: Path) -> None:
    (tmp_path / "words.gguf").write_text("no model")
    (tmp_path / "quorate.toml").write_text(WRONG)
    done = quorate(tmp_path, "serve")
    assert (done.returncode, done.stdout) == (2, "")
    first, second = done.stderr.splitlines()
    assert first.startswith("quorate: quorate.toml: models[0].model: ")
    assert second.startswith("quorate: quorate.toml: models[2].model: ")


def test_a_model_that_is_not_there_fails_alone_where_no_profile_names_it(tmp_path: Path) -> None:
    (tmp_path / "q.toml").write_text(WORKS + '\n[[models]]\nmodel = "./nowhere.gguf"\n')
    with listening(tmp_path, "serve", "--config", "q.toml") as server:
        last: dict[str, Any] = {}
        while last.get("event") != "ready":
            last = json.loads(server.process.stdout.readline())
        done = server.asked(tmp_path, "ps", "--json")
    assert (last["models"], last["failed"]) == (["a"], ["nowhere"])
    failed = json.loads(done.stdout.splitlines()[1])
    assert (failed["state"], "nowhere.gguf' does not exist" in failed["message"]) == (
        "failed",
        True,
    )


def test_serve_tells_every_key_that_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "quorate.toml").write_text("[servr]\n[routing]\npolicy = 1\n[keys.a]\n")
    done = quorate(tmp_path, "serve")
    assert (done.returncode, done.stdout) == (2, "")
    assert [line.split(": ")[2] for line in done.stderr.splitlines()] == [
        "servr",
        "routing.policy",
        "keys.a",
    ]


def test_serve_starts_in_spite_of_what_is_only_not_as_configured(tmp_path: Path) -> None:
    with serving(tmp_path, WORKS.replace("engine =", "cores = 4096\nengine =")) as server:
        ready = [event for event in server.events if event.get("state") == "ready"]
    assert [event["id"] for event in ready] == ["a"]


def test_real_models_of_two_tokenizers_do_not_vote_token_by_token(
    here: Ask, tmp_path: Path
) -> None:
    (tmp_path / "q.toml").write_text(
        f'[[models]]\nid = "a"\nmodel = "{smollm2()}"\n'
        f'[[models]]\nid = "b"\nmodel = "{stories260k()}"\n'
        '[profiles.p]\nmembers = ["a", "b"]\nalignment = "same_vocabulary"\n'
    )
    done = here("check", "q.toml")
    assert done.returncode == 1
    assert done.stdout.startswith("q.toml: profiles.p: a, b: their vocabularies differ")


FAULTY = """
nonsense = 1
[server]
listen = "here"
max_running = "many"
bogus = 2
[[models]]
id = "a"
engine = "scripted"
options = { say = 3, confidence = 7 }
[[models]]
model = "./missing.gguf"
step_timeout_seconds = "x"
[profiles.p]
members = ["b", { model = "a", weight = "x" }]
rule = "mean"
beam_width = 0
[keys.alice]
rights = ["fly", "walk"]
weight = -1
[remotes.r]
max_concurrent = 0
"""


def test_everything_that_is_wrong_with_a_table_is_told_at_once(here: Ask, tmp_path: Path) -> None:
    """One who mends what is told has not to come back for more of the same table."""
    (tmp_path / "q.toml").write_text(FAULTY)
    done = here("check", "q.toml", "--json")
    *lines, last = map(json.loads, done.stdout.splitlines())
    assert (done.returncode, done.stderr) == (1, "")
    assert {line["key"] for line in lines} == {
        "nonsense",
        *("server.bogus", "server.listen", "server.max_running"),
        *("models[0].options.say", "models[0].options.confidence"),
        *("models[1].step_timeout_seconds", "models[1].model"),
        *("profiles.p.members[0].model", "profiles.p.members[1].weight"),
        *("profiles.p.rule", "profiles.p.beam_width"),
        *("keys.alice.rights[0]", "keys.alice.rights[1]", "keys.alice.weight"),
        *("remotes.r.max_concurrent", "remotes.r.base_url", "remotes.r.model"),
    }
    assert last["errors"] == len(lines)
    served = quorate(tmp_path, "serve", "--config", "q.toml")
    assert served.returncode == 2
    # A model that nobody requires fails alone, and keeps no server from starting.
    fatal = len(lines) - 1
    assert served.stderr.count("quorate: q.toml: ") == served.stderr.count("\n") == fatal
    assert "models[1].model" not in served.stderr


def test_a_model_that_would_be_fetched_is_told_with_its_size(here: Ask, tmp_path: Path) -> None:
    (tmp_path / "q.toml").write_text(f'{WORKS}\n[[models]]\nmodel = "qwen2.5-0.5b-instruct"\n')
    done = here("check", "q.toml")
    assert done.returncode == 0
    first, last = done.stdout.splitlines()
    assert first.startswith("q.toml: warning: models[1].model: qwen2.5-0.5b-instruct is not on ")
    assert "is downloaded at the start (some " in first
    assert first.endswith("quorate models pull qwen2.5-0.5b-instruct")
    assert last == "q.toml: 0 errors, 1 warning"
