"""What bare loops that decode are started with, and how all of them take commands and answer."""

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
    parser.add_argument("--cores", type=core_ids, required=True, help="comma-separated ids")
    parser.add_argument("--streams", type=int, default=1)
    parser.add_argument("--context", type=int, default=1024)
    parser.add_argument("--prompt", required=True)
    return parser.parse_args()


def answer_commands(run: Callable[..., dict[str, Any]], answers: TextIO) -> None:
    """Says that the model is ready, then answers each line of standard input with one line.

    Args:
        run: What a command asks for, which has its arguments by name.
        answers: Where the lines go.
    """
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(run(**json.loads(line))), file=answers, flush=True)


def core_ids(text: str) -> list[int]:
    """Ids of cores, with commas between."""
    return [int(core) for core in text.split(",")]
