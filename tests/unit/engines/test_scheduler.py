from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from quorate.engines.contract import LogProbs
from quorate.engines.scheduler.contract import Chunk, NoRoom
from quorate.engines.scheduler.prefix_cache import PrefixCache
from quorate.engines.scheduler.scheduler import Completion, Scheduler
from quorate.engines.scripted.model import ScriptedModel
from quorate.engines.scripted.options import ScriptedOptions
from support.scripted_models import empty_row, engine_sampling, fresh_row, scripted_model


class RecordingModel(ScriptedModel):
    """Remembers what each decode call contained: (sequence, tokens, has output)."""

    def __init__(self, **options: Any) -> None:
        super().__init__(ScriptedOptions.from_mapping(options, "options"))
        self.calls: list[list[tuple[int, int, bool]]] = []
        self.copies: list[tuple[int, int, int]] = []

    def decode(self, chunks: Sequence[Chunk]) -> None:
        super().decode(chunks)
        self.calls.append([(c.sequence, len(c.tokens), c.output is not None) for c in chunks])

    def copy(self, source: int, target: int, length: int) -> None:
        super().copy(source, target, length)
        self.copies.append((source, target, length))


class Clock:
    """Time that passes when told to, and by ``step_seconds`` in each decode call."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class TimedModel(ScriptedModel):
    def __init__(self, clock: Clock, seconds: float, **options: Any) -> None:
        super().__init__(ScriptedOptions.from_mapping(options, "options"))
        self.clock, self.seconds = clock, seconds

    def decode(self, chunks: Sequence[Chunk]) -> None:
        super().decode(chunks)
        self.clock.now += self.seconds


def prompt(start: int, count: int) -> list[int]:
    return [5 + (start * 31 + index * 7) % 200 for index in range(count)]


def drain(scheduler: Scheduler) -> list[Completion]:
    completions = []
    while scheduler.has_work:
        completions += scheduler.step()
    return completions


def opened(scheduler: Scheduler, model: ScriptedModel, *sessions: int) -> list[LogProbs]:
    rows = [empty_row(model) for _ in sessions]
    for session, row in zip(sessions, rows, strict=True):
        scheduler.open(session, row)
    return rows


def test_a_feed_gets_the_log_probs_of_a_fresh_prefill() -> None:
    model = scripted_model()
    scheduler = Scheduler(model)
    (row,) = opened(scheduler, model, 7)
    scheduler.feed(7, [9, 8, 7])
    assert scheduler.has_work
    assert scheduler.step() == [Completion(7, 0)]
    assert not scheduler.has_work
    np.testing.assert_array_equal(row, fresh_row([9, 8, 7]))
    scheduler.feed(7, [6])
    assert drain(scheduler) == [Completion(7, 0)]
    np.testing.assert_array_equal(row, fresh_row([9, 8, 7, 6]))


def test_all_sessions_share_one_decode_call() -> None:
    model = RecordingModel()
    scheduler = Scheduler(model)
    opened(scheduler, model, 0, 1, 2)
    for session in (0, 1, 2):
        scheduler.feed(session, [10 + session, 20])
    assert {c.session for c in scheduler.step()} == {0, 1, 2}
    assert len(model.calls) == 1


def test_only_the_last_chunk_of_a_prompt_asks_for_log_probs() -> None:
    model = RecordingModel(batch_tokens=8)
    scheduler = Scheduler(model)
    opened(scheduler, model, 0)
    scheduler.feed(0, prompt(0, 20))
    assert drain(scheduler) == [Completion(0, 0)]
    assert model.calls == [[(0, 8, False)], [(0, 8, False)], [(0, 4, True)]]


def test_a_long_prompt_is_chunked_small_while_another_session_decodes() -> None:
    model = RecordingModel(batch_tokens=64)
    scheduler = Scheduler(model, interleaved_prefill_tokens=16)
    opened(scheduler, model, 0, 1)
    scheduler.feed(0, [9])
    scheduler.step()
    scheduler.feed(1, prompt(1, 40))
    completed = []
    while scheduler.has_work:
        scheduler.feed(0, [9])
        completed += scheduler.step()
    assert [[size for _, size, _ in call] for call in model.calls] == [
        [1],
        [1, 16],
        [1, 16],
        [1, 8],
    ]
    assert [c.session for c in completed] == [0, 0, 0, 1]


def test_the_chunks_of_a_prompt_have_the_size_that_suits_the_model() -> None:
    class Chunked(RecordingModel):
        interleaved_prefill_tokens = 5

    model = Chunked(batch_tokens=64)
    scheduler = Scheduler(model)
    opened(scheduler, model, 0, 1)
    scheduler.feed(0, [9])
    scheduler.step()
    scheduler.feed(1, prompt(1, 9))
    drain(scheduler)
    assert model.calls[1:] == [[(1, 5, False)], [(1, 4, True)]]


def test_a_session_that_decoded_a_moment_ago_still_counts_as_decoding() -> None:
    model = RecordingModel(batch_tokens=64)
    scheduler = Scheduler(model, interleaved_prefill_tokens=16)
    opened(scheduler, model, 0, 1)
    scheduler.feed(0, [9])
    scheduler.step()
    scheduler.feed(1, prompt(1, 40))
    scheduler.step()
    assert model.calls[-1] == [(1, 16, False)]


def test_a_long_prompt_alone_fills_the_whole_batch() -> None:
    model = RecordingModel(batch_tokens=64)
    scheduler = Scheduler(model, interleaved_prefill_tokens=16)
    opened(scheduler, model, 0, 1)
    scheduler.feed(0, [9])
    scheduler.step()
    scheduler.close(0)
    scheduler.feed(1, prompt(1, 80))
    drain(scheduler)
    assert [call[0][1] for call in model.calls] == [1, 64, 16]


def test_prompts_are_not_starved_by_short_feeds_that_fill_the_batch() -> None:
    model = RecordingModel(batch_tokens=4)
    scheduler = Scheduler(model)
    opened(scheduler, model, 0, 1, 2, 3, 4)
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
    model = scripted_model(batch_tokens=2)
    scheduler = Scheduler(model)
    opened(scheduler, model, 0, 1, 2)
    for session in (2, 0, 1):
        scheduler.feed(session, [9])
    assert [c.session for c in scheduler.step()] == [2, 0]
    scheduler.feed(2, [9])
    assert [c.session for c in scheduler.step()] == [1, 2]


def test_a_branch_goes_on_from_its_parents_tokens() -> None:
    model = scripted_model()
    scheduler = Scheduler(model)
    parent_row, _ = opened(scheduler, model, 0, 5)
    child_row = empty_row(model)
    scheduler.feed(0, [9, 8, 7])
    drain(scheduler)
    scheduler.branch(0, 1, child_row)
    scheduler.feed(0, [6])
    scheduler.feed(1, [5])
    drain(scheduler)
    np.testing.assert_array_equal(parent_row, fresh_row([9, 8, 7, 6]))
    np.testing.assert_array_equal(child_row, fresh_row([9, 8, 7, 5]))


def test_a_branch_of_a_session_without_tokens_starts_with_none() -> None:
    model = scripted_model()
    scheduler = Scheduler(model)
    opened(scheduler, model, 0)
    scheduler.feed(0, [9])
    drain(scheduler)
    scheduler.rewind(0, 1)
    row = empty_row(model)
    scheduler.branch(0, 1, row)
    scheduler.feed(1, [8])
    drain(scheduler)
    np.testing.assert_array_equal(row, fresh_row([8]))


def test_a_model_that_cannot_fork_decodes_the_tokens_of_a_branch_again() -> None:
    model = RecordingModel(fork=False)
    scheduler = Scheduler(model, cache=PrefixCache(minimum_tokens=100))
    (parent_row,) = opened(scheduler, model, 0)
    child_row = empty_row(model)
    scheduler.feed(0, [9, 8, 7])
    drain(scheduler)
    scheduler.branch(0, 1, child_row)
    assert not scheduler.has_work
    scheduler.feed(0, [6])
    scheduler.feed(1, [5])
    assert {done.session for done in drain(scheduler)} == {0, 1}
    np.testing.assert_array_equal(parent_row, fresh_row([9, 8, 7, 6]))
    np.testing.assert_array_equal(child_row, fresh_row([9, 8, 7, 5]))
    assert model.copies == []
    assert model.tokens(1) == (9, 8, 7, 5)
    scheduler.feed(1, [4])
    drain(scheduler)
    np.testing.assert_array_equal(child_row, fresh_row([9, 8, 7, 5, 4]))


def test_replayed_tokens_are_remembered_over_generations_and_may_be_forgotten() -> None:
    model = scripted_model(fork=False)
    scheduler = Scheduler(model)
    opened(scheduler, model, 0)
    scheduler.feed(0, [9, 8, 7])
    drain(scheduler)
    rows = [empty_row(model) for _ in range(3)]
    scheduler.branch(0, 1, rows[0])
    scheduler.rewind(1, 1)
    scheduler.branch(1, 2, rows[1])
    scheduler.close(0)
    scheduler.branch(1, 3, rows[2])
    scheduler.rewind(3, 2)
    with pytest.raises(ValueError, match="cannot forget 1 of 0 tokens"):
        scheduler.rewind(3, 1)
    for session in (1, 2, 3):
        scheduler.feed(session, [session])
    drain(scheduler)
    for row, tokens in zip(rows, ([9, 8, 1], [9, 8, 2], [3]), strict=True):
        np.testing.assert_array_equal(row, fresh_row(tokens))


def test_prefix_sums_come_with_the_row_where_they_are_wanted() -> None:
    model = scripted_model(vocabulary="words")
    scheduler = Scheduler(model)
    rows = [empty_row(model) for _ in range(2)]
    sums = [np.full(len(model.vocabulary) + 1, np.nan) for _ in range(2)]
    scheduler.open(0, rows[0], sums[0])
    scheduler.feed(0, [9, 8])
    drain(scheduler)
    scheduler.branch(0, 1, rows[1], sums[1])
    scheduler.feed(1, [7])
    drain(scheduler)
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
    scheduler = Scheduler(model)
    opened(scheduler, model, 0)
    scheduler.score(0, prompt(0, count))
    assert drain(scheduler) == [Completion(0, 0, step_by_step(prompt(0, count)))]
    assert model.tokens(0) == tuple(prompt(0, count))


def test_a_long_score_goes_in_chunks_of_what_one_call_computes() -> None:
    model = RecordingModel(sessions=1, batch_tokens=64)
    scheduler = Scheduler(model)
    opened(scheduler, model, 0)
    scheduler.score(0, prompt(0, 20))
    drain(scheduler)
    assert model.calls == [[(0, 8, False)], [(0, 8, False)], [(0, 4, False)]]


def test_others_decode_while_a_text_is_scored() -> None:
    model = scripted_model(sessions=3)
    scheduler = Scheduler(model)
    row, _ = opened(scheduler, model, 0, 1)
    scheduler.score(1, prompt(1, 20))
    fed: list[int] = []
    scores: dict[int, list[float] | None] = {}
    while 1 not in scores:
        scheduler.feed(0, [9])
        fed.append(9)
        completed = scored(scheduler.step())
        assert completed.pop(0) is None
        np.testing.assert_array_equal(row, fresh_row(fed))
        scores |= completed
    assert scores == {1: step_by_step(prompt(1, 20))}
    assert len(fed) == 3


class CountingModel(RecordingModel):
    """Remembers how many rows of log-probs each decode call computed."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.outputs: list[int] = []

    def decode(self, chunks: Sequence[Chunk]) -> None:
        self.outputs.append(sum(len(c.targets) + (c.output is not None) for c in chunks))
        super().decode(chunks)


