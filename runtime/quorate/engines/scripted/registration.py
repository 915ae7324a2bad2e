"""The scripted models among the engines; they need no files."""

from __future__ import annotations

from pathlib import Path

from quorate.engines.confinement.plan import Needs
from quorate.engines.registry import EngineRegistration
from quorate.engines.scripted.options import ScriptedOptions


def _needs(path: str, options: ScriptedOptions) -> Needs:
    """Nothing but the folder where a simulated crash is marked."""
    marker = options.crash_marker
    return Needs(writes=(str(Path(marker).parent),) if marker else ())


ENGINE = EngineRegistration(
    name="scripted",
    options=ScriptedOptions,
    loader="quorate.engines.scripted.model:load",
    needs=_needs,
    vocabulary=lambda options: repr(options.pieces or options.vocabulary),
)
