"""The guides of all vocabularies that answers are constrained over."""

from __future__ import annotations

import asyncio

from quorate.engines.confinement.plan import Isolation
from quorate.engines.vocabulary import BYTES, Vocabulary
from quorate.guides.guide import Guide, GuideSession
from quorate.request.constraints import OutputConstraint

# A vocabulary's table takes some 50 MB.
_MOST_PROCESSES = 4
# Whoever needs longer is refused; what fits into a request mostly takes some milliseconds.
_COMPILE_SECONDS = 3.0


class Guides:
    """A guide for each vocabulary, as they are asked for; those nobody uses make room.

    A grammar is tried in a process that nobody else's answer depends on, before it comes to others.
    """

    def __init__(self, isolation: Isolation | None = None) -> None:
        self._isolation = isolation or Isolation()
        self._trial = Guide(BYTES, self._isolation, _COMPILE_SECONDS)
        self._guides: dict[str, Guide] = {}
        self._ending: set[asyncio.Task[None]] = set()

    async def open(self, constraint: OutputConstraint, vocabulary: Vocabulary) -> GuideSession:
        """Begins an answer over the symbols of a vocabulary; see ``Guide.open``."""
        (await self._trial.open(constraint)).close()
        return await self._guide(vocabulary).open(constraint)

    async def close(self) -> None:
        """Ends every process. Idempotent."""
        guides, self._guides = [self._trial, *self._guides.values()], {}
        await asyncio.gather(*(guide.close() for guide in guides), *self._ending)

    def _guide(self, vocabulary: Vocabulary) -> Guide:
        """That of a vocabulary, which is the one that was used last from now on."""
        name = vocabulary.fingerprint
        guide = self._guides.pop(name, None) or Guide(vocabulary, self._isolation)
        self._guides[name] = guide
        for old, other in [*self._guides.items()]:
            if len(self._guides) <= _MOST_PROCESSES:
                break
            if other is not guide and not other.sessions:
                del self._guides[old]
                task = asyncio.create_task(other.close())
                self._ending.add(task)
                task.add_done_callback(self._ending.discard)
        return guide