@pytest.mark.parametrize("length", [5, 8, 30])
@pytest.mark.parametrize("scoring", range(1, 9))
def test_scored_texts_leave_every_other_feed_its_row(scoring: int, length: int) -> None:
    model = CountingModel(sessions=8)
    scheduler = Scheduler(model)
    opened(scheduler, model, *range(8))
    for session in range(scoring):
        scheduler.score(session, prompt(session, length))
    for session in range(scoring, 8):
        scheduler.feed(session, prompt(session, 1 + session))
    done = drain(scheduler)
    assert scored(done) == {
        session: step_by_step(prompt(session, length)) if session < scoring else None
        for session in range(8)
    }
    assert max(model.outputs) <= model.max_outputs


def test_a_score_never_comes_from_the_prefix_cache() -> None:
    model = scripted_model()
    scheduler = Scheduler(model)
    opened(scheduler, model, 0, 1, 2)
    scheduler.feed(0, prompt(0, 20))
    scheduler.feed(1, prompt(0, 20))
    drain(scheduler)
    scheduler.close(0)
    scheduler.score(2, prompt(0, 20))
    assert drain(scheduler) == [Completion(2, 0, step_by_step(prompt(0, 20)))]


@pytest.mark.parametrize("steps", [1, 3])
def test_a_scored_session_is_not_kept_in_the_prefix_cache(steps: int) -> None:
    model = scripted_model(sessions=1)
    scheduler = Scheduler(model)
    opened(scheduler, model, 0)
    scheduler.score(0, prompt(0, 20))
    for _ in range(steps):
        scheduler.step()
    scheduler.close(0)
    assert not scheduler.has_work
    assert model.tokens(0) == ()
    opened(scheduler, model, 1)
    scheduler.feed(1, prompt(0, 20))
    assert drain(scheduler) == [Completion(1, 0)]


