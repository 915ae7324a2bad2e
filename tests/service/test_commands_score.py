from __future__ import annotations

import json
import math
import os
import pty
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quorate.cli.cutting import Limits, next_piece
from quorate.client import Client
from support.command_line import (
    COMMAND,
    DEADLINE_SECONDS,
    TWO_MODELS,
    Ask,
    Serving,
    complaint,
    environment,
    quorate,
    said,
)
from support.gguf_files import smollm2, stories260k

CONFIG = f"""{TWO_MODELS}
[[models]]
id = "words"
engine = "scripted"
options = {{ vocabulary = "words", seed = 3 }}

[[models]]
id = "short"
engine = "scripted"
options = {{ seed = 4, context_length = 40 }}

[[models]]
id = "cramped"
engine = "scripted"
options = {{ seed = 5, cells = 60 }}

[[models]]
id = "slow"
engine = "scripted"
options = {{ step_delay_ms = 50 }}

[profiles.both]
members = [{{ model = "alpha" }}, {{ model = "words" }}]
weighting = "static"
"""
TEXT = "the little dog had two good days, é and one bad night"
LONG = 4 * TEXT
KEYS = ["event", "name", "bits_per_byte", "bytes", "forwards_per_token", "dropped_mass"]


def scores(home: Path, *arguments: str, text: str = TEXT) -> dict[str, dict[str, Any]]:
    """The JSON lines of a command that succeeds and says nothing else, by name."""
    (home / "text").write_text(text)
    done = quorate(home, "score", "text", "--json", *arguments)
    assert (done.returncode, said(done)) == (0, [])
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(list(line) == KEYS for line in lines)
    assert lines[-1]["name"] == "ensemble"
    return {line["name"]: line for line in lines}


def bits(logprob: float, text: str = TEXT) -> float:
    return -logprob / math.log(2) / len(text.encode())


async def test_bits_per_byte_agree_with_a_score_request(server: Serving, tmp_path: Path) -> None:
    found = scores(
        tmp_path,
        *("--model", "alpha:2", "--model", "words", "--forgetting", "0.8"),
        *("--beam-epsilon", "0.1", "--beam-width", "3", "--target", server.address),
    )
    async with Client(server.address) as client:
        asked = await client.score(
            "",
            TEXT,
            models={"alpha": 2.0, "words": None},
            forgetting=0.8,
            beam_epsilon=0.1,
            beam_width=3,
        )
    assert list(found) == ["alpha", "words", "ensemble"]
    assert found["ensemble"]["bits_per_byte"] == pytest.approx(bits(asked.logprob))
    for member in asked.members:
        line = found[member.model]
        assert line["bits_per_byte"] == pytest.approx(bits(member.logprob))
        assert line["bytes"] == len(TEXT.encode())
        assert line["forwards_per_token"] == pytest.approx(member.forwards / member.tokens)
        assert line["dropped_mass"] == pytest.approx(member.dropped_mass)


def test_one_vocabulary_prunes_nothing_and_one_member_equals_the_ensemble(
    server: Serving, tmp_path: Path
) -> None:
    both = scores(tmp_path, "--model", "alpha", "--model", "beta", "--target", server.address)
    assert [line["dropped_mass"] for line in both.values()] == [None, None, None]
    alone = scores(tmp_path, "--model", "alpha", "--target", server.address)
    assert alone["alpha"] | {"name": "ensemble"} == alone["ensemble"]
    assert alone["alpha"]["bits_per_byte"] == pytest.approx(both["alpha"]["bits_per_byte"])


async def test_a_text_longer_than_the_context_is_scored_in_pieces_behind_what_was_before(
    server: Serving, tmp_path: Path
) -> None:
    found = scores(tmp_path, "--model", "short", "--target", server.address, text=LONG)
    total, start, pieces = 0.0, 0, 0
    async with Client(server.address) as client:
        while start < len(LONG.encode()):
            piece = next_piece(LONG.encode(), start, Limits(40))
            total += (await client.score(piece.prompt, piece.text, model="short")).logprob
            start, pieces = piece.end, pieces + 1
    assert pieces > 4
    assert found["short"]["bytes"] == len(LONG.encode())
    assert found["short"]["bits_per_byte"] == pytest.approx(bits(total, LONG))


def test_pieces_are_halved_where_the_server_has_less_room_than_the_context(
    server: Serving, tmp_path: Path
) -> None:
    long = 6 * LONG
    found = scores(tmp_path, "--model", "cramped", "--target", server.address, text=long)
    assert found["cramped"]["bytes"] == len(long.encode())
    assert 0 < found["cramped"]["bits_per_byte"] < 20


async def test_a_profile_is_scored_as_it_stands(server: Serving, tmp_path: Path) -> None:
    found = scores(tmp_path, "--profile", "both", "--target", server.address, text="the dog")
    async with Client(server.address) as client:
        asked = await client.score("", "the dog", profile="both")
    assert list(found) == ["alpha", "words", "ensemble"]
    assert found["ensemble"]["bits_per_byte"] == pytest.approx(bits(asked.logprob, "the dog"))


