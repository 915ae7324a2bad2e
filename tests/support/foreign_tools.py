"""Programs that use the tools of ``.venv-tools``."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from support.repository import ROOT, read

BUILT = ROOT / ".venv-tools" / ".quorate-setup"
ADDRESS = "127.0.0.1:8080"
DEADLINE_SECONDS = 240.0

_PROGRAMS = ROOT / ".venv-tools" / "bin"
OURS = ROOT / "tests" / "tools" / "programs"
_OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LANGSMITH_TRACING": "false",
    "DO_NOT_TRACK": "1",
}


def environment(home: Path) -> dict[str, str]:
    """The environment of a tool that asks nobody but the server and keeps its files in ``home``."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, **_OFFLINE, "HF_HOME": str(home / "hugging-face")}


async def ran(home: Path, *command: str) -> str:
    """Runs a program of the tools in the folder ``home``; what it printed.

    Raises:
        AssertionError: It failed; with what it said.
    """
    process = await asyncio.create_subprocess_exec(
        str(_PROGRAMS / command[0]),
        *command[1:],
        cwd=home,
        env=environment(home),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            out, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, said.decode(errors="replace")[-4000:]
    return out.decode()


async def told(home: Path, program: str, *arguments: str) -> dict[str, Any]:
    """What a program of ``tests/tools/programs`` tells: a JSON object as its last line."""
    printed = await ran(home, "python", str(OURS / program), *arguments)
    found: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return found


def shown(document: str, language: str, containing: str, address: str) -> str:
    """The one block of a document that has this text, with the address of a server."""
    every = re.findall(rf"^```{language}\n(.*?)^```", read(document), re.DOTALL | re.MULTILINE)
    (block,) = (block for block in every if containing in block)
    assert ADDRESS in block
    return str(block).replace(ADDRESS, address)


def samples(folder: Path, task: str) -> Iterator[dict[str, Any]]:
    """What lm-evaluation-harness logged of each question of a task."""
    (log,) = folder.rglob(f"samples_{task}_*.jsonl")
    for line in log.read_text(encoding="utf-8").splitlines():
        yield json.loads(line)
