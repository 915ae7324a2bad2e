"""Two models behind one server, each on a core of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from processes import Served, configuration, model_table, server

CONTEXT = 2048


@contextmanager
def serving(models: dict[str, Path], more: str = "") -> Iterator[Served]:
    """Serves these models, by id, until the context ends.

    Args:
        models: Weight files by id.
        more: Further sections of the configuration.
    """
    cores = sorted(os.sched_getaffinity(0))[: max(2, len(models))]
    sizes = {"sessions": 64, "context_length": CONTEXT, "cells": 4 * CONTEXT}
    tables = [
        model_table(name, path.absolute(), 1, "llama_cpp", **sizes) for name, path in models.items()
    ]
    with server(configuration(*tables, more), cores, len(models)) as served:
        yield served
