from __future__ import annotations

import subprocess
from pathlib import Path

from quorate.client import Client
from quorate.v1 import models_pb2
from support.command_line import COMMAND, DEADLINE_SECONDS, environment, quorate, serving

# As a file of a model may have it in its name, its architecture or its template.
HOSTILE = "\\u001b]0;owned\\u0007\\u009b31m\\n2026-01-01 INFO quorate.requests: forged\\u202e"
CONFIG = f"""
[server]
listen = "127.0.0.1:0"

[[models]]
id = "alpha"
engine = "scripted"
options = {{ say = "yes \\u001b]0;owned\\u0007 indeed", marks = false }}

[[models]]
id = "broken"
engine = "scripted"
options = {{ fail_load = "{HOSTILE}" }}
"""


def is_clean(text: str) -> bool:
    """Whether nothing in it acts on a terminal."""
    return all(char.isprintable() or char == "\n" for char in text)


async def test_what_a_model_says_of_itself_is_clean_in_log_output_and_messages(
    tmp_path: Path,
) -> None:
    (tmp_path / "served.toml").write_text(CONFIG)
    with subprocess.Popen(
        [*COMMAND, "serve", "--config", "served.toml"],
        cwd=tmp_path,
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().split()[2].rstrip(",")
            async with Client(address) as client:
                async for model in client.watch_models():
                    if model.state == models_pb2.MODEL_STATE_FAILED:
                        break
                assert is_clean(model.message)
                assert "\\x1b]0;owned" in model.message
        finally:
            process.terminate()
            out, log = process.communicate(timeout=DEADLINE_SECONDS)
    assert "\\x1b]0;owned" in out
    assert "\\x1b]0;owned" in log
    assert is_clean(out)
    assert is_clean(log)
    assert not any("forged" in line and "owned" not in line for line in log.splitlines())


def test_an_answer_stays_as_it_is_in_a_pipe(tmp_path: Path) -> None:
    with serving(tmp_path, CONFIG.split('[[models]]\nid = "broken"')[0]) as server:
        done = server.asked(tmp_path, "generate", "x", "--raw", "--model", "alpha")
    assert "\x1b]0;owned\x07" in done.stdout


def test_the_name_of_a_file_is_clean_in_the_line_of_an_error(tmp_path: Path) -> None:
    done = quorate(tmp_path, "serve", "--config", "no\x1b]0;owned\x07such.toml")
    assert done.returncode != 0
    assert is_clean(done.stderr)
    assert "owned" in done.stderr
