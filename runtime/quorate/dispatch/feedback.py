"""Takes what callers thought of answers: into the books, and into what is expected of plans."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from quorate.dispatch.ratings import RatedAnswer
from quorate.dispatch.recorder import AttemptRecorder
from quorate.dispatch.router import Router
from quorate.errors import CannotRun
from quorate.ledger.ratings import Rating


@dataclass(frozen=True, slots=True)
class RatedVote:
    """What a rating did.

    Attributes:
        vote: Key of the vote that gave the answer, as ``QualityTable`` has it; "" for a remote.
        task: Tag of the request, or "".
        before: Expected share of right answers of that vote for the caller; None of a remote.
        after: The same with the rating.
    """

    vote: str
    task: str
    before: float | None
    after: float | None


class Feedback:
    """Counts ratings.

    Args:
        recorder: Remembers who gave which answer, and has the ledger.
        router: Chooses plans by what is expected of them.
        clock: UTC epoch seconds.
    """

    def __init__(
        self, recorder: AttemptRecorder, router: Router, clock: Callable[[], float] = time.time
    ) -> None:
        self._recorder = recorder
        self._router = router
        self._clock = clock

    async def rate(self, key: str, request_id: str, score: float) -> RatedVote:
        """Counts what a caller thought of an answer, once the ledger has it.

        Args:
            key: Of the caller, whose own request it was.
            request_id: Of the request.
            score: From 0, useless, to 1, right; of one answer the last one counts.

        Raises:
            NotFound: No such request of this key was answered lately.
            CannotRun: The configuration switched ratings off.
            Unavailable: The ledger cannot be written.
        """
        if not self._router.feedback:
            raise CannotRun("ratings", "are switched off here; see feedback in [routing]")
        ratings, ledger = self._recorder.ratings, self._recorder.ledger
        answer = ratings.find(key, request_id)
        before = self._expected(key, answer)
        if ledger is not None:
            now = self._clock()
            await ledger.rate(Rating(key, request_id, answer.vote, answer.task, score, now))
        ratings.rate(key, request_id, score)
        return RatedVote(answer.vote, answer.task, before, self._expected(key, answer))

    def _expected(self, key: str, answer: RatedAnswer) -> float | None:
        if not answer.vote:
            return None
        return self._router.quality(key).expected(answer.vote, answer.models, answer.task)
