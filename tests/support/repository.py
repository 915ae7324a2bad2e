"""The checkout the tests stand in."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCED = re.compile(r"^```\w*\n(.*?)^```", re.DOTALL | re.MULTILINE)


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a command at the root; standard output and error come back as one text."""
    return subprocess.run(
        command,
        cwd=ROOT,
        env=environment or None,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=60,
        check=False,
    )


def inline_code(document: str) -> list[str]:
    """What stands between backticks in a Markdown document, code blocks left out."""
    text = _FENCED.sub("", read(document))
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", text)]


def commands(document: str) -> Iterator[str]:
    """Lines of the code blocks of a Markdown document, without prompts; continuations joined."""
    text = read(document)
    fenced = _FENCED.findall(text)
    indented = re.findall(r"^    (\S.*)$", _FENCED.sub("", text), flags=re.MULTILINE)
    for block in [*fenced, *indented]:
        for line in block.replace("\\\n", " ").splitlines():
            yield line.removeprefix("$ ").strip()


def read(document: str) -> str:
    """Text of a file at the root."""
    return (ROOT / document).read_text(encoding="utf-8")
