"""Takes what callers thought of answers: into the books, and into what is expected of plans."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from quorate.dispatch.callers import Callers
from quorate.dispatch.ratings import RatedAnswer
from quorate.dispatch.recorder import AttemptRecorder
from quorate.dispatch.router import Router
from quorate.errors import CannotRun
from quorate.ledger.ratings import Rating


@dataclass(frozen=True, slots=True)
class RatedVote:
    """What a rating did.

    Attributes:
        vote: See ``RatedAnswer``.
        task: Tag of the request, or "".
        before: Expected share of right answers of that vote for the caller; None without one.
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
        callers: Keeps keys to their requests by the minute, of which a rating is one.
        clock: UTC epoch seconds.
    """

    def __init__(
        self,
        recorder: AttemptRecorder,
        router: Router,
        callers: Callers,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._callers = callers
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
            LimitReached: The key allows no more now.
            NotFound: No such request of this key was answered lately.
            CannotRun: The configuration switched ratings off.
            Unavailable: The ledger cannot be written.
        """
        self._callers.call(key)
        if not self._router.feedback:
            raise CannotRun("ratings", "are switched off here; see feedback in [routing]")
        ratings, ledger = self._recorder.ratings, self._recorder.ledger
        answer = ratings.find(key, request_id)
        before = self._expected(key, answer)
        if ratings.score(key, request_id) == score:
            return RatedVote(answer.vote, answer.task, before, before)
        if ledger is not None:
            vote, models, task = answer.vote, answer.models, answer.task
            now = self._clock()
            await ledger.rate(Rating(key, request_id, vote, models, task, score, now))
        ratings.rate(key, request_id, score)
        return RatedVote(answer.vote, answer.task, before, self._expected(key, answer))

    def _expected(self, key: str, answer: RatedAnswer) -> float | None:
        if not answer.vote:
            return None
        return self._router.quality(key).expected(answer.vote, answer.models, answer.task)
