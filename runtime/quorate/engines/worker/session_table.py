"""The sessions of one worker: their numbers, their rows, and who waits for what."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from quorate.engines.admission import Admission
from quorate.engines.contract import ModelFacts
from quorate.engines.session import EngineSession, OpenedSession
from quorate.engines.worker.messages import Completed, Sampled, Scored
from quorate.engines.worker.transport.contract import Rows
from quorate.errors import QuorateError


class SessionTable:
    """Made when the model is loaded, gone with the worker.

    Attributes:
        rows: Where outcomes appear, by slot.
    """

    def __init__(self, facts: ModelFacts, rows: Rows) -> None:
        self.facts = facts
        self.admission = Admission(facts.sessions, facts.kv_tokens)
        self.rows = rows
        self._numbers = itertools.count()
        self._waiting: dict[int, EngineSession] = {}

    @property
    def waiting(self) -> bool:
        """Whether any session waits for an outcome."""
        return bool(self._waiting)

    def add(self, slot: int, sums: bool) -> OpenedSession:
        """Numbers a new session, once and never again."""
        row, of_row = self.rows.row(slot), self.rows.sums(slot) if sums else None
        return OpenedSession(next(self._numbers), row, of_row, self.rows.masked_mass(slot))

    def expect(self, number: int, session: EngineSession) -> None:
        """A session waits for an outcome from now on."""
        self._waiting[number] = session

    def forget(self, number: int) -> None:
        """A session hears nothing more, whether it waited or not."""
        self._waiting.pop(number, None)

    def deliver(self, message: Completed | Scored | Sampled) -> None:
        """Tells those who wait; a session that was closed meanwhile has nobody waiting."""
        match message:
            case Completed(feeds):
                for number, cached_tokens in feeds:
                    session = self._waiting.pop(number, None)
                    if session is not None:
                        session.completed(cached_tokens)
            case Scored(number, logprobs):
                session = self._waiting.pop(number, None)
                if session is not None:
                    session.scored(logprobs)
            case Sampled(outputs):
                for output in outputs:
                    take = self._waiting.pop if output.finished else self._waiting.get
                    session = take(output.session, None)
                    if session is not None:
                        session.sampled(output.tokens, output.finished, output.cached_tokens)

    def fail_all(self, make_error: Callable[[], QuorateError]) -> None:
        """Hands everyone who waits, for an outcome or to be admitted, an error of their own."""
        waiting, self._waiting = self._waiting, {}
        for session in waiting.values():
            session.failed(make_error())
        self.admission.fail_all(make_error())
