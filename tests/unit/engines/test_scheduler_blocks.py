"""Several rows of one feed: what a decode call computes of them, and beside what."""

from __future__ import annotations

import numpy as np
import pytest

from quorate.engines.scheduler.entry import Completion
from support.schedulers import DrivenScheduler, RecordingModel
from support.scripted_models import scripted_model


def words(start: int, count: int) -> list[int]:
    return [5 + (start * 31 + index * 7) % 200 for index in range(count)]


class OneRowModel(RecordingModel):
    """As vLLM is: one row behind the tokens of a sequence in one call."""

    chunk_rows = 1


def test_a_block_has_a_row_behind_each_of_its_last_tokens_from_one_call() -> None:
    model = RecordingModel()
    scheduler = DrivenScheduler(model, 0)
    scheduler.decode(0, words(0, 3))
    assert scheduler.decode(0, words(1, 5), rows=4) == [Completion(0, 0)]
    scheduler.assert_block(0, words(0, 3) + words(1, 5), 4)
    assert np.isnan(scheduler.blocks[0].rows[4:]).all()
    assert model.outputs == [1, 4]
    scheduler.decode(0, [9])
    scheduler.assert_row(0, [*words(0, 3), *words(1, 5), 9])


def test_what_the_mask_took_is_told_of_each_row() -> None:
    scheduler = DrivenScheduler(scripted_model(masked=0.25), 0)
    scheduler.decode(0, words(0, 4), rows=3)
    np.testing.assert_array_equal(scheduler.blocks[0].masked[:4], [0.25, 0.25, 0.25, np.nan])


@pytest.mark.parametrize("batch_tokens", [1, 2, 3, 7])
def test_a_block_larger_than_the_batch_comes_in_several_calls(batch_tokens: int) -> None:
    model = RecordingModel(batch_tokens=batch_tokens)
    scheduler = DrivenScheduler(model, 0)
    assert scheduler.decode(0, words(0, 12), rows=6) == [Completion(0, 0)]
    scheduler.assert_block(0, words(0, 12), 6)
    assert len(model.calls) == -(-12 // batch_tokens)


def test_a_model_with_one_row_in_a_call_gives_a_block_token_by_token() -> None:
    model = OneRowModel()
    scheduler = DrivenScheduler(model, 0, 1)
    scheduler.feed(1, words(3, 2))
    assert [one.session for one in scheduler.decode(0, words(0, 8), rows=3)] == [1, 0]
    scheduler.assert_block(0, words(0, 8), 3)
    scheduler.assert_row(1, words(3, 2))
    assert [call[0][1] for call in model.calls] == [2, 1, 1]


def test_the_rows_of_a_call_are_divided_so_that_everybody_gets_one() -> None:
    model = RecordingModel(sessions=4)
    assert model.max_outputs == 8
    scheduler = DrivenScheduler(model, 0, 1, 2, 3)
    for session in (0, 1, 2):
        scheduler.feed(session, words(session, 6), rows=6)
    scheduler.feed(3, [9])
    assert [one.session for one in scheduler.step()] == [3]
    assert model.sizes[0] == [5, 1, 1, 1]
    assert {one.session for one in scheduler.drain()} == {0, 1, 2}
    assert max(model.outputs) <= model.max_outputs
    for session in (0, 1, 2):
        scheduler.assert_block(session, words(session, 6), 6)


def test_drafts_of_other_sessions_are_not_paced_and_longer_blocks_are() -> None:
    model = RecordingModel(sessions=40)
    scheduler = DrivenScheduler(model, 0, 1, 2, clock=lambda: model.now)
    scheduler.decode(0, [9])
    scheduler.feed(0, [9])
    scheduler.feed(1, words(1, 9), rows=9)
    scheduler.feed(2, words(2, 30), rows=30)
    assert {one.session for one in scheduler.step()} == {0, 1}
    assert model.sizes[-1] == [1, 9, 8]


def test_a_long_block_alone_fills_the_call_though_its_session_fed_little_before() -> None:
    model = RecordingModel(sessions=40)
    scheduler = DrivenScheduler(model, 0)
    scheduler.decode(0, [9])
    scheduler.decode(0, words(0, 30), rows=30)
    assert model.sizes == [[1], [30]]


def test_a_block_shares_calls_with_the_prompt_before_it() -> None:
    model = RecordingModel(batch_tokens=16, sessions=40)
    scheduler = DrivenScheduler(model, 0, 1)
    scheduler.feed(0, words(0, 60))
    scheduler.feed(1, words(1, 20), rows=20)
    order = [one.session for one in scheduler.drain()]
    assert order == [1, 0]
    assert sorted(model.sizes[0]) == [8, 8]
    scheduler.assert_block(1, words(1, 20), 20)
    scheduler.assert_row(0, words(0, 60))


def test_a_prompt_is_not_starved_by_blocks_that_never_end() -> None:
    model = RecordingModel(batch_tokens=16, sessions=40)
    scheduler = DrivenScheduler(model, 0, 1)
    scheduler.feed(0, words(0, 60))
    completed = {1}
    for _ in range(12):
        if 1 in completed:
            scheduler.feed(1, words(1, 12), rows=12)
        completed = {one.session for one in scheduler.step()}
        if 0 in completed:
            break
    assert 0 in completed


def test_tokens_with_a_row_are_never_taken_from_the_cache() -> None:
    scheduler = DrivenScheduler(scripted_model(), 0, 1)
    scheduler.decode(0, words(0, 10))
    scheduler.close(0)
    assert scheduler.decode(1, words(0, 10), rows=4) == [Completion(1, 6)]
    scheduler.assert_block(1, words(0, 10), 4)


def test_a_branch_that_must_be_decoded_again_may_begin_with_a_block() -> None:
    scheduler = DrivenScheduler(scripted_model(fork=False), 0)
    scheduler.decode(0, words(0, 6))
    scheduler.fork(0, 1)
    scheduler.decode(1, words(1, 3), rows=3)
    scheduler.assert_block(1, words(0, 6) + words(1, 3), 3)


def test_closing_in_the_middle_of_a_block_drops_the_rest_of_it() -> None:
    model = RecordingModel(batch_tokens=4)
    scheduler = DrivenScheduler(model, 0, 1)
    scheduler.feed(0, words(0, 8), rows=8)
    scheduler.step()
    scheduler.close(0)
    assert not scheduler.has_work
    scheduler.decode(1, words(0, 8), rows=2)
    scheduler.assert_block(1, words(0, 8), 2)


@pytest.mark.parametrize("rows", [-1, 4, 33])
def test_rows_that_a_feed_cannot_have_are_refused(rows: int) -> None:
    scheduler = DrivenScheduler(scripted_model(), 0)
    with pytest.raises(ValueError, match=f"session 0: {rows} rows for 3 tokens"):
        scheduler.feed(0, [9, 8, 7], rows)
    assert not scheduler.has_work
