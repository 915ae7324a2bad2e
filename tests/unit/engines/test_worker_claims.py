"""What a worker may say: in lines that are short, and only what it was asked."""

from __future__ import annotations

import math
import random
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.engines.contract import Capabilities, ModelFacts
from quorate.engines.generation import SAMPLED_AHEAD, SampledToken
from quorate.engines.row_blocks import RowBlock
from quorate.engines.scheduler.generations import SessionOutput
from quorate.engines.scheduler.scheduler import Completion
from quorate.engines.worker.answers import answer
from quorate.engines.worker.claims import LONGEST_LINE, OutOfTurn, checked_loaded, clean
from quorate.engines.worker.messages import (
    FROM_WORKER,
    Completed,
    Encoded,
    EncodedPart,
    Loaded,
    Refused,
    Sampled,
    Scored,
    ScoredPart,
)
from quorate.engines.worker.session_table import SessionTable
from quorate.engines.worker.work_loop import outcomes_of_step
from quorate.errors import WorkerLost
from support.scripted_models import engine_sampling

FACTS = ModelFacts("toy", 512, 8, 4096, Capabilities(chat=True, fork=False, rewind=True))
VOCABULARY = 16
ODDEST = -1.2345678901234567e-05


@dataclass
class Step:
    """What a scheduler makes of one step."""

    completions: list[Any] = field(default_factory=list)
    outputs: list[SessionOutput] = field(default_factory=list)

    def step(self) -> list[Any]:
        return self.completions

    def sampled(self) -> list[SessionOutput]:
        return self.outputs


@dataclass
class Listener:
    """A session that notes what it is told."""

    told: list[Any] = field(default_factory=list)

    def most_cached(self, fed: int) -> int:
        return fed

    def completed(self, cached: int) -> None:
        self.told.append(cached)

    def scored(self, logprobs: list[float]) -> None:
        self.told.append(logprobs)

    def sampled(self, tokens: Any, finished: bool, cached: int) -> None:
        self.told.append((len(tokens), finished))

    def failed(self, error: Exception) -> None:
        self.told.append(error)


class Rows:
    """Rows that may be changed by whoever has them."""

    busy_since_ns = steps_done = 0

    def __init__(self) -> None:
        even = np.full((8, VOCABULARY), -np.log(VOCABULARY), np.float32)
        self.by_slot = even
        self.masked = np.zeros((8, 1), np.float32)
        self.blocks = np.full((8, 3, VOCABULARY), -np.log(VOCABULARY), np.float32)
        self.blocks_masked = np.zeros((8, 3), np.float32)

    def row(self, slot: int) -> Any:
        return self.by_slot[slot]

    def sums(self, slot: int) -> Any:
        return np.zeros(VOCABULARY + 1)

    def masked_mass(self, slot: int) -> Any:
        return self.masked[slot]

    def maxima(self, slot: int) -> Any:
        return None

    def block(self, slot: int, sums: bool) -> RowBlock:
        return RowBlock(self.blocks[slot], self.blocks_masked[slot])


@pytest.fixture
def rows() -> Rows:
    return Rows()


@pytest.fixture
def table(rows: Rows) -> SessionTable:
    return SessionTable(FACTS, rows, VOCABULARY, "toy")


def lines(messages: list[Any]) -> list[int]:
    return [len(FROM_WORKER.encode(message)) for message in messages]


@given(st.integers(0, 5000))
def test_the_tokens_of_a_prompt_come_in_short_lines_and_whole(count):
    tokens = [151_935] * count
    *parts, last = answer(7, lambda: tokens, 4096)

    assert isinstance(last, Encoded)
    assert all(isinstance(part, EncodedPart) and part.tokens for part in parts)
    assert [token for part in (*parts, last) for token in part.tokens] == tokens
    assert max(lines([*parts, last])) < LONGEST_LINE


def test_more_tokens_than_a_prompt_can_have_are_a_refusal_and_no_answer():
    [told] = answer(7, lambda: [1] * 100_000, 512)

    assert isinstance(told, Refused)
    assert (told.kind, told.request) == ("PromptTooLong", 7)


