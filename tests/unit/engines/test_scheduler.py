from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from quorate.engines.contract import LogProbs
from quorate.engines.row_blocks import RowBlock
from quorate.engines.scheduler.contract import Chunk, NoRoom
from quorate.engines.scheduler.entry import Completion
from quorate.engines.scheduler.prefix_cache import PrefixCache
from quorate.engines.scheduler.scheduler import Scheduler
from support.schedulers import DrivenScheduler, RecordingModel
from support.scripted_models import (
    empty_block,
    empty_row,
    engine_sampling,
    fresh_row,
    scripted_model,
)


def prompt(start: int, count: int) -> list[int]:
    return [5 + (start * 31 + index * 7) % 200 for index in range(count)]


def test_a_feed_gets_the_log_probs_of_a_fresh_prefill() -> None:
    scheduler = DrivenScheduler(scripted_model(), 7)
    scheduler.feed(7, [9, 8, 7])
    assert scheduler.has_work
    assert scheduler.step() == [Completion(7, 0)]
    assert not scheduler.has_work
    scheduler.assert_row(7, [9, 8, 7])
    assert scheduler.decode(7, [6]) == [Completion(7, 0)]
    scheduler.assert_row(7, [9, 8, 7, 6])


def test_all_sessions_share_one_decode_call() -> None:
    model = RecordingModel()
    scheduler = DrivenScheduler(model, 0, 1, 2)
    for session in (0, 1, 2):
        scheduler.feed(session, [10 + session, 20])
    assert {c.session for c in scheduler.step()} == {0, 1, 2}
    assert len(model.calls) == 1


def test_only_the_last_chunk_of_a_prompt_asks_for_log_probs() -> None:
    model = RecordingModel(batch_tokens=8)
    scheduler = DrivenScheduler(model, 0)
    assert scheduler.decode(0, prompt(0, 20)) == [Completion(0, 0)]
    assert model.calls == [[(0, 8, False)], [(0, 8, False)], [(0, 4, True)]]


def test_a_long_prompt_is_chunked_small_while_another_session_decodes() -> None:
    model = RecordingModel(batch_tokens=64)
    scheduler = DrivenScheduler(model, 0, 1, interleaved_prefill_tokens=16, clock=lambda: model.now)
    scheduler.decode(0, [9])
    scheduler.feed(1, prompt(1, 40))
    completed = []
    while scheduler.has_work:
        scheduler.feed(0, [9])
        completed += scheduler.step()
    assert model.sizes == [[1], [1, 8], [1, 16], [1, 16]]
    assert [c.session for c in completed] == [0, 0, 0, 1]


def test_the_chunks_of_a_prompt_are_as_small_as_those_who_decode_can_afford() -> None:
    model = RecordingModel(batch_tokens=64)
    scheduler = DrivenScheduler(model, 0, 1, clock=lambda: model.now)
    scheduler.decode(0, [9])
    scheduler.feed(1, prompt(1, 26))
    while 1 not in [completion.session for completion in scheduler.step()]:
        # From the second call on a chunk takes 3 steps of decoding, beyond the step itself.
        model.seconds = 0.4
        scheduler.feed(0, [9])
    assert model.sizes[:3] == [[1], [8], [1, 8]]
    assert [sizes[-1] for sizes in model.sizes[3:]] == [4, 4, 2]


def test_the_chunk_of_a_prompt_is_half_as_large_while_some_who_decode_miss_the_call() -> None:
    model = RecordingModel(batch_tokens=64)
    scheduler = DrivenScheduler(model, 0, 1, 2, clock=lambda: model.now)
    for _ in range(2):
        model.seconds = 0.1
        scheduler.feed(0, [9])
        scheduler.decode(1, [9])
    scheduler.feed(2, prompt(2, 60))
    for missing in (False, False, True, True, True):
        model.seconds = 0.15 if missing else 0.2
        scheduler.feed(0, [9])
        if not missing:
            scheduler.feed(1, [9])
        scheduler.step()
    chunks = [sizes[-1] for sizes in model.sizes[2:]]
    assert chunks == [8, 8, 4, 4, pytest.approx(8, abs=1)]


def test_the_chunks_of_a_prompt_have_the_size_that_suits_the_model() -> None:
    class Chunked(RecordingModel):
        interleaved_prefill_tokens = 5

    model = Chunked(batch_tokens=64)
    scheduler = DrivenScheduler(model, 0, 1)
    scheduler.decode(0, [9])
    scheduler.decode(1, prompt(1, 10))
    assert model.calls[1:] == [[(1, 5, False)], [(1, 5, True)]]


