"""What a spawned process does with a scripted model; importable by the child."""

from __future__ import annotations

import multiprocessing
from typing import Any

from quorate.engines.scheduler.contract import Chunk
from support.scripted_models import scripted_model


def decode_steps(steps: int, options: dict[str, Any], began: Any = None) -> None:
    """Decodes one token in each of ``steps`` calls; sets ``began`` before the first."""
    model = scripted_model(**options)
    if began is not None:
        began.set()
    for step in range(steps):
        model.decode([Chunk(0, step, [9], None)])


def exit_code(steps: int, **options: Any) -> int:
    """Decodes in a process of its own and returns the code that process ended with."""
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=decode_steps, args=(steps, options))
    process.start()
    process.join(60)
    if process.exitcode is None:
        process.kill()
        raise AssertionError("the process did not end")
    return process.exitcode
