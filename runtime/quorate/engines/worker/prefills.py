"""Which prompts a worker is reading, so that it is known of which one it died."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Sequence

from quorate.engines.admission import Admission
from quorate.engines.contract import ModelFacts
from quorate.engines.generation import EngineSampling
from quorate.engines.quarantine import Quarantine, is_of_the_prompt
from quorate.engines.session_backend import OpenedSession, WaitingSession
from quorate.engines.worker.handle import WorkerHandle


class WatchedWorker:
    """A ``SessionBackend`` over one life of a worker, which notes prompts that are being read.

    A worker that dies while it reads a single prompt died of that, as far as anybody knows; one
    that dies again, among the prompts of all who were replayed, died of the one that was suspected
    before. So nobody is suspected for having been there. Prompts in quarantine are not fed.
    """

    def __init__(self, worker: WorkerHandle, quarantine: Quarantine) -> None:
        self.worker = worker
        self._quarantine = quarantine
        self._reading: dict[int, tuple[WaitingSession, Sequence[int]]] = {}
        worker.lost.add_done_callback(self._on_lost)

    @property
    def model(self) -> str:
        """See ``SessionBackend``."""
        return self.worker.model

    @property
    def facts(self) -> ModelFacts:
        """See ``SessionBackend``."""
        return self.worker.facts

    @property
    def admission(self) -> Admission:
        """See ``SessionBackend``."""
        return self.worker.admission

    @property
    def waited_seconds(self) -> float:
        """See ``SessionBackend``."""
        return self.worker.waited_seconds

    def check_alive(self) -> None:
        """See ``SessionBackend``."""
        self.worker.check_alive()

    def open(self, slot: int, sums: bool) -> OpenedSession:
        """See ``SessionBackend``."""
        return self.worker.open(slot, sums)

    def branch(self, parent: int, slot: int, sums: bool) -> OpenedSession:
        """See ``SessionBackend``."""
        return self.worker.branch(parent, slot, sums)

    def feed(
        self, number: int, tokens: Sequence[int], session: WaitingSession, rows: int = 0
    ) -> None:
        """See ``SessionBackend``; also raises ``PromptQuarantined``."""
        self._note(number, tokens, session)
        self.worker.feed(number, tokens, session, rows)

    def score(self, number: int, tokens: Sequence[int], session: WaitingSession) -> None:
        """See ``SessionBackend``; also raises ``PromptQuarantined``."""
        self._note(number, tokens, session)
        self.worker.score(number, tokens, session)

    def generate(
        self, number: int, tokens: Sequence[int], options: EngineSampling, session: WaitingSession
    ) -> None:
        """See ``SessionBackend``; also raises ``PromptQuarantined``."""
        self._note(number, tokens, session)
        self.worker.generate(number, tokens, options, session)

    def taken(self, number: int, tokens: int) -> None:
        """See ``SessionBackend``."""
        self.worker.taken(number, tokens)

    def rewind(self, number: int, count: int) -> None:
        """See ``SessionBackend``."""
        self.worker.rewind(number, count)

    def close(self, number: int) -> None:
        """See ``SessionBackend``."""
        self._was_read(number)
        self.worker.close(number)

    def _note(self, number: int, tokens: Sequence[int], session: WaitingSession) -> None:
        if session.position > 0:
            if self._reading:
                self._was_read(number)
            return
        if self._quarantine:
            self._quarantine.check("prompt", _key(tokens))
        self._reading[number] = session, tokens

    def _was_read(self, number: int) -> None:
        session, tokens = self._reading.pop(number, (None, ()))
        if session is not None and session.position > 0 and self._quarantine:
            self._quarantine.absolve(_key(tokens))

    def _on_lost(self, lost: asyncio.Future[str]) -> None:
        """Runs before anybody who waits for the worker learns of its loss."""
        reading = [_key(tokens) for one, tokens in self._reading.values() if one.position == 0]
        self._reading.clear()
        if not is_of_the_prompt(lost.result()):
            return
        suspected = [key for key in reading if self._quarantine.suspicion(key)]
        for key in suspected or (reading if len(reading) == 1 else ()):
            self._quarantine.blame(key, lost.result())


def _key(tokens: Sequence[int]) -> bytes:
    return array("q", tokens).tobytes()