def test_a_scored_session_can_be_fed_and_branched() -> None:
    model = scripted_model()
    scheduler = Scheduler(model)
    sums = np.full(len(model.vocabulary) + 1, -1.0)
    row, child_row = empty_row(model), empty_row(model)
    scheduler.open(0, row, sums)
    scheduler.score(0, [9, 8, 7])
    drain(scheduler)
    assert (sums == -1.0).all()
    scheduler.branch(0, 1, child_row)
    scheduler.feed(0, [6])
    scheduler.feed(1, [5])
    assert scored(drain(scheduler)) == {0: None, 1: None}
    np.testing.assert_array_equal(row, fresh_row([9, 8, 7, 6]))
    np.testing.assert_array_equal(child_row, fresh_row([9, 8, 7, 5]))
    assert sums[0] == 0.0


def test_only_an_empty_session_is_scored() -> None:
    model = scripted_model(fork=False)
    scheduler = Scheduler(model)
    opened(scheduler, model, 0)
    with pytest.raises(ValueError, match="session 0: an empty feed"):
        scheduler.score(0, [])
    scheduler.feed(0, [9, 8])
    with pytest.raises(ValueError, match="still outstanding"):
        scheduler.score(0, [9])
    assert drain(scheduler) == [Completion(0, 0)]
    scheduler.branch(0, 1, empty_row(model))
    for session in (0, 1):
        with pytest.raises(ValueError, match=f"session {session}: only an empty session"):
            scheduler.score(session, [9])
    scheduler.rewind(0, 2)
    scheduler.score(0, [9, 8])
    assert drain(scheduler) == [Completion(0, 0, step_by_step([9, 8]))]


