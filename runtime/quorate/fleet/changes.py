"""The latest status of every model, and those who watch it change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from quorate.fleet.status import ModelStatus


class StatusFeed:
    """Keeps one status for each model; a slow watcher skips what was replaced meanwhile."""

    def __init__(self) -> None:
        self._latest: dict[str, ModelStatus] = {}
        self._watchers: set[_Watcher] = set()

    @property
    def latest(self) -> dict[str, ModelStatus]:
        """Every model's status by id, in the order the models were added; not to be changed."""
        return self._latest

    def post(self, status: ModelStatus) -> None:
        """Replaces a model's status and tells the watchers, unless nothing changed."""
        if self._latest.get(status.id) == status:
            return
        self._latest[status.id] = status
        for watcher in self._watchers:
            watcher.tell(status.id)

    async def watch(self) -> AsyncGenerator[ModelStatus, None]:
        """Yields every model's status now, then each change."""
        watcher = _Watcher(self._latest)
        self._watchers.add(watcher)
        try:
            while True:
                for model in await watcher.changed():
                    yield self._latest[model]
        finally:
            self._watchers.discard(watcher)


class _Watcher:
    """Which models changed since a watcher last looked; never more than there are models."""

    def __init__(self, models: dict[str, ModelStatus]) -> None:
        self._changed = dict.fromkeys(models)
        self._wake = asyncio.Event()
        self._wake.set()

    def tell(self, model: str) -> None:
        self._changed[model] = None
        self._wake.set()

    async def changed(self) -> list[str]:
        await self._wake.wait()
        self._wake.clear()
        models = list(self._changed)
        self._changed.clear()
        return models