def test_a_session_that_decoded_a_moment_ago_still_counts_as_decoding() -> None:
    model = RecordingModel(batch_tokens=64)
    scheduler = DrivenScheduler(model, 0, 1)
    scheduler.decode(0, [9])
    scheduler.feed(1, prompt(1, 40))
    scheduler.step()
    assert model.calls[-1] == [(1, 8, False)]


def test_a_long_prompt_alone_fills_the_whole_batch() -> None:
    model = RecordingModel(batch_tokens=64)
    scheduler = DrivenScheduler(model, 0, 1)
    scheduler.decode(0, [9])
    scheduler.close(0)
    scheduler.decode(1, prompt(1, 80))
    assert [call[0][1] for call in model.calls] == [1, 64, 16]


def test_a_prompt_is_read_in_short_calls_while_another_model_waits_for_them() -> None:
    model = RecordingModel(batch_tokens=64)
    allowed = [math.inf, 0.7]
    scheduler = DrivenScheduler(
        model, 0, 1, clock=lambda: model.now, prompt_seconds=lambda: allowed[0]
    )
    scheduler.decode(0, [9])
    scheduler.close(0)
    scheduler.feed(1, prompt(1, 150))
    model.seconds = 1.28
    scheduler.step()
    allowed.pop(0)
    model.seconds = 0.64
    while scheduler.has_work:
        scheduler.step()

    # A token took 20 ms, and kernels take some at once.
    assert [call[0][1] for call in model.calls[1:4]] == [64, 32, 32]
    assert model.calls[-1][0][2]


def test_prompts_are_not_starved_by_short_feeds_that_fill_the_batch() -> None:
    scheduler = DrivenScheduler(RecordingModel(batch_tokens=4), 0, 1, 2, 3, 4)
    scheduler.feed(4, prompt(4, 12))
    at_rest, finished = {0, 1, 2, 3}, False
    for _ in range(12):
        for session in sorted(at_rest):
            scheduler.feed(session, [9])
        at_rest = {completion.session for completion in scheduler.step()}
        finished = finished or 4 in at_rest
        at_rest.discard(4)
    assert finished


def test_short_feeds_beyond_the_batch_are_served_in_order_of_arrival() -> None:
    scheduler = DrivenScheduler(scripted_model(batch_tokens=2), 0, 1, 2)
    for session in (2, 0, 1):
        scheduler.feed(session, [9])
    assert [c.session for c in scheduler.step()] == [2, 0]
    scheduler.feed(2, [9])
    assert [c.session for c in scheduler.step()] == [1, 2]


def test_a_branch_of_a_session_without_tokens_starts_with_none() -> None:
    scheduler = DrivenScheduler(scripted_model(), 0)
    scheduler.decode(0, [9])
    scheduler.rewind(0, 1)
    scheduler.fork(0, 1)
    scheduler.decode(1, [8])
    scheduler.assert_row(1, [8])


def test_a_model_that_cannot_fork_decodes_the_tokens_of_a_branch_again() -> None:
    model = RecordingModel(fork=False)
    scheduler = DrivenScheduler(model, 0, cache=PrefixCache(minimum_tokens=100))
    scheduler.decode(0, [9, 8, 7])
    scheduler.fork(0, 1)
    assert not scheduler.has_work
    scheduler.feed(0, [6])
    scheduler.feed(1, [5])
    assert {done.session for done in scheduler.drain()} == {0, 1}
    scheduler.assert_row(0, [9, 8, 7, 6])
    scheduler.assert_row(1, [9, 8, 7, 5])
    assert model.copies == []
    assert model.tokens(1) == (9, 8, 7, 5)
    scheduler.decode(1, [4])
    scheduler.assert_row(1, [9, 8, 7, 5, 4])


def test_replayed_tokens_are_remembered_over_generations_and_may_be_forgotten() -> None:
    scheduler = DrivenScheduler(scripted_model(fork=False), 0)
    scheduler.decode(0, [9, 8, 7])
    scheduler.fork(0, 1)
    scheduler.rewind(1, 1)
    scheduler.fork(1, 2)
    scheduler.close(0)
    scheduler.fork(1, 3)
    scheduler.rewind(3, 2)
    with pytest.raises(ValueError, match="cannot forget 1 of 0 tokens"):
        scheduler.rewind(3, 1)
    for session in (1, 2, 3):
        scheduler.feed(session, [session])
    scheduler.drain()
    for session, tokens in ((1, [9, 8, 1]), (2, [9, 8, 2]), (3, [3])):
        scheduler.assert_row(session, tokens)