def test_many_branches_closed_at_once_leave_other_prompts_in_the_cache() -> None:
    model = scripted_model(sessions=4)
    scheduler = Scheduler(model)
    opened(scheduler, model, 0)
    scheduler.feed(0, prompt(0, 20))
    drain(scheduler)
    scheduler.close(0)
    opened(scheduler, model, 1)
    scheduler.feed(1, prompt(1, 20))
    drain(scheduler)
    for child in range(2, 40):
        scheduler.branch(1, child, empty_row(model))
        scheduler.feed(child, [9])
        drain(scheduler)
        scheduler.close(child)
    opened(scheduler, model, 50)
    scheduler.feed(50, prompt(0, 20))
    assert drain(scheduler) == [Completion(50, 19)]


def test_the_last_of_a_fork_group_stays_in_the_cache() -> None:
    model = scripted_model(sessions=2)
    scheduler = Scheduler(model)
    opened(scheduler, model, 0)
    scheduler.feed(0, prompt(0, 20))
    drain(scheduler)
    scheduler.branch(0, 1, empty_row(model))
    scheduler.close(0)
    scheduler.close(1)
    opened(scheduler, model, 2)
    scheduler.feed(2, [*prompt(0, 20), 9])
    assert drain(scheduler) == [Completion(2, 20)]


def test_a_session_closed_in_mid_feed_leaves_what_it_decoded_to_the_next() -> None:
    model = scripted_model(batch_tokens=8, sessions=1)
    scheduler = Scheduler(model)
    opened(scheduler, model, 0)
    scheduler.feed(0, prompt(0, 20))
    scheduler.step()
    scheduler.close(0)
    assert not scheduler.has_work
    (row,) = opened(scheduler, model, 1)
    scheduler.feed(1, prompt(0, 20))
    assert drain(scheduler) == [Completion(1, 8)]
    np.testing.assert_array_equal(row, fresh_row(prompt(0, 20)))