def test_a_refusal_of_any_length_fits_into_a_line():
    def fails() -> list[int]:
        raise RuntimeError("\x00é" * 100_000)

    assert max(lines(answer(7, fails, 512))) < LONGEST_LINE


@given(st.integers(0, 3000))
def test_scores_come_in_short_lines_and_whole(count):
    step = Step([Completion(3, 0, [ODDEST] * count)])
    *parts, last = outcomes_of_step(step)

    assert isinstance(last, Scored)
    assert all(isinstance(part, ScoredPart) and part.logprobs for part in parts)
    assert sum(len(part.logprobs) for part in (*parts, last)) == count
    assert max(lines([*parts, last])) < LONGEST_LINE


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 100), st.booleans()), max_size=30),
)
def test_samples_come_in_short_lines_and_whole(shapes):
    outputs = [
        SessionOutput(
            10_000_000 + at,
            [SampledToken(262_143, ODDEST, [(262_143, ODDEST)] * shown)] * tokens,
            finished,
            512,
        )
        for at, (tokens, shown, finished) in enumerate(shapes)
    ]

    told = [*outcomes_of_step(Step([], outputs))]

    assert all(isinstance(message, Sampled) and message.outputs for message in told)
    pieces = [piece for message in told for piece in message.outputs]
    for output in outputs:
        own = [piece for piece in pieces if piece.session == output.session]
        assert sum(len(piece.tokens) for piece in own) == len(output.tokens)
        assert [piece.finished for piece in own] == [False] * (len(own) - 1) + [output.finished]
    assert max(lines(told), default=0) < LONGEST_LINE


def test_feeds_of_any_number_come_in_short_lines():
    step = Step([Completion(10_000_000 + at, 131_072, None) for at in range(1024)])

    told = [*outcomes_of_step(step)]

    assert sum(len(message.feeds) for message in told) == 1024
    assert max(lines(told)) < LONGEST_LINE


def test_an_answer_to_a_session_that_was_closed_meanwhile_is_heard_once(table):
    session = Listener()
    number = table.add(0, sums=False).number
    table.feeds(number, [1], session)
    table.forget(number)

    table.deliver(Completed([[number, 0]]))

    assert session.told == []
    with pytest.raises(OutOfTurn, match="nobody asked for"):
        table.deliver(Completed([[number, 0]]))


def test_once_a_later_question_is_answered_nothing_comes_of_a_session_closed_before(table):
    first, second = (table.add(slot, sums=False).number for slot in (0, 1))
    early, late = Listener(), Listener()
    table.feeds(first, [1], early)
    table.forget(first)
    table.feeds(second, [1], late)

    table.deliver(Completed([[second, 1]]))

    assert late.told == [1]
    with pytest.raises(OutOfTurn):
        table.deliver(Completed([[first, 0]]))


def test_a_question_from_before_the_closing_says_nothing_of_it(table):
    first, second = (table.add(slot, sums=False).number for slot in (0, 1))
    table.feeds(second, [1], late := Listener())
    table.feeds(first, [1], Listener())
    table.forget(first)

    table.deliver(Completed([[second, 0]]))
    table.deliver(Completed([[first, 0]]))

    assert late.told == [0]


def test_a_bad_row_fails_its_session_and_three_in_a_row_are_out_of_turn(table, rows):
    told = []
    for slot, value in enumerate((np.nan, 5.0, -np.log(VOCABULARY), -np.inf, np.nan)):
        rows.by_slot[slot] = value
        number = table.add(slot, sums=False).number
        session = Listener()
        table.feeds(number, [1], session)
        table.deliver(Completed([[number, 0]]))
        told += session.told

    assert [isinstance(each, WorkerLost) for each in told] == [True, True, False, True, True]
    assert "gave a row in which the largest log-prob is nan" in told[0].message
    rows.by_slot[6] = np.nan
    number = table.add(6, sums=False).number
    table.feeds(number, [1], last := Listener())
    with pytest.raises(OutOfTurn, match="3 rows one after the other"):
        table.deliver(Completed([[number, 0]]))
    table.fail_all(lambda: WorkerLost("toy", "x"))
    assert len(last.told) == 1