def test_prefix_sums_come_with_the_row_where_they_are_wanted() -> None:
    model = scripted_model(vocabulary="words")
    scheduler = DrivenScheduler(model)
    rows = [empty_row(model) for _ in range(2)]
    sums = [np.full(len(model.vocabulary) + 1, np.nan) for _ in range(2)]
    scheduler.open(0, rows[0], sums[0])
    scheduler.decode(0, [9, 8])
    scheduler.branch(0, 1, rows[1], sums[1])
    scheduler.decode(1, [7])
    order = model.vocabulary.byte_order
    for found, tokens in zip(sums, ([9, 8], [9, 8, 7]), strict=True):
        row = fresh_row(tokens, vocabulary="words").astype(np.float64)
        expected = [0.0, *itertools.accumulate(np.exp(row[order.ids]))]
        np.testing.assert_allclose(found[: len(order) + 1], expected, rtol=0, atol=1e-12)


def step_by_step(tokens: Sequence[int]) -> list[float]:
    """The log-prob of each token but the first, from a fresh prefill of those before it."""
    return [float(fresh_row(tokens[:end])[tokens[end]]) for end in range(1, len(tokens))]


def scored(completions: Sequence[Completion]) -> dict[int, list[float] | None]:
    return {completion.session: completion.scores for completion in completions}


@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 16, 17, 40])
@pytest.mark.parametrize("batch_tokens", [1, 5, 64])
def test_a_score_is_what_feeding_step_by_step_gives(count: int, batch_tokens: int) -> None:
    model = scripted_model(sessions=1, batch_tokens=batch_tokens)
    scheduler = DrivenScheduler(model, 0)
    scheduler.score(0, prompt(0, count))
    assert scheduler.drain() == [Completion(0, 0, step_by_step(prompt(0, count)))]
    assert model.tokens(0) == tuple(prompt(0, count))


def test_a_long_score_goes_in_chunks_of_what_one_call_computes() -> None:
    model = RecordingModel(sessions=1, batch_tokens=64)
    scheduler = DrivenScheduler(model, 0)
    scheduler.score(0, prompt(0, 20))
    scheduler.drain()
    assert model.calls == [[(0, 8, False)], [(0, 8, False)], [(0, 4, False)]]


def test_others_decode_while_a_text_is_scored() -> None:
    scheduler = DrivenScheduler(scripted_model(sessions=3), 0, 1)
    scheduler.score(1, prompt(1, 20))
    fed: list[int] = []
    scores: dict[int, list[float] | None] = {}
    while 1 not in scores:
        scheduler.feed(0, [9])
        fed.append(9)
        completed = scored(scheduler.step())
        assert completed.pop(0) is None
        scheduler.assert_row(0, fed)
        scores |= completed
    assert scores == {1: step_by_step(prompt(1, 20))}
    assert len(fed) == 3


@pytest.mark.parametrize("length", [5, 8, 30])
@pytest.mark.parametrize("scoring", range(1, 9))
def test_scored_texts_leave_every_other_feed_its_row(scoring: int, length: int) -> None:
    model = RecordingModel(sessions=8)
    scheduler = DrivenScheduler(model, *range(8))
    for session in range(scoring):
        scheduler.score(session, prompt(session, length))
    for session in range(scoring, 8):
        scheduler.feed(session, prompt(session, 1 + session))
    done = scheduler.drain()
    assert scored(done) == {
        session: step_by_step(prompt(session, length)) if session < scoring else None
        for session in range(8)
    }
    assert max(model.outputs) <= model.max_outputs


def test_a_score_never_comes_from_the_prefix_cache() -> None:
    scheduler = DrivenScheduler(scripted_model(), 0, 1, 2)
    scheduler.feed(0, prompt(0, 20))
    scheduler.decode(1, prompt(0, 20))
    scheduler.close(0)
    scheduler.score(2, prompt(0, 20))
    assert scheduler.drain() == [Completion(2, 0, step_by_step(prompt(0, 20)))]


