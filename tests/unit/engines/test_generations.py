from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import pytest

from quorate.engines.generation import SampledToken
from quorate.engines.scheduler.contract import SequenceOutput
from quorate.engines.scheduler.entry import Completion
from quorate.engines.scheduler.generations import SessionOutput
from quorate.engines.scheduler.prefix_cache import PrefixCache
from quorate.engines.scheduler.scheduler import Scheduler
from support.schedulers import DrivenScheduler, RecordingModel
from support.scripted_models import engine_sampling, fresh_row, scripted_model

GeneratingModel = partial(RecordingModel, own_sampler=True)


class SpeculatingModel(RecordingModel):
    """Tells of two calls at once, in one piece, and of its own cache with the first."""

    def sampled(self) -> Sequence[SequenceOutput]:
        if len(self.calls) % 2:
            return ()
        outputs = super().sampled()
        tokens: list[SampledToken] = [one for output in outputs for one in output.tokens]
        cached = 2 if len(self.calls) == 2 else 0
        return [SequenceOutput(outputs[0].sequence, tokens, outputs[-1].finished, cached)]


def greedy(tokens: list[int], count: int) -> list[int]:
    """What the best token is, every time."""
    held = list(tokens)
    while len(held) < len(tokens) + count:
        held.append(int(fresh_row(held).argmax()))
    return held[len(tokens) :]


def ids(outputs: Sequence[SessionOutput], session: int) -> list[int]:
    return [one.token for output in outputs if output.session == session for one in output.tokens]


def run_out(scheduler: Scheduler) -> list[SessionOutput]:
    outputs = []
    while scheduler.has_work:
        scheduler.step()
        outputs += scheduler.sampled()
    return outputs


def test_a_generation_goes_on_in_steps_without_any_feed() -> None:
    model = GeneratingModel()
    scheduler = DrivenScheduler(model, 4)
    scheduler.generate(4, [9, 8, 7], engine_sampling(max_tokens=3))
    assert scheduler.has_work
    outputs = run_out(scheduler)
    assert ids(outputs, 4) == greedy([9, 8, 7], 3)
    assert [output.finished for output in outputs] == [False, False, True]
    assert model.sizes == [[], [], []]


def test_what_was_sampled_is_handed_out_once() -> None:
    scheduler = DrivenScheduler(GeneratingModel(), 0)
    scheduler.generate(0, [9], engine_sampling())
    scheduler.step()
    scheduler.step()
    assert ids(scheduler.sampled(), 0) == greedy([9], 2)
    assert scheduler.sampled() == []


def test_feeds_and_generations_share_the_decode_calls() -> None:
    model = GeneratingModel()
    scheduler = DrivenScheduler(model, 0, 1, 2)
    scheduler.generate(0, [9, 8], engine_sampling(max_tokens=2))
    scheduler.generate(2, [7], engine_sampling(max_tokens=2))
    for tokens in ([6, 5], [4]):
        scheduler.feed(1, tokens)
        assert scheduler.step() == [Completion(1, 0)]
    outputs = scheduler.sampled()
    assert ids(outputs, 0) == greedy([9, 8], 2)
    assert ids(outputs, 2) == greedy([7], 2)
    scheduler.assert_row(1, [6, 5, 4])
    assert model.sizes == [[2], [1]]
    assert not scheduler.has_work


def test_a_generation_of_a_branch_that_shares_nothing_reads_its_parents_tokens() -> None:
    scheduler = DrivenScheduler(GeneratingModel(fork=False), 0)
    scheduler.decode(0, [9, 8, 7])
    scheduler.fork(0, 1)
    scheduler.generate(1, [6], engine_sampling(max_tokens=2))
    assert ids(run_out(scheduler), 1) == greedy([9, 8, 7, 6], 2)


@pytest.mark.parametrize("fed", [[], [9, 8, 7]])
def test_a_generation_that_is_finished_leaves_an_empty_sequence(fed: list[int]) -> None:
    model = GeneratingModel(sessions=1)
    scheduler = DrivenScheduler(model, 0)
    if fed:
        scheduler.decode(0, fed)
    scheduler.generate(0, [6], engine_sampling(max_tokens=2))
    run_out(scheduler)
    assert model.tokens(0) == ()
    scheduler.close(0)
    assert scheduler.pool.held_tokens == 0
    assert scheduler.pool.empty == [0]


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_closing_ends_a_generation_at_once(steps: int) -> None:
    model = GeneratingModel(sessions=1)
    scheduler = DrivenScheduler(model, 0)
    scheduler.generate(0, [9, 8, 7], engine_sampling())
    for _ in range(steps):
        scheduler.step()
    scheduler.sampled()
    scheduler.close(0)
    assert not scheduler.has_work
    assert model.tokens(0) == ()
    assert scheduler.pool.held_tokens == 0
    scheduler.begin(1)
    scheduler.generate(1, [5], engine_sampling(max_tokens=1))
    assert ids(run_out(scheduler), 1) == greedy([5], 1)


def test_a_generating_session_can_only_be_closed() -> None:
    scheduler = DrivenScheduler(GeneratingModel(), 0)
    scheduler.generate(0, [9], engine_sampling(max_tokens=1))
    for _ in range(2):
        for call in (
            lambda: scheduler.feed(0, [9]),
            lambda: scheduler.generate(0, [9], engine_sampling()),
            lambda: scheduler.rewind(0, 0),
            lambda: scheduler.fork(0, 1),
        ):
            with pytest.raises(ValueError, match="only be closed"):
                call()
        scheduler.step()
    scheduler.close(0)


