"""What README.md shows is run: each block that starts a server, against that server."""

from __future__ import annotations

import ast
import asyncio
import json
import re
import shlex
from pathlib import Path

import pytest

from quorate.client import Client
from quorate.v1 import models_pb2
from support.command_line import Serving, listening, quorate
from support.real_models import GEMMA, QWEN_LARGE, QWEN_SMALL, real_model
from support.repository import read

pytestmark = [pytest.mark.real_model, pytest.mark.timeout(300)]

DEADLINE_SECONDS = 200
CONSOLE = re.compile(r"^```console\n(.*?)^```", re.DOTALL | re.MULTILINE)
TARGET = "$ export QUORATE_TARGET="
QUESTION = {"prompt": "Reply with one letter.\nIs ice cold?\nA. yes\nB. no", "answer": "A"}
REPORT = "The shelf was empty. Nobody had counted the boxes since May.\n"


def blocks() -> dict[str, list[list[str]]]:
    """Commands of the blocks whose first line starts a server, by that line."""
    found = {}
    for block in CONSOLE.findall(read("README.md")):
        lines = block.replace("\\\n", " ").splitlines()
        lines = [line for line in lines if not line.startswith(TARGET)]
        first, *rest = [shlex.split(line.removeprefix("$ "))[1:] for line in lines]
        if first[0] == "serve":
            found[" ".join(first)] = rest
    return found


def block_of(language: str, containing: str) -> str:
    every = re.findall(rf"^```{language}\n(.*?)^```", read("README.md"), re.DOTALL | re.MULTILINE)
    (block,) = (block for block in every if containing in block)
    return str(block)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with what the commands read."""
    models = tmp_path / "models"
    models.mkdir()
    for name in (QWEN_SMALL, QWEN_LARGE, GEMMA):
        (models / name).symlink_to(real_model(name))
    (tmp_path / "quorate.toml").write_text(block_of("toml", QWEN_SMALL), "utf-8")
    (tmp_path / "report.txt").write_text(REPORT, "utf-8")
    asked = json.dumps({**QUESTION, "match": "choice"})
    (tmp_path / "questions.jsonl").write_text(f"{asked}\n", "utf-8")
    return tmp_path


async def all_ready(address: str) -> None:
    async with Client(address) as client:
        async for _ in client.watch_models():
            if all(one.state == models_pb2.MODEL_STATE_READY for one in await client.models()):
                return


@pytest.mark.parametrize("start", list(blocks()))
def test_every_command_of_a_block_does_its_work(folder: Path, start: str) -> None:
    with listening(folder, *shlex.split(start), "--listen", "127.0.0.1:0") as server:
        address = server.address
        asyncio.run(asyncio.wait_for(all_ready(address), DEADLINE_SECONDS))
        for command in blocks()[start]:
            done = quorate(folder, *command, timeout=DEADLINE_SECONDS, QUORATE_TARGET=address)
            assert done.returncode == 0, f"quorate {shlex.join(command)}: {done.stderr}"
            assert done.stdout.strip(), f"quorate {shlex.join(command)} said nothing"


async def test_the_python_of_the_readme_prints_an_answer(
    server: Serving, capsys: pytest.CaptureFixture[str]
) -> None:
    block = block_of("python", "from quorate.client import Client")
    asked = block.replace("127.0.0.1:50051", server.address)
    assert asked != block
    code = compile(asked, "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    await eval(code, {})
    assert len(capsys.readouterr().out.split()) > 5