@pytest.mark.parametrize("steps", [1, 3])
def test_a_scored_session_is_not_kept_in_the_prefix_cache(steps: int) -> None:
    model = scripted_model(sessions=1)
    scheduler = DrivenScheduler(model, 0)
    scheduler.score(0, prompt(0, 20))
    for _ in range(steps):
        scheduler.step()
    scheduler.close(0)
    assert not scheduler.has_work
    assert model.tokens(0) == ()
    scheduler.begin(1)
    assert scheduler.decode(1, prompt(0, 20)) == [Completion(1, 0)]


def test_a_scored_session_can_be_fed_and_branched() -> None:
    model = scripted_model()
    scheduler = DrivenScheduler(model)
    sums = np.full(len(model.vocabulary) + 1, -1.0)
    row = empty_row(model)
    scheduler.open(0, row, sums)
    scheduler.score(0, [9, 8, 7])
    scheduler.drain()
    assert (sums == -1.0).all()
    scheduler.fork(0, 1)
    scheduler.feed(0, [6])
    scheduler.feed(1, [5])
    assert scored(scheduler.drain()) == {0: None, 1: None}
    np.testing.assert_array_equal(row, fresh_row([9, 8, 7, 6]))
    scheduler.assert_row(1, [9, 8, 7, 5])
    assert sums[0] == 0.0


def test_only_an_empty_session_is_scored() -> None:
    scheduler = DrivenScheduler(scripted_model(fork=False), 0)
    with pytest.raises(ValueError, match="session 0: an empty feed"):
        scheduler.score(0, [])
    scheduler.feed(0, [9, 8])
    with pytest.raises(ValueError, match="still outstanding"):
        scheduler.score(0, [9])
    assert scheduler.drain() == [Completion(0, 0)]
    scheduler.fork(0, 1)
    for session in (0, 1):
        with pytest.raises(ValueError, match=f"session {session}: only an empty session"):
            scheduler.score(session, [9])
    scheduler.rewind(0, 2)
    scheduler.score(0, [9, 8])
    assert scheduler.drain() == [Completion(0, 0, step_by_step([9, 8]))]


def test_many_branches_closed_at_once_leave_other_prompts_in_the_cache() -> None:
    scheduler = DrivenScheduler(scripted_model(sessions=4), 0)
    scheduler.decode(0, prompt(0, 20))
    scheduler.close(0)
    scheduler.begin(1)
    scheduler.decode(1, prompt(1, 20))
    for child in range(2, 40):
        scheduler.fork(1, child)
        scheduler.decode(child, [9])
        scheduler.close(child)
    scheduler.begin(50)
    assert scheduler.decode(50, prompt(0, 20)) == [Completion(50, 19)]


def test_the_last_of_a_fork_group_stays_in_the_cache() -> None:
    scheduler = DrivenScheduler(scripted_model(sessions=2), 0)
    scheduler.decode(0, prompt(0, 20))
    scheduler.fork(0, 1)
    scheduler.close(0)
    scheduler.close(1)
    scheduler.begin(2)
    assert scheduler.decode(2, [*prompt(0, 20), 9]) == [Completion(2, 20)]


def test_a_session_closed_in_mid_feed_leaves_what_it_decoded_to_the_next() -> None:
    scheduler = DrivenScheduler(scripted_model(batch_tokens=8, sessions=1), 0)
    scheduler.feed(0, prompt(0, 20))
    scheduler.step()
    scheduler.close(0)
    assert not scheduler.has_work
    scheduler.begin(1)
    assert scheduler.decode(1, prompt(0, 20)) == [Completion(1, 8)]
    scheduler.assert_row(1, prompt(0, 20))


def test_misuse_is_refused_with_the_session_named() -> None:
    model = scripted_model(sessions=2)
    scheduler = DrivenScheduler(model, 0, 1)
    for misuse, problem in (
        (lambda: scheduler.begin(0), "session 0 is open already"),
        (lambda: scheduler.begin(2), "all 2 sessions are open"),
        (lambda: scheduler.fork(0, 2), "all 2 sessions are open"),
        (lambda: scheduler.feed(9, [5]), "session 9 is not open"),
        (lambda: scheduler.close(9), "session 9 is not open"),
        (lambda: scheduler.feed(0, []), "session 0: an empty feed"),
        (lambda: scheduler.rewind(0, 1), "cannot forget 1 of 0 tokens"),
        (lambda: Scheduler(model, interleaved_prefill_tokens=0), "prefill chunks of 0 tokens"),
    ):
        with pytest.raises(ValueError, match=problem):
            misuse()
    scheduler.feed(0, [5])
    for misuse in (lambda: scheduler.feed(0, [5]), lambda: scheduler.rewind(0, 0)):
        with pytest.raises(ValueError, match="still outstanding"):
            misuse()


