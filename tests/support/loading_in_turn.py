"""Loads checkpoints that cannot be loaded, each in a process of its own that has vLLM already.

Importing vLLM takes ten times what it then takes to refuse a checkpoint, and no process may load
two: what the first left behind would tell in the second. So one process imports, and a copy of it
loads.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

DEADLINE_SECONDS = 480


def refusals(checkpoints: Sequence[tuple[Path, Mapping[str, Any]]]) -> list[str]:
    """What is said of each of these folders with its options; "" where it was loaded.

    Raises:
        subprocess.SubprocessError: Something went wrong that no user would be told.
    """
    asked = [(str(folder), dict(options)) for folder, options in checkpoints]
    done = subprocess.run(
        [sys.executable, "-m", "support.loading_in_turn"],
        input=json.dumps(asked),
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        text=True,
        timeout=DEADLINE_SECONDS,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def _load(folder: str, options: dict[str, Any], said: Any) -> None:
    from quorate.engines.vllm.options import VllmOptions
    from quorate.engines.vllm.start import load
    from quorate.errors import ModelUnusable

    # What vLLM prints is no answer.
    os.dup2(2, 1)
    try:
        load(folder, VllmOptions(**options), 1, lambda share: None).close()
        said.send("")
    except ModelUnusable as refused:
        said.send(refused.message)


def main() -> None:
    """Reads folders and options from standard input, and prints a line for each."""
    asked = json.load(sys.stdin)
    from quorate.engines.vllm import environment

    environment.prepare()
    import quorate.engines.vllm.model  # noqa: F401

    method = multiprocessing.get_context("fork")
    for folder, options in asked:
        heard, said = method.Pipe(duplex=False)
        loading = method.Process(target=_load, args=(folder, options, said))
        loading.start()
        said.close()
        print(json.dumps(heard.recv()), flush=True)
        loading.join()


if __name__ == "__main__":
    main()