def test_each_row_of_a_block_is_looked_at_and_none_beyond_it(table, rows):
    told = []
    for slot, (row, value) in enumerate(((1, np.nan), (0, 5.0), (2, np.nan), (1, -np.inf))):
        rows.blocks[slot, row] = value
        number = table.add(slot, sums=False).number
        session = Listener()
        table.feeds(number, [1, 2], session, rows=2)
        table.deliver(Completed([[number, 0]]))
        told += session.told

    assert [isinstance(each, WorkerLost) for each in told] == [True, True, False, True]
    assert "gave a row in which the largest log-prob is nan" in told[0].message


def test_a_row_of_a_block_may_begin_with_what_no_model_may_say(rows):
    rows.blocks = np.full((8, 3, 1000), -np.inf, np.float32)
    rows.blocks[:, :, 999] = 0.0
    table = SessionTable(FACTS, rows, 1000, "toy")
    number = table.add(0, sums=False).number
    table.feeds(number, [1, 2, 3], session := Listener(), rows=3)
    table.deliver(Completed([[number, 0]]))
    assert session.told == [0]


def test_what_the_mask_took_of_each_row_of_a_block_is_looked_at(table, rows):
    rows.blocks_masked[0, 2] = 1.5
    number = table.add(0, sums=False).number
    table.feeds(number, [1, 2, 3], session := Listener(), rows=3)
    table.deliver(Completed([[number, 0]]))
    assert "the mask took 1.5" in session.told[0].message


@pytest.mark.parametrize(
    ("facts", "vocabulary", "problem"),
    [
        ({"block_rows": 0}, 16, "rows of a block of 0, of 1 to 32"),
        ({"block_rows": 33}, 16, "rows of a block of 33"),
        ({"sessions": 1024, "block_rows": 32}, 262_144, "with blocks of 32, are more than"),
    ],
)
def test_blocks_are_no_larger_than_they_may_be(facts, vocabulary, problem):
    with pytest.raises(OutOfTurn, match=problem):
        checked_loaded(Loaded(replace(FACTS, **facts), vocabulary))


def test_what_is_wrong_leaves_everybody_waiting_so_that_the_loss_tells_them(table):
    wrong = [
        (table.feeds, ([1],), Completed([[0, 2]])),
        (table.scores, ([1, 2, 3],), Scored(0, [-1.0])),
        (table.generates, ([1], engine_sampling(max_tokens=1)), Sampled(
            [SessionOutput(0, [SampledToken(VOCABULARY, -1.0)], True, 0)]
        )),
    ]  # fmt: skip
    for ask, arguments, message in wrong:
        table = SessionTable(FACTS, Rows(), VOCABULARY, "toy")
        number = table.add(0, sums=False).number
        getattr(table, ask.__name__)(number, *arguments, session := Listener())
        with pytest.raises(OutOfTurn):
            table.deliver(message)
        table.fail_all(lambda: WorkerLost("toy", "x"))
        assert [type(each) for each in session.told] == [WorkerLost]


def test_a_generation_that_waits_for_its_reader_is_not_waited_for(table):
    number = table.add(0, sums=False).number
    table.generates(number, [1], engine_sampling(max_tokens=1000), session := Listener())
    token = SampledToken(1, -1.0)
    table.deliver(Sampled([SessionOutput(number, [token] * (SAMPLED_AHEAD - 1), False, 0)]))
    assert table.waiting
    table.deliver(Sampled([SessionOutput(number, [token], False, 0)]))
    assert not table.waiting
    table.taken(number, 2)
    assert table.waiting
    table.deliver(Sampled([SessionOutput(number, [token] * 2, False, 0)]))
    assert not table.waiting
    with pytest.raises(OutOfTurn, match="more tokens of session 0"):
        table.deliver(Sampled([SessionOutput(number, [token], False, 0)]))
    assert [told for told, _ in session.told] == [SAMPLED_AHEAD - 1, 1, 2]
    # Of one that is closed, or over, nothing is waited for whatever was taken.
    table.forget(number)
    table.taken(number, 5)
    assert not table.waiting


