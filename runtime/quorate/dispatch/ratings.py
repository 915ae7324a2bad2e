"""What callers think of the answers they got, and whose votes that is about."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from quorate.dispatch.attempt import Attempt
from quorate.errors import NotFound
from quorate.ledger.ratings import Rating
from quorate.request import Request
from quorate.routing.forecast import vote_key
from quorate.routing.quality import MOST_RATINGS, Tally
from quorate.routing.snapshot import answers_key

MOST_ANSWERS = 512
"""Answers of each key that can be rated: its newest ones."""

_MOST_KEYS = 1024
# Votes and tasks of a key whose ratings count; callers may spell out any vote.
_MOST_VOTES = 256

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class RatedAnswer:
    """An answer that can be rated.

    Attributes:
        vote: Key of the vote that gave it, as ``QualityTable`` has it; "" for a remote.
        models: Its members.
        task: Tag of the request, or "".
        score: What its caller thought of it; None where nothing was said.
    """

    vote: str
    models: tuple[str, ...] = ()
    task: str = ""
    score: float | None = None


@dataclass(slots=True)
class _OfKey:
    answers: OrderedDict[str, RatedAnswer] = field(default_factory=OrderedDict)
    tallies: OrderedDict[tuple[str, str], Tally] = field(default_factory=OrderedDict)


class Ratings:
    """Ratings by key: what one caller says moves what is expected for that caller alone.

    Of each vote and task the latest count as ``MOST_RATINGS`` at most, so that nothing is said once
    and for all. All of it is bounded: the answers that can be rated, votes, and keys.
    """

    def __init__(self) -> None:
        self._keys: OrderedDict[str, _OfKey] = OrderedDict()

    def answered(self, attempt: Attempt) -> None:
        """Remembers an answer that its caller got whole."""
        request = attempt.request
        if isinstance(request, Request) and not request.probe:
            self._remember(request.key, request.request_id, _answer_of(attempt))

    def find(self, key: str, request_id: str) -> RatedAnswer:
        """The answer to a request of this key.

        Raises:
            NotFound: No such request of this key was answered lately.
        """
        known = self._keys.get(key)
        found = None if known is None else known.answers.get(request_id)
        if found is None:
            hint = f"an answer can be rated once it is whole, and the last {MOST_ANSWERS} of a key"
            raise NotFound("request", request_id, (), hint=hint)
        return found

    def rate(self, key: str, request_id: str, score: float) -> None:
        """Counts what a caller thought of an answer, in place of what it said before of the same.

        Args:
            key: Of the caller.
            request_id: Of the request.
            score: From 0 to 1.

        Raises:
            NotFound: See ``find``.
        """
        answer = self.find(key, request_id)
        self._keys[key].answers[request_id] = replace(answer, score=score)
        self._count(key, answer, score)

    def restore(self, ratings: Iterable[Rating]) -> None:
        """Takes up what was said before, the oldest first."""
        for one in ratings:
            self._remember(one.key, one.request_id, RatedAnswer(one.vote, (), one.task, one.score))
            self._count(one.key, RatedAnswer(one.vote, (), one.task), one.score)

    def of(self, key: str) -> Mapping[tuple[str, str], Tally]:
        """What the caller said of votes, by their keys and tasks."""
        known = self._keys.get(key)
        return {} if known is None else known.tallies

    def _remember(self, key: str, request_id: str, answer: RatedAnswer) -> None:
        known = _latest(self._keys, key, _OfKey, _MOST_KEYS)
        known.answers.pop(request_id, None)
        known.answers[request_id] = answer
        if len(known.answers) > MOST_ANSWERS:
            known.answers.popitem(last=False)

    def _count(self, key: str, answer: RatedAnswer, score: float) -> None:
        if not answer.vote:
            return
        tallies = self._keys[key].tallies
        tally = _latest(tallies, (answer.vote, answer.task), lambda: Tally(0.0, 0.0), _MOST_VOTES)
        if answer.score is not None:
            right = min(max(tally.right + score - answer.score, 0.0), tally.cases)
            tallies[answer.vote, answer.task] = Tally(right, tally.cases)
            return
        # The latest count whole, those before them less and less.
        kept = min(1.0, (MOST_RATINGS - 1.0) / tally.cases) if tally.cases else 0.0
        tallies[answer.vote, answer.task] = Tally(
            tally.right * kept + score, tally.cases * kept + 1.0
        )


def _answer_of(attempt: Attempt) -> RatedAnswer:
    """Who gave an answer: of a cascade the stage that did."""
    route, decision = attempt.decision.route, attempt.decision
    if attempt.remote is not None:
        return RatedAnswer("", (), route.task)
    if route.answers is not None:
        models = tuple(member.model for member in decision.members)
        return RatedAnswer(answers_key(models, route.answers), models, route.task)
    ended = [run.decision for run in attempt.runs if run.reason is not None]
    if not ended:
        return RatedAnswer("", (), route.task)
    models = tuple(member.model for member in ended[-1].members)
    return RatedAnswer(vote_key(ended[-1]), models, route.task)


def _latest(
    known: OrderedDict[_Key, _Value], key: _Key, make: Callable[[], _Value], most: int
) -> _Value:
    """The value of a key, which is the last one to be dropped from now on."""
    if key not in known:
        known[key] = make()
        if len(known) > most:
            known.popitem(last=False)
    known.move_to_end(key)
    return known[key]
