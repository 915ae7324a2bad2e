"""What is known of the quality of models: what the operator declares and calibration found out."""

from __future__ import annotations

from pathlib import Path

from quorate.dispatch.router import Knowledge
from quorate.routing.quality import QualityTable
from quorate.settings import Settings


def read_knowledge(settings: Settings, home: Path) -> Knowledge:
    """Reads it.

    Args:
        settings: The configuration.
        home: Where the calibration is, unless the configuration says otherwise.
    """
    table = QualityTable(
        declared={model.id: model.quality for model in settings.models if model.quality},
        tasks={model.id: model.tasks for model in settings.models if model.tasks},
    )
    return Knowledge(table)
