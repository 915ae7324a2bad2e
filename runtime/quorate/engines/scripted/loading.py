"""Loads a scripted model inside a worker."""

from __future__ import annotations

from collections.abc import Callable

from quorate.engines.scripted.model import ScriptedModel
from quorate.engines.scripted.options import ScriptedOptions
from quorate.errors import ModelUnusable


def load(
    path: str,
    options: ScriptedOptions,
    threads: int,
    on_progress: Callable[[float], None],
) -> ScriptedModel:
    """Makes the model the options describe.

    Args:
        path: Unused: there are no weights.
        options: Already validated.
        threads: Unused: nothing is computed.
        on_progress: Called with 0.0 and 1.0.

    Raises:
        ModelUnusable: ``fail_load`` says so.
    """
    on_progress(0.0)
    if options.fail_load:
        raise ModelUnusable("scripted model", options.fail_load)
    model = ScriptedModel(options)
    on_progress(1.0)
    return model
