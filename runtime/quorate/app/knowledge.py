"""What is known of the quality of models: what the operator declares and calibration found out."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from quorate.calibration.file import FILE_NAME, load
from quorate.dispatch.router import Knowledge
from quorate.routing.quality import QualityTable
from quorate.settings import Settings
from quorate.threads import beside_loop

_LOOK_SECONDS = 2.0

_log = logging.getLogger(__name__)


class KnowledgeKeeper:
    """Reads the calibration at start, and again whenever its file has changed.

    The file is in the home folder, unless the configuration says otherwise.
    """

    def __init__(self, settings: Settings, home: Path) -> None:
        self.knowledge = Knowledge()
        self._settings = settings
        chosen = settings.routing.calibration
        self._path = Path(chosen) if chosen else home / FILE_NAME
        self._seen: tuple[int, int] | None = None

    async def read(self) -> None:
        """Reads the file; what cannot be believed of it is told in the log."""
        self._seen = self._version()
        found = await beside_loop(load, self._path)
        for note in found.notes:
            _log.warning("%s", note)
        models = self._settings.models
        self.knowledge.quality = QualityTable(
            measured=found.quality_measured,
            declared={model.id: model.quality for model in models if model.quality},
            tasks={model.id: model.tasks for model in models if model.tasks},
        )
        self.knowledge.confidence = found.confidences
        self.knowledge.classifier = found.classifier

    async def watch(self) -> None:
        """Looks at the file for as long as the service lives."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if self._version() != self._seen:
                await self.read()
                _log.info("%s: read anew", self._path)

    def _version(self) -> tuple[int, int] | None:
        try:
            facts = self._path.stat()
        except OSError:
            return None
        return facts.st_mtime_ns, facts.st_size