def test_rewinding_everything_starts_anew() -> None:
    model = scripted_model()
    scheduler = Scheduler(model)
    (row,) = opened(scheduler, model, 0)
    scheduler.feed(0, [9, 8])
    drain(scheduler)
    scheduler.rewind(0, 2)
    scheduler.feed(0, [7])
    drain(scheduler)
    np.testing.assert_array_equal(row, fresh_row([7]))


def test_misuse_is_refused_with_the_session_named() -> None:
    model = scripted_model(sessions=2)
    scheduler = Scheduler(model)
    opened(scheduler, model, 0, 1)
    with pytest.raises(ValueError, match="session 0 is open already"):
        scheduler.open(0, empty_row(model))
    with pytest.raises(ValueError, match="all 2 sessions are open"):
        scheduler.open(2, empty_row(model))
    with pytest.raises(ValueError, match="all 2 sessions are open"):
        scheduler.branch(0, 2, empty_row(model))
    with pytest.raises(ValueError, match="session 9 is not open"):
        scheduler.feed(9, [5])
    with pytest.raises(ValueError, match="session 9 is not open"):
        scheduler.close(9)
    with pytest.raises(ValueError, match="session 0: an empty feed"):
        scheduler.feed(0, [])
    with pytest.raises(ValueError, match="cannot forget 1 of 0 tokens"):
        scheduler.rewind(0, 1)
    scheduler.feed(0, [5])
    with pytest.raises(ValueError, match="still outstanding"):
        scheduler.feed(0, [5])
    with pytest.raises(ValueError, match="still outstanding"):
        scheduler.rewind(0, 0)
    with pytest.raises(ValueError, match="prefill chunks of 0 tokens"):
        Scheduler(model, interleaved_prefill_tokens=0)


def test_a_model_that_cannot_rewind_is_not_asked_to() -> None:
    model = scripted_model(rewind=False)
    scheduler = Scheduler(model)
    opened(scheduler, model, 0)
    scheduler.feed(0, [9, 8])
    drain(scheduler)
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
    model = FragmentedModel(2, sessions=4)
    scheduler = Scheduler(model)
    for session in range(3):
        opened(scheduler, model, session)
        scheduler.feed(session, prompt(session, 20))
        drain(scheduler)
        scheduler.close(session)
    (row,) = opened(scheduler, model, 9)
    scheduler.feed(9, prompt(9, 20))
    assert drain(scheduler) == [Completion(9, 0)]
    np.testing.assert_array_equal(row, fresh_row(prompt(9, 20)))


def test_without_room_for_live_sessions_the_feed_waits_until_one_closes() -> None:
    model = scripted_model(cells=30)
    scheduler = Scheduler(model)
    opened(scheduler, model, 0)
    scheduler.feed(0, prompt(0, 20))
    drain(scheduler)
    (row,) = opened(scheduler, model, 1)
    scheduler.feed(1, prompt(1, 20))
    with pytest.raises(NoRoom):
        scheduler.step()
    assert scheduler.has_work
    scheduler.close(0)
    assert drain(scheduler) == [Completion(1, 0)]
    np.testing.assert_array_equal(row, fresh_row(prompt(1, 20)))


def stepped(clock: Clock, *feeders: int, seconds: float = 0.1) -> Scheduler:
    model = TimedModel(clock, seconds)
    scheduler = Scheduler(model, clock=clock)
    opened(scheduler, model, *feeders)
    for session in feeders:
        scheduler.feed(session, [9])
    drain(scheduler)
    return scheduler


def test_no_grace_when_everyone_of_the_last_step_has_fed_again_or_closed() -> None:
    clock = Clock()
    scheduler = stepped(clock, 0, 1)
    scheduler.feed(0, [9])
    assert scheduler.grace_seconds() > 0
    scheduler.close(1)
    assert scheduler.grace_seconds() == 0.0


