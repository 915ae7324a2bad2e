"""Loads a scripted model inside a worker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from quorate.engines.scripted.model import ScriptedModel
from quorate.engines.scripted.options import ScriptedOptions
from quorate.errors import ModelUnusable


def load(
    path: str,
    options: Mapping[str, Any],
    threads: int,
    on_progress: Callable[[float], None],
) -> ScriptedModel:
    """Makes the model the options describe.

    Args:
        path: Unused: there are no weights.
        options: As ``ScriptedOptions`` names them.
        threads: Unused: nothing is computed.
        on_progress: Called with 0.0 and 1.0.

    Raises:
        SettingsError: The options are wrong.
        ModelUnusable: ``fail_load`` says so.
    """
    on_progress(0.0)
    read = ScriptedOptions.from_mapping(options, "options")
    if read.fail_load:
        raise ModelUnusable("scripted model", read.fail_load)
    model = ScriptedModel(read)
    on_progress(1.0)
    return model
