"""What both bare loops are started with, and how they take commands and answer."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any, TextIO


def options() -> argparse.Namespace:
    """Reads the command line: path, cores, streams, context, prompt."""
    parser = argparse.ArgumentParser()
    parser.add_argument("path")
    parser.add_argument("--cores", type=_ids, required=True, help="comma-separated ids")
    parser.add_argument("--streams", type=int, default=1)
    parser.add_argument("--context", type=int, default=1024)
    parser.add_argument("--prompt", required=True)
    return parser.parse_args()


def answer_commands(run: Callable[[int, int], dict[str, Any]], answers: TextIO) -> None:
    """Says that the model is ready, then answers each line of standard input with one line.

    Args:
        run: Decodes in so many streams so many tokens.
        answers: Where the lines go.
    """
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        found = run(command["streams"], command["tokens"])
        print(json.dumps(found), file=answers, flush=True)


def _ids(text: str) -> list[int]:
    return [int(core) for core in text.split(",")]