def test_the_grace_is_a_tenth_of_a_decode_step_less_the_time_that_passed() -> None:
    clock = Clock()
    scheduler = stepped(clock, 0, 1)
    scheduler.feed(0, [9])
    assert scheduler.grace_seconds() == pytest.approx(0.01)
    clock.now += 0.004
    assert scheduler.grace_seconds() == pytest.approx(0.006)
    clock.now += 1.0
    assert scheduler.grace_seconds() == 0.0


def test_a_branch_goes_on_without_a_wait_for_its_parent() -> None:
    clock = Clock()
    scheduler = stepped(clock, 0)
    scheduler.branch(0, 1, empty_row(scripted_model()))
    scheduler.feed(1, [8])
    assert scheduler.grace_seconds() == 0.0


def test_a_branch_does_not_shorten_the_wait_for_others() -> None:
    clock = Clock()
    scheduler = stepped(clock, 0, 1)
    scheduler.branch(0, 2, empty_row(scripted_model()))
    scheduler.feed(2, [8])
    assert scheduler.grace_seconds() == pytest.approx(0.01)


def test_whoever_missed_a_step_is_not_waited_for_again() -> None:
    clock = Clock()
    scheduler = stepped(clock, 0, 1)
    scheduler.feed(0, [9])
    scheduler.step()
    scheduler.feed(0, [9])
    assert scheduler.grace_seconds() == 0.0


def test_the_duration_of_prefill_does_not_stretch_the_grace() -> None:
    clock = Clock()
    model = TimedModel(clock, 0.1)
    scheduler = Scheduler(model, clock=clock)
    opened(scheduler, model, 0, 1)
    scheduler.feed(0, [9])
    scheduler.step()
    model.seconds = 5.0
    scheduler.feed(1, prompt(1, 40))
    scheduler.step()
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


class Interleavings(RuleBasedStateMachine):
    """Any order of calls gives each completed feed the log-probs of a fresh prefill."""

    @initialize(
        fork=st.booleans(),
        rewind=st.booleans(),
        batch_tokens=st.sampled_from([1, 3, 8, 64]),
        cached=st.booleans(),
    )
    def start(self, fork: bool, rewind: bool, batch_tokens: int, cached: bool) -> None:
        self.model = scripted_model(
            sessions=_SESSIONS,
            cells=_KV_TOKENS,
            batch_tokens=batch_tokens,
            fork=fork,
            rewind=rewind,
            generate=True,
        )
        self.cache = PrefixCache(minimum_tokens=2 if cached else _KV_TOKENS + 1)
        self.scheduler = Scheduler(self.model, cache=self.cache, interleaved_prefill_tokens=4)
        self.numbers = itertools.count()
        self.rows: dict[int, LogProbs] = {}
        self.tokens: dict[int, list[int]] = {}
        self.outstanding: set[int] = set()
        self.scored: set[int] = set()
        # What sessions whose tokens the model samples hold so far, and which of them still go on.
        self.generated: dict[int, list[int]] = {}
        self.generating: set[int] = set()

    def kv_tokens_left(self) -> int:
        return _KV_TOKENS - sum(map(len, self.tokens.values()))

    def at_rest(self) -> list[int]:
        busy = self.outstanding | self.generated.keys()
        return [session for session in self.rows if session not in busy]

    @precondition(lambda self: len(self.rows) < _SESSIONS)
    @rule(tokens=_TOKENS)
    def open(self, tokens: list[int]) -> None:
        session = next(self.numbers)
        self.rows[session] = empty_row(self.model)
        self.tokens[session] = []
        self.scheduler.open(session, self.rows[session])
        self.append(session, tokens)

    @precondition(lambda self: self.at_rest())
    @rule(data=st.data(), tokens=_TOKENS)
    def feed(self, data: st.DataObject, tokens: list[int]) -> None:
        self.append(data.draw(st.sampled_from(self.at_rest())), tokens)

    def append(self, session: int, tokens: list[int]) -> None:
        if len(tokens) > self.kv_tokens_left():
            return
        self.scheduler.feed(session, tokens)
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
        self.tokens[child] = list(self.tokens[session])
        self.scheduler.branch(session, child, self.rows[child])

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
            np.testing.assert_array_equal(self.rows[session], fresh_row(self.tokens[session]))
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


Interleavings.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestInterleavings = Interleavings.TestCase
