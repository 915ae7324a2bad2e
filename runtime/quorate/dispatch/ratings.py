"""What callers think of the answers they got, and whose votes that is about."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
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
        vote: Key of the vote that gave it, as ``QualityTable`` has it; "" where that says nothing
            of a vote: a remote gave it, or some member was lost meanwhile.
        models: Its members.
        task: Tag of the request, or "".
    """

    vote: str
    models: tuple[str, ...] = ()
    task: str = ""


@dataclass(slots=True)
class _OfKey:
    """What is known of one key; scores are by request, the latest last, and tallies of them."""

    answers: OrderedDict[str, RatedAnswer] = field(default_factory=OrderedDict)
    scores: OrderedDict[tuple[str, str], OrderedDict[str, float]] = field(
        default_factory=OrderedDict
    )
    tallies: Mapping[tuple[str, str], Tally] | None = None

    def score(self, request_id: str) -> float | None:
        """What was said of an answer."""
        return next((one[request_id] for one in self.scores.values() if request_id in one), None)


class Ratings:
    """Ratings by key: what one caller says moves what is expected for that caller alone.

    Of each vote and task the latest ``MOST_RATINGS`` count, so that nothing is said once and for
    all. All of it is bounded: the answers that can be rated, votes, and keys.
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

    def score(self, key: str, request_id: str) -> float | None:
        """What a caller said of an answer so far."""
        known = self._keys.get(key)
        return None if known is None else known.score(request_id)

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
        known = self._keys[key]
        for scores in known.scores.values():
            scores.pop(request_id, None)
        if answer.vote:
            place = answer.vote, answer.task
            scores = _latest(known.scores, place, OrderedDict, _MOST_VOTES)
            scores[request_id] = score
            if len(scores) > MOST_RATINGS:
                scores.popitem(last=False)
        known.tallies = None

    def restore(self, ratings: Iterable[Rating]) -> None:
        """Takes up what was said before, the oldest first."""
        for one in ratings:
            self._remember(one.key, one.request_id, RatedAnswer(one.vote, one.models, one.task))
            self.rate(one.key, one.request_id, one.score)

    def of(self, key: str) -> Mapping[tuple[str, str], Tally]:
        """What the caller said of votes, by their keys and tasks."""
        known = self._keys.get(key)
        if known is None:
            return {}
        if known.tallies is None:
            # Asked for with every request, while ratings are few, but for those of a restart.
            known.tallies = {
                place: Tally(sum(scores.values()), float(len(scores)))
                for place, scores in known.scores.items()
            }
        return known.tallies

    def _remember(self, key: str, request_id: str, answer: RatedAnswer) -> None:
        known = _latest(self._keys, key, _OfKey, _MOST_KEYS)
        known.answers.pop(request_id, None)
        known.answers[request_id] = answer
        if len(known.answers) > MOST_ANSWERS:
            known.answers.popitem(last=False)


def _answer_of(attempt: Attempt) -> RatedAnswer:
    """Who gave an answer: of a cascade the stage that did."""
    route, decision = attempt.decision.route, attempt.given_by or attempt.decision
    nobody = RatedAnswer("", (), route.task)
    disturbed = any(run.ensemble.losses.dropped for run in attempt.runs if run.decision is decision)
    if attempt.remote is not None or disturbed:
        return nobody
    models = tuple(member.model for member in decision.members)
    if route.answers is None:
        return RatedAnswer(vote_key(decision), models, route.task)
    if attempt.outcome is None or any(one.problem for one in attempt.outcome.answers):
        return nobody
    return RatedAnswer(answers_key(models, route.answers), models, route.task)


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
