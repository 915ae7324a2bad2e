"""The scripted models among the engines; they need no files."""

from __future__ import annotations

from quorate.engines.registry import EngineRegistration
from quorate.engines.scripted.options import ScriptedOptions

ENGINE = EngineRegistration(
    name="scripted",
    options=ScriptedOptions,
    loader="quorate.engines.scripted.model:load",
    vocabulary=lambda options: repr(options.pieces or options.vocabulary),
)
