"""The sessions of one worker: their numbers, their rows, who waits for what, and what may come.

A worker answers what it was asked, once, in the order in which it was asked. So there is nothing it
could say of a session that is not known here: what is waited for, or what was until the session was
closed a moment ago. Everything else is out of turn; see ``claims``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from quorate.engines.admission import Admission
from quorate.engines.contract import ModelFacts
from quorate.engines.generation import SAMPLED_AHEAD, EngineSampling, SampledToken
from quorate.engines.row_blocks import RowBlock
from quorate.engines.scheduler.generations import SessionOutput
from quorate.engines.session_backend import OpenedSession, WaitingSession
from quorate.engines.worker.claims import OutOfTurn
from quorate.engines.worker.messages import Completed, Sampled, Scored, ScoredPart
from quorate.engines.worker.transport.contract import Rows
from quorate.errors import QuorateError, WorkerLost

Outcome = Completed | ScoredPart | Scored | Sampled

# Log-probs are normalised in single precision, over rows of hundreds of thousands.
_ROUNDING = 0.01
_GLANCE = 256
# One may come of a prompt that the model cannot bear; a worker that gives nothing else is broken.
_BAD_ROWS = 3


@dataclass(slots=True)
class _Asked:
    """What a session was asked for last, and has not been told yet.

    Attributes:
        kind: The message that answers it.
        held: Most tokens that can have been found in a cache.
        most: Numbers that may still come: log-probs of a text, or sampled tokens.
        shown: Most alternatives told with a sampled token.
        ahead: Sampled tokens that may come before the reader takes some.
        order: How many were asked before it.
        left_at: How many had been asked when its session was closed.
        told: Log-probs that came so far, where a text is scored.
        rows: Rows of its block that are written; 0 where it is the session's row.
    """

    session: WaitingSession
    kind: type[Completed] | type[Scored] | type[Sampled]
    held: int
    most: int = 0
    shown: int = 0
    ahead: int = 0
    order: int = 0
    left_at: int = 0
    told: list[float] | None = None
    rows: int = 0

    @property
    def expected(self) -> bool:
        """Whether the worker owes something now: a generation may wait for its reader."""
        return self.kind is not Sampled or self.ahead > 0


class SessionTable:
    """Made when the model is loaded, gone with the worker.

    Args:
        model: Its id, for messages.

    Attributes:
        rows: Where outcomes appear, by slot.
    """

    def __init__(
        self, facts: ModelFacts, rows: Rows, vocabulary_size: int, model: str = ""
    ) -> None:
        self.facts = facts
        self.admission = Admission(facts.sessions, facts.kv_tokens)
        self.rows = rows
        self._vocabulary_size = vocabulary_size
        self._model = model
        self._numbers = itertools.count()
        self._asked_so_far = 0
        self._open: dict[int, OpenedSession] = {}
        self._waiting: dict[int, _Asked] = {}
        # Closed while an answer was on its way, in the order of their closing.
        self._left: dict[int, _Asked] = {}
        self._bad_rows = 0

    @property
    def kv_usage(self) -> float:
        """Share of the KV cache that sessions have reserved, in [0, 1]."""
        return 1.0 - self.admission.free_kv_tokens / self.facts.kv_tokens

    @property
    def open_sessions(self) -> int:
        """How many there are."""
        return len(self._open)

    @property
    def waiting(self) -> bool:
        """Whether any session waits for an outcome."""
        return any(asked.expected for asked in self._waiting.values())

    def add(self, slot: int, sums: bool) -> OpenedSession:
        """Numbers a new session, once and never again."""
        rows = self.rows
        opened = OpenedSession(
            next(self._numbers),
            rows.row(slot),
            rows.sums(slot) if sums else None,
            rows.masked_mass(slot),
            rows.block(slot, sums),
            None if sums else rows.maxima(slot),
        )
        self._open[opened.number] = opened
        return opened

    def feeds(
        self, number: int, tokens: Sequence[int], session: WaitingSession, rows: int = 0
    ) -> None:
        """A session was fed, and waits for its row, or for so many of its block."""
        held = session.most_cached(len(tokens))
        self._ask(number, _Asked(session, Completed, held, rows=rows))

    def scores(self, number: int, tokens: Sequence[int], session: WaitingSession) -> None:
        """A session was given a text, and waits for its log-probs."""
        self._ask(number, _Asked(session, Scored, 0, len(tokens) - 1, told=[]))

    def generates(
        self, number: int, tokens: Sequence[int], options: EngineSampling, session: WaitingSession
    ) -> None:
        """A session goes on alone, and waits for what is sampled."""
        held = session.most_cached(len(tokens))
        most, shown = options.max_tokens, options.top_logprobs
        ahead = most if self.facts.capabilities.own_sampler else SAMPLED_AHEAD
        self._ask(number, _Asked(session, Sampled, held, most, shown, ahead))

    def taken(self, number: int, tokens: int) -> None:
        """The reader of a session took so many tokens, so that as many more may come."""
        asked = self._waiting.get(number)
        if asked is not None:
            asked.ahead += tokens

    def forget(self, number: int) -> None:
        """A session hears nothing more, whether it waited or not."""
        self._open.pop(number, None)
        asked = self._waiting.pop(number, None)
        if asked is not None:
            asked.left_at = self._asked_so_far
            self._left[number] = asked

    def deliver(self, message: Outcome) -> None:
        """Tells those who wait; a session that was closed meanwhile has nobody waiting.

        Raises:
            OutOfTurn: Nobody asked for it, or it is no answer to what was asked.
        """
        match message:
            case Completed([]) | Sampled([]) | ScoredPart(_, []):
                raise OutOfTurn("an answer with nothing in it")
            case Completed(feeds):
                for feed in feeds:
                    self._completed(feed)
            case ScoredPart(number, logprobs):
                self._take_scores(self._asked(number, Scored), logprobs)
            case Scored(number, logprobs):
                asked = self._asked(number, Scored)
                self._take_scores(asked, logprobs)
                if asked.most:
                    raise OutOfTurn(f"a score of session {number} that lacks {asked.most} tokens")
                self._answered(number, asked)
                if number in self._open:
                    asked.session.scored(asked.told or [])
            case Sampled(outputs):
                for output in outputs:
                    self._sampled(output)

    def fail_all(self, make_error: Callable[[], QuorateError]) -> None:
        """Hands everyone who waits, for an outcome or to be admitted, an error of their own."""
        waiting, self._waiting = self._waiting, {}
        for asked in waiting.values():
            asked.session.failed(make_error())
        self.admission.fail_all(make_error())

    def _ask(self, number: int, asked: _Asked) -> None:
        asked.order = self._asked_so_far
        self._asked_so_far += 1
        self._waiting[number] = asked

    def _asked(self, number: int, kind: type[Completed] | type[Scored] | type[Sampled]) -> _Asked:
        """What a session was asked for, that an answer belongs to."""
        asked = self._waiting.get(number) or self._left.get(number)
        if asked is None:
            raise OutOfTurn(f"an answer of session {number}, which nobody asked for")
        if asked.kind is not kind:
            wanted = asked.kind.__name__
            raise OutOfTurn(f"{kind.__name__} of session {number}, which awaits {wanted}")
        return asked

    def _answered(self, number: int, asked: _Asked) -> None:
        """The whole answer is there and right."""
        if self._waiting.pop(number, None) is None:
            del self._left[number]
        if self._left:
            self._prune(asked.order)

    def _prune(self, order: int) -> None:
        """Forgets sessions that were closed before this was asked: the worker knows by now."""
        while self._left:
            number, left = next(iter(self._left.items()))
            if left.left_at > order:
                return
            del self._left[number]

    def _completed(self, feed: Sequence[int]) -> None:
        if len(feed) != 2:
            raise OutOfTurn(f"a feed in {len(feed)} numbers")
        number, cached_tokens = feed
        asked = self._asked(number, Completed)
        _check_cached(cached_tokens, asked)
        opened = self._open.get(number)
        problem = "" if opened is None else _objection(opened, asked.rows)
        if problem:
            self._bad_rows += 1
            if self._bad_rows >= _BAD_ROWS:
                raise OutOfTurn(f"{self._bad_rows} rows one after the other in which {problem}")
        self._answered(number, asked)
        if opened is None:
            return
        if not problem:
            self._bad_rows = 0
            asked.session.completed(cached_tokens)
            return
        asked.session.failed(WorkerLost(self._model, f"gave a row in which {problem}"))

    def _take_scores(self, asked: _Asked, logprobs: Sequence[float]) -> None:
        if len(logprobs) > asked.most:
            raise OutOfTurn("more log-probs than the text has tokens")
        # NaN is not below anything.
        if not all(logprob <= _ROUNDING for logprob in logprobs):
            raise OutOfTurn("a log-prob that is none")
        if asked.told is not None:
            asked.told.extend(logprobs)
        asked.most -= len(logprobs)

    def _sampled(self, output: SessionOutput) -> None:
        asked = self._asked(output.session, Sampled)
        _check_cached(output.cached_tokens, asked)
        asked.most -= len(output.tokens)
        asked.ahead -= len(output.tokens)
        if asked.most < 0 or asked.ahead < 0:
            raise OutOfTurn(f"more tokens of session {output.session} than were asked for")
        for token in output.tokens:
            self._check_sampled(token, asked.shown)
        if output.finished:
            self._answered(output.session, asked)
        if output.session in self._open:
            asked.session.sampled(output.tokens, output.finished, output.cached_tokens)

    def _check_sampled(self, sampled: SampledToken, shown: int) -> None:
        if len(sampled.top) > shown:
            raise OutOfTurn(f"{len(sampled.top)} alternatives where {shown} were asked for")
        for token, logprob in ((sampled.token, sampled.logprob), *sampled.top):
            if not 0 <= token < self._vocabulary_size:
                raise OutOfTurn(f"token {token}, which none of {self._vocabulary_size} is")
            if not logprob <= _ROUNDING:
                raise OutOfTurn("a log-prob that is none")
        if not -_ROUNDING <= sampled.masked_mass <= 1 + _ROUNDING:
            raise OutOfTurn(f"a mask that took {sampled.masked_mass}")


def _check_cached(cached_tokens: int, asked: _Asked) -> None:
    if not 0 <= cached_tokens <= asked.held:
        raise OutOfTurn(f"{cached_tokens} cached tokens of {asked.held}")


def _objection(opened: OpenedSession, rows: int) -> str:
    """What shows at a glance that a row is no distribution; "" where nothing does.

    A row whose normaliser was no number has none anywhere, so that its beginning is enough: a
    maximum passes no NaN over.
    """
    if rows:
        return _objection_to_block(opened.block.part(0, rows))
    top = float(opened.row[:_GLANCE].max())
    if top == -math.inf:
        top = float(opened.row.max())
    return _objection_to(top, float(opened.masked_mass[0]))


def _objection_to_block(block: RowBlock) -> str:
    tops = block.rows[:, :_GLANCE].max(axis=1)
    for row, (top, masked) in enumerate(zip(tops.tolist(), block.masked.tolist(), strict=True)):
        if top == -math.inf:
            top = float(block.rows[row].max())
        problem = _objection_to(top, masked)
        if problem:
            return problem
    return ""


def _objection_to(top: float, masked: float) -> str:
    if not -math.inf < top <= _ROUNDING:
        return f"the largest log-prob is {top}"
    if not -_ROUNDING <= masked <= 1 + _ROUNDING:
        return f"the mask took {masked}"
    return ""
