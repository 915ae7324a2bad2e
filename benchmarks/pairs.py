"""Two models behind one server, each on a core of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from processes import Served, server

CONTEXT = 2048


@contextmanager
def serving(models: dict[str, Path], more: str = "") -> Iterator[Served]:
    """Serves these models, by id, until the context ends.

    Args:
        models: Weight files by id.
        more: Further sections of the configuration.
    """
    cores = sorted(os.sched_getaffinity(0))[: max(2, len(models))]
    lines = ["[server]", 'listen = "127.0.0.1:0"']
    for name, path in models.items():
        lines += [
            "[[models]]",
            f'id = "{name}"',
            f'model = "{path.absolute()}"',
            "cores = 1",
            f"options = {{ sessions = 64, context_length = {CONTEXT}, cells = {4 * CONTEXT} }}",
        ]
    with server("\n".join([*lines, more]), cores, len(models)) as served:
        yield served