def test_a_sampler_of_the_models_own_may_tell_all_at_once():
    facts = replace(FACTS, capabilities=replace(FACTS.capabilities, own_sampler=True))
    table = SessionTable(facts, Rows(), VOCABULARY, "toy")
    number = table.add(0, sums=False).number
    table.generates(number, [1], engine_sampling(max_tokens=1000), session := Listener())
    table.deliver(Sampled([SessionOutput(number, [SampledToken(1, -1.0)] * 999, False, 0)]))
    assert table.waiting
    assert session.told == [(999, False)]


@pytest.mark.parametrize("masked", [-0.5, 1.5, math.nan])
def test_a_mask_took_a_probability_or_nothing(table, masked):
    number = table.add(0, sums=False).number
    table.generates(number, [1], engine_sampling(max_tokens=2), Listener())
    with pytest.raises(OutOfTurn, match="a mask that took"):
        table.deliver(
            Sampled([SessionOutput(number, [SampledToken(1, -1.0, [], masked)], False, 0)])
        )


@given(st.text())
def test_a_foreign_text_becomes_one_clean_line(text):
    line = clean(text * 50)
    assert line.isprintable()
    assert len(line) <= 1000


def test_what_was_closed_says_nothing_of_what_else_was_closed_then(table):
    first, second = (table.add(slot, sums=False).number for slot in (0, 1))
    for number in (first, second):
        table.feeds(number, [1], Listener())
    for number in (first, second):
        table.forget(number)

    table.deliver(Completed([[second, 0], [first, 0]]))


class HonestWorker:
    """Answers what it has read so far, all at each step, in any order."""

    def __init__(self, draw: random.Random) -> None:
        self.inbox: deque[tuple[str, int]] = deque()
        self.sent: deque[Any] = deque()
        self._draw = draw
        self._fed: set[int] = set()
        self._left: dict[int, int] = {}

    def read(self) -> None:
        """Takes in one message of the coordinator."""
        if not self.inbox:
            return
        what, number = self.inbox.popleft()
        if what == "feed":
            self._fed.add(number)
        elif what == "generate":
            self._left[number] = 3
        else:
            self._fed.discard(number)
            self._left.pop(number, None)

    def step(self) -> None:
        """Sends what came of one decode call."""
        fed = self._draw.sample(sorted(self._fed), len(self._fed))
        self._fed.clear()
        if fed:
            self.sent.append(Completed([[number, 0] for number in fed]))
        outputs = []
        for number in self._draw.sample(sorted(self._left), len(self._left)):
            self._left[number] -= 1
            over = not self._left[number]
            outputs.append(SessionOutput(number, [SampledToken(1, -1.0)], over, 0))
            if over:
                del self._left[number]
        if outputs:
            self.sent.append(Sampled(outputs))


ACTS = st.sampled_from(
    ["feed", "feed", "generate", "close", "close", "read", "read", "step", "hear"]
)


@given(st.lists(ACTS, min_size=20, max_size=120), st.randoms(use_true_random=False))
def test_an_honest_worker_is_never_out_of_turn(acts, draw):
    table, worker = SessionTable(FACTS, Rows(), VOCABULARY, "toy"), HonestWorker(draw)
    numbers: list[int] = []
    for act in [*acts, *["read", "step", "hear", "hear"] * 40]:
        if act in ("feed", "generate"):
            number = table.add(draw.randrange(8), sums=False).number
            numbers.append(number)
            if act == "feed":
                table.feeds(number, [1], Listener())
            else:
                table.generates(number, [1], engine_sampling(max_tokens=3), Listener())
            worker.inbox.append((act, number))
        elif act == "close" and numbers:
            number = numbers.pop(draw.randrange(len(numbers)))
            table.forget(number)
            worker.inbox.append((act, number))
        elif act == "hear" and worker.sent:
            table.deliver(worker.sent.popleft())
        elif act in ("read", "step"):
            getattr(worker, act)()
    assert not worker.sent