def test_a_pipe_gets_aligned_text_and_the_verdict(ask: Ask) -> None:
    done = ask("score", "-", "--model", "alpha", "--model", "words", stdin=TEXT)
    assert (done.returncode, done.stderr) == (0, "")
    heading, alpha, words, ensemble, verdict = done.stdout.splitlines()
    columns = heading.split()
    # Energy has a column of its own where the machine's meter has seen any.
    assert [name for name in columns if name != "energy"] == [
        *("name", "bits/byte", "bytes", "forwards/token", "dropped", "weight")
    ]
    weight = columns.index("weight")
    assert len({len(line) for line in (heading, alpha, words, ensemble)}) == 1
    weights = [float(line.split()[weight]) for line in (alpha, words)]
    assert sum(weights) == pytest.approx(1, abs=2e-3)
    assert verdict.startswith("the ensemble ")
    assert "; linear, byte-exact, bayesian" in verdict


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("absent",), "quorate: absent: cannot be read: No such file or directory"),
        ((".",), "quorate: .: cannot be read: Is a directory"),
        (("empty",), "quorate: empty: is empty"),
        (("-",), "quorate: standard input: is empty"),
        (("latin1",), "quorate: latin1: is not UTF-8 text: byte 3 is 0xe9"),
        (("text", "--rule", "linear"), "--rule belongs to members; name them with --model"),
        (("text", "--beam-width", "3", "--forgetting", "1"), "belong to members"),
        (("text", "--model", "a", "--profile", "p"), "exclude each other"),
        (("text", "--model", "a", "--beam-width", "0"), "--beam-width"),
        (("text", "--target", "nowhere"), "--target: must be HOST:PORT"),
        ((), "FILE"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    misused: Callable[..., str], tmp_path: Path, arguments: tuple[str, ...], told: str
) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "latin1").write_bytes("café au lait".encode("latin-1"))
    (tmp_path / "text").write_text(TEXT)
    assert told in misused("score", *arguments)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--model", "alpa"), "no model named 'alpa'; did you mean alpha?"),
        (("--profile", "bth"), "bth"),
        (("--model", "alpha", "--model", "words", "--beam-epsilon", "0.7"), "epsilon"),
        (("--model", "alpha", "--model", "words", "--forgetting", "0"), "forgetting"),
        (("--model", "slow", "--timeout", "0.2"), "deadline"),
    ],
)
def test_what_the_server_refuses_is_one_line_and_exit_code_1(
    ask: Ask, tmp_path: Path, arguments: tuple[str, ...], told: str
) -> None:
    (tmp_path / "text").write_text(TEXT)
    assert told in complaint(ask("score", "text", *arguments), 1)


def test_a_terminal_gets_a_bar_and_ctrl_c_ends_it_without_complaint(
    server: Serving, tmp_path: Path
) -> None:
    (tmp_path / "text").write_text(20 * LONG)
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, "score", "text", "--model", "slow", "--target", server.address],
        cwd=tmp_path,
        env=environment(tmp_path, TERM="xterm"),
        stdout=subprocess.PIPE,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        seen = b""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while b"0.0/4.3 kB" not in seen:
            assert time.monotonic() < deadline, seen
            seen += os.read(ours, 4096)
        process.send_signal(signal.SIGINT)
        # Read first: a terminal that nobody reads fills up, and the bar would wait for it.
        rest = _rest(ours)
        out, _ = process.communicate(timeout=DEADLINE_SECONDS)
    assert (process.returncode, out) == (130, b"")
    assert b"Traceback" not in rest
    assert b"quorate:" not in rest


def _rest(descriptor: int) -> bytes:
    """What is still in a terminal whose other end is closed."""
    rest = b""
    try:
        while data := os.read(descriptor, 4096):
            rest += data
    except OSError:
        pass
    finally:
        os.close(descriptor)
    return rest


@pytest.mark.demo_model
def test_a_story_is_predicted_better_by_two_real_models_with_different_vocabularies(
    tmp_path: Path,
) -> None:
    story = (
        "Once upon a time, there was a little boy named Ben. He had a red kite. One day the wind "
        "took it up into a tall tree, and Ben was sad."
    )
    large, small = str(smollm2()), str(stories260k())
    found = scores(tmp_path, "--model", large, "--model", small, text=story)
    first, second, ensemble = found.values()
    assert second["name"] == "stories260k"
    for line in (first, second, ensemble):
        assert line["bytes"] == len(story)
        assert 0.5 < line["bits_per_byte"] < 1.5
        assert 1 <= line["forwards_per_token"] < 4
        assert 0 <= line["dropped_mass"] < 0.01
    assert ensemble["bits_per_byte"] < min(first["bits_per_byte"], second["bits_per_byte"])