def test_what_cannot_begin_is_refused() -> None:
    scheduler = DrivenScheduler(GeneratingModel(), 0)
    with pytest.raises(ValueError, match="no tokens"):
        scheduler.generate(0, [], engine_sampling())
    with pytest.raises(ValueError, match="not open"):
        scheduler.generate(1, [9], engine_sampling())
    scheduler.feed(0, [9])
    with pytest.raises(ValueError, match="outstanding"):
        scheduler.generate(0, [9], engine_sampling())


def test_idle_prefixes_make_room_for_all_that_a_generation_may_sample() -> None:
    scheduler = DrivenScheduler(GeneratingModel(sessions=2, cells=12), 0)
    scheduler.decode(0, [9, 8, 7, 6, 5])
    scheduler.close(0)
    assert scheduler.pool.held_tokens == 5
    scheduler.begin(1)
    scheduler.generate(1, [4, 3, 2, 1], engine_sampling(max_tokens=8))
    assert scheduler.pool.held_tokens == 12
    assert ids(run_out(scheduler), 1) == greedy([4, 3, 2, 1], 8)


def test_a_generation_takes_no_prefix_away_that_others_may_need() -> None:
    scheduler = DrivenScheduler(GeneratingModel(sessions=2), 0)
    scheduler.decode(0, [9, 8, 7, 6, 5])
    scheduler.close(0)
    scheduler.begin(1)
    scheduler.generate(1, [9, 8, 7, 6, 5, 4], engine_sampling(max_tokens=2))
    run_out(scheduler)
    scheduler.close(1)
    scheduler.begin(2)
    assert scheduler.decode(2, [9, 8, 7, 6, 5, 4]) == [Completion(2, 5)]


def test_several_tokens_of_one_call_and_what_the_model_found_cached() -> None:
    scheduler = DrivenScheduler(SpeculatingModel(own_sampler=True), 0)
    scheduler.generate(0, [9, 8, 7], engine_sampling(max_tokens=4))
    outputs = run_out(scheduler)
    assert [len(output.tokens) for output in outputs] == [2, 2]
    assert ids(outputs, 0) == greedy([9, 8, 7], 4)
    assert [output.cached_tokens for output in outputs] == [2, 2]


def test_what_was_cached_of_a_sessions_first_feed_stays_told() -> None:
    scheduler = DrivenScheduler(SpeculatingModel(own_sampler=True), 0)
    scheduler.decode(0, [9, 8, 7, 6, 5])
    scheduler.close(0)
    scheduler.begin(1)
    assert scheduler.decode(1, [9, 8, 7, 6, 5, 4]) == [Completion(1, 5)]
    scheduler.generate(1, [3], engine_sampling(max_tokens=2))
    assert [output.cached_tokens for output in run_out(scheduler)] == [5]


def test_generations_alone_never_wait_for_anybody() -> None:
    model = GeneratingModel()
    scheduler = DrivenScheduler(model, 0, clock=lambda: model.now)
    scheduler.generate(0, [9], engine_sampling())
    for _ in range(3):
        scheduler.step()
        assert scheduler.grace_seconds() == 0.0


def test_a_voter_that_is_late_costs_a_generation_the_grace_of_one_step() -> None:
    model = GeneratingModel()
    scheduler = DrivenScheduler(model, 0, 1, clock=lambda: model.now)
    scheduler.generate(0, [9], engine_sampling())
    scheduler.step()
    scheduler.feed(1, [8])
    scheduler.step()
    assert scheduler.grace_seconds() == pytest.approx(0.01)
    scheduler.step()
    assert scheduler.grace_seconds() == 0.0


def test_a_prompt_is_read_in_small_chunks_while_another_session_generates() -> None:
    model = GeneratingModel(batch_tokens=64)
    scheduler = DrivenScheduler(model, 0, 1, interleaved_prefill_tokens=16, clock=lambda: model.now)
    scheduler.generate(0, [9], engine_sampling(max_tokens=20))
    for _ in range(2):
        scheduler.step()
    scheduler.feed(1, [5 + index for index in range(40)])
    for _ in range(3):
        scheduler.step()
    assert model.sizes == [[], [], [8], [16], [16]]


def test_feeds_leave_room_in_the_batch_for_the_tokens_of_generations() -> None:
    model = GeneratingModel(batch_tokens=4, sessions=8)
    scheduler = DrivenScheduler(model, *range(6), cache=PrefixCache(minimum_tokens=100))
    for session in (0, 1):
        scheduler.generate(session, [9], engine_sampling(max_tokens=4))
    for session in range(2, 6):
        scheduler.feed(session, [8])
    scheduler.step()
    scheduler.step()
    assert model.sizes == [[1, 1], [1, 1]]


def test_seeded_sampling_does_not_depend_on_who_else_samples() -> None:
    options = engine_sampling(temperature=1.0, max_tokens=6)
    together = DrivenScheduler(GeneratingModel(), 0, 1)
    together.generate(0, [9], options)
    together.generate(1, [9], replace(options, seed=8))
    beside = run_out(together)
    alone = DrivenScheduler(GeneratingModel(), 0)
    alone.generate(0, [9], options)
    assert ids(run_out(alone), 0) == ids(beside, 0)
    assert ids(beside, 0) != ids(beside, 1)


def test_a_model_without_generations_is_never_asked_for_them() -> None:
    scheduler = DrivenScheduler(scripted_model(), 0)
    assert scheduler.decode(0, [9]) == [Completion(0, 0)]
    assert scheduler.sampled() == []