def test_a_model_that_cannot_rewind_is_not_asked_to() -> None:
    model = scripted_model(rewind=False)
    scheduler = DrivenScheduler(model, 0)
    scheduler.decode(0, [9, 8])
    with pytest.raises(ValueError, match="this model cannot rewind"):
        scheduler.rewind(0, 1)
    scheduler.rewind(0, 2)
    assert model.tokens(0) == ()


class FragmentedModel(RecordingModel):
    """Finds no room until only ``idle_limit`` sequences hold tokens."""

    def __init__(self, used_limit: int, **options: Any) -> None:
        super().__init__(**options)
        self.used_limit = used_limit

    def decode(self, chunks: Sequence[Chunk]) -> None:
        used = sum(bool(self.tokens(number)) for number in range(self.facts.sessions))
        if used > self.used_limit:
            raise NoRoom("fragmented")
        super().decode(chunks)


def test_without_room_every_idle_sequence_is_evicted_and_the_call_repeated() -> None:
    scheduler = DrivenScheduler(FragmentedModel(2, sessions=4))
    for session in range(3):
        scheduler.begin(session)
        scheduler.decode(session, prompt(session, 20))
        scheduler.close(session)
    scheduler.begin(9)
    assert scheduler.decode(9, prompt(9, 20)) == [Completion(9, 0)]
    scheduler.assert_row(9, prompt(9, 20))


def test_without_room_for_live_sessions_the_feed_waits_until_one_closes() -> None:
    scheduler = DrivenScheduler(scripted_model(cells=30), 0)
    scheduler.decode(0, prompt(0, 20))
    scheduler.begin(1)
    scheduler.feed(1, prompt(1, 20))
    with pytest.raises(NoRoom):
        scheduler.step()
    assert scheduler.has_work
    scheduler.close(0)
    assert scheduler.drain() == [Completion(1, 0)]
    scheduler.assert_row(1, prompt(1, 20))


def stepped(model: RecordingModel, *feeders: int) -> DrivenScheduler:
    """All feeders shared one step."""
    scheduler = DrivenScheduler(model, *feeders, clock=lambda: model.now)
    for session in feeders:
        scheduler.feed(session, [9])
    scheduler.drain()
    return scheduler


def test_no_grace_when_everyone_of_the_last_step_has_fed_again_or_closed() -> None:
    scheduler = stepped(RecordingModel(), 0, 1)
    scheduler.feed(0, [9])
    assert scheduler.grace_seconds() > 0
    scheduler.close(1)
    assert scheduler.grace_seconds() == 0.0


def test_the_grace_is_a_tenth_of_a_decode_step_less_the_time_that_passed() -> None:
    model = RecordingModel()
    scheduler = stepped(model, 0, 1)
    scheduler.feed(0, [9])
    assert scheduler.grace_seconds() == pytest.approx(0.01)
    model.now += 0.004
    assert scheduler.grace_seconds() == pytest.approx(0.006)
    model.now += 1.0
    assert scheduler.grace_seconds() == 0.0


def test_a_branch_goes_on_without_a_wait_for_its_parent() -> None:
    scheduler = stepped(RecordingModel(), 0)
    scheduler.fork(0, 1)
    scheduler.feed(1, [8])
    assert scheduler.grace_seconds() == 0.0


def test_a_branch_does_not_shorten_the_wait_for_others() -> None:
    scheduler = stepped(RecordingModel(), 0, 1)
    scheduler.fork(0, 2)
    scheduler.feed(2, [8])
    assert scheduler.grace_seconds() == pytest.approx(0.01)


def test_whoever_missed_a_step_is_not_waited_for_again() -> None:
    scheduler = stepped(RecordingModel(), 0, 1)
    scheduler.feed(0, [9])
    scheduler.step()
    scheduler.feed(0, [9])
    assert scheduler.grace_seconds() == 0.0


def test_the_duration_of_prefill_does_not_stretch_the_grace() -> None:
    model = RecordingModel()
    scheduler = DrivenScheduler(model, 0, 1, clock=lambda: model.now)
    scheduler.decode(0, [9])
    model.seconds = 5.0
    scheduler.decode(1, prompt(1, 12))
    scheduler.feed(0, [9])
    assert scheduler.grace_seconds() == pytest.approx(0.01)


def test_a_new_scheduler_has_nothing_to_do() -> None:
    scheduler = Scheduler(scripted_model())
    assert not scheduler.has_work
    assert scheduler.grace_seconds() == 0.0
    assert scheduler.step() == []


_SESSIONS, _KV_TOKENS = 4, 60
# Prompts that often share a beginning, so that the prefix cache has something to find.
_STORY = [5 + index % 3 for index in range(24)]
_TOKENS = st.one_of(
    st.integers(1, len(_STORY)).map(lambda length: _STORY[:length]),
    st.lists(st.integers(5, 6), min_size=1, max_size=4),
)
_ROWS = st.sampled_from([0, 0, 1, 3, 24])


class Interleavings(RuleBasedStateMachine):
    """Any order of calls gives each completed feed the log-probs of a fresh prefill."""

    @initialize(
        fork=st.booleans(),
        rewind=st.booleans(),
        batch_tokens=st.sampled_from([1, 3, 8, 64]),
        chunk_rows=st.sampled_from([1, 8]),
        cached=st.booleans(),
        own_sampler=st.booleans(),
    )
    def start(
        self,
        fork: bool,
        rewind: bool,
        batch_tokens: int,
        chunk_rows: int,
        cached: bool,
        own_sampler: bool,
    ) -> None:
        self.model = RecordingModel(
            sessions=_SESSIONS,
            cells=_KV_TOKENS,
            batch_tokens=batch_tokens,
            fork=fork,
            rewind=rewind,
            own_sampler=own_sampler,
        )
        self.model.chunk_rows = chunk_rows
        self.cache = PrefixCache(minimum_tokens=2 if cached else _KV_TOKENS + 1)
        self.scheduler = Scheduler(self.model, cache=self.cache, interleaved_prefill_tokens=4)
        self.numbers = itertools.count()
        self.rows: dict[int, LogProbs] = {}
        self.blocks: dict[int, RowBlock] = {}
        # Rows that the last feed of a session asked for; 0 for the session's own.
        self.wanted: dict[int, int] = {}
        self.tokens: dict[int, list[int]] = {}
        self.outstanding: set[int] = set()
        self.scored: set[int] = set()
        # What sessions that go on alone hold so far, and which of them still do.
        self.generated: dict[int, list[int]] = {}
        self.generating: set[int] = set()

    def kv_tokens_left(self) -> int:
        return _KV_TOKENS - sum(map(len, self.tokens.values()))

    def at_rest(self) -> list[int]:
        busy = self.outstanding | self.generated.keys()
        return [session for session in self.rows if session not in busy]

    @precondition(lambda self: len(self.rows) < _SESSIONS)
    @rule(tokens=_TOKENS, rows=_ROWS)
    def open(self, tokens: list[int], rows: int) -> None:
        session = next(self.numbers)
        self.rows[session] = empty_row(self.model)
        self.blocks[session] = empty_block(self.model)
        self.tokens[session] = []
        self.scheduler.open(session, self.rows[session], block=self.blocks[session])
        self.append(session, tokens, rows)

    @precondition(lambda self: self.at_rest())
    @rule(data=st.data(), tokens=_TOKENS, rows=_ROWS)
    def feed(self, data: st.DataObject, tokens: list[int], rows: int) -> None:
        self.append(data.draw(st.sampled_from(self.at_rest())), tokens, rows)

    def append(self, session: int, tokens: list[int], rows: int) -> None:
        if len(tokens) > self.kv_tokens_left():
            return
        self.wanted[session] = min(rows, len(tokens))
        self.scheduler.feed(session, tokens, self.wanted[session])
        self.tokens[session] = self.tokens[session] + tokens
        self.outstanding.add(session)

    @precondition(lambda self: any(not self.tokens[session] for session in self.at_rest()))
    @rule(data=st.data(), tokens=_TOKENS)
    def score(self, data: st.DataObject, tokens: list[int]) -> None:
        empty = [session for session in self.at_rest() if not self.tokens[session]]
        session = data.draw(st.sampled_from(empty))
        if len(tokens) > self.kv_tokens_left():
            return
        self.scheduler.score(session, tokens)
        self.tokens[session] = tokens
        self.outstanding.add(session)
        self.scored.add(session)

    @precondition(lambda self: self.at_rest())
    @rule(data=st.data(), tokens=_TOKENS, most=st.integers(1, 6))
    def generate(self, data: st.DataObject, tokens: list[int], most: int) -> None:
        session = data.draw(st.sampled_from(self.at_rest()))
        if len(tokens) + most > self.kv_tokens_left():
            return
        self.scheduler.generate(session, tokens, engine_sampling(max_tokens=most))
        self.generated[session] = self.tokens[session] + tokens
        # All of them are reserved.
        self.tokens[session] = self.generated[session] + [0] * most
        self.generating.add(session)

    @precondition(lambda self: self.at_rest() and len(self.rows) < _SESSIONS)
    @rule(data=st.data())
    def branch(self, data: st.DataObject) -> None:
        session = data.draw(st.sampled_from(self.at_rest()))
        if len(self.tokens[session]) > self.kv_tokens_left():
            return
        child = next(self.numbers)
        self.rows[child] = empty_row(self.model)
        self.blocks[child] = empty_block(self.model)
        self.tokens[child] = list(self.tokens[session])
        self.scheduler.branch(session, child, self.rows[child], block=self.blocks[child])

    @precondition(lambda self: self.at_rest())
    @rule(data=st.data())
    def rewind(self, data: st.DataObject) -> None:
        session = data.draw(st.sampled_from(self.at_rest()))
        held = len(self.tokens[session])
        some = range(held + 1) if self.model.facts.capabilities.rewind else (0, held)
        count = data.draw(st.sampled_from(some))
        self.scheduler.rewind(session, count)
        del self.tokens[session][held - count :]

    @precondition(lambda self: self.rows)
    @rule(data=st.data())
    def close_some(self, data: st.DataObject) -> None:
        self.close(data.draw(st.sampled_from(sorted(self.rows))))

    def close(self, session: int) -> None:
        self.scheduler.close(session)
        del self.rows[session], self.tokens[session]
        self.outstanding.discard(session)
        self.scored.discard(session)
        self.generated.pop(session, None)
        self.generating.discard(session)

    def check_sampled(self) -> None:
        for output in self.scheduler.sampled():
            held = self.generated[output.session]
            for one in output.tokens:
                assert one.token == int(fresh_row(held).argmax())
                held.append(one.token)
            if output.finished:
                assert len(held) == len(self.tokens[output.session])
                self.generating.remove(output.session)

    @precondition(lambda self: self.outstanding or self.generating)
    @rule()
    def step(self) -> None:
        before = {session: len(self.generated[session]) for session in self.generating}
        self.step_once()
        if self.model.facts.capabilities.own_sampler:
            # Each gets a token in every step, whatever else is in it.
            assert all(len(self.generated[session]) == held + 1 for session, held in before.items())

    def step_once(self) -> None:
        for completion in self.scheduler.step():
            session = completion.session
            self.outstanding.remove(session)
            if session in self.scored:
                self.scored.remove(session)
                assert completion.scores == step_by_step(self.tokens[session])
                continue
            assert completion.scores is None
            tokens, wanted = self.tokens[session], self.wanted[session]
            rows = self.blocks[session].rows[:wanted] if wanted else [self.rows[session]]
            for row, missing in zip(rows, reversed(range(len(rows))), strict=True):
                expected = fresh_row(tokens[: len(tokens) - missing])
                np.testing.assert_array_equal(row, expected)
        self.check_sampled()

    @precondition(lambda self: self.outstanding or self.generating)
    @rule()
    def step_until_all_are_complete(self) -> None:
        while self.outstanding or self.generating:
            self.step()

    @invariant()
    def work_is_known(self) -> None:
        if hasattr(self, "scheduler"):
            assert self.scheduler.has_work == bool(self.outstanding or self.generating)

    def teardown(self) -> None:
        if not hasattr(self, "scheduler"):
            return
        self.step_until_all_are_complete()
        for session in list(self.rows):
            self.close(session)
        self.no_sequence_was_leaked()

    def no_sequence_was_leaked(self) -> None:
        pool = self.scheduler.pool
        idle = dict(self.cache.items())
        for number in range(_SESSIONS):
            assert self.model.tokens(number) == tuple(idle.get(number, ()))
        assert sorted([*pool.empty, *idle]) == list(range(_SESSIONS))
        assert pool.held_tokens == sum(map(len, idle.values()))


Interleavings.TestCase.settings = settings(stateful_step_count=40)
TestInterleavings = Interleavings.TestCase
