from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.engines.scheduler.pace import (
    FIRST_TOKENS,
    STEPS_PER_CALL,
    TILE_TOKENS,
    PrefillPace,
)


def seconds_of(decoded: int, prompt_tokens: int, overhead: float, cost: float) -> float:
    """A call of a machine whose steps cost a fixed part and one for every token."""
    return overhead + cost * (decoded + prompt_tokens)


@given(
    decoding=st.integers(1, 16),
    overhead=st.floats(1e-4, 0.5),
    cost=st.floats(1e-6, 0.1),
    most=st.sampled_from([5, 64, 512]),
)
def test_calls_with_a_prompt_come_to_take_what_decode_steps_allow_and_no_less(
    decoding: int, overhead: float, cost: float, most: int
) -> None:
    pace = PrefillPace(most)
    step = seconds_of(decoding, 0, overhead, cost)
    pace.took(decoding, 0, step)
    taken = [0]
    for _ in range(60):
        taken.append(pace.tokens(decoding, False))
        pace.took(decoding, taken[-1], seconds_of(decoding, taken[-1], overhead, cost))
    assert all(0 < tokens <= most for tokens in taken[1:])
    affordable = (STEPS_PER_CALL - 1.0) * step / cost
    assert taken[-1] == pytest.approx(min(most, max(min(4, most), affordable)), abs=1.001)
    assert max(taken) <= max(FIRST_TOKENS, affordable + 1)


def test_a_model_of_which_nothing_is_known_is_given_small_chunks() -> None:
    assert PrefillPace(64).tokens(2, False) == FIRST_TOKENS
    assert PrefillPace(5).tokens(2, False) == 5


def test_chunks_grow_in_steps_where_a_small_one_was_free() -> None:
    pace = PrefillPace(512)
    pace.took(1, 0, 0.01)
    taken = []
    for _ in range(5):
        taken.append(pace.tokens(1, False))
        pace.took(1, taken[-1], 0.01)
    assert taken == [8, 32, 128, 512, 512]


def test_a_call_that_some_who_decode_have_missed_is_shorter() -> None:
    pace = PrefillPace(64)
    pace.took(4, 0, 0.08)
    pace.took(4, 8, 0.12)
    assert [pace.tokens(4, False), pace.tokens(0, True), pace.tokens(3, True)] == [16, 8, 8]


def test_a_step_is_compared_with_steps_of_as_many_tokens() -> None:
    pace = PrefillPace(64)
    for decoding in (1, 8):
        pace.took(decoding, 0, 0.02 * decoding)
    pace.took(8, 8, 0.16 + 8 * 0.01)
    assert (pace.tokens(8, False), pace.tokens(1, False), pace.tokens(7, False)) == (16, 4, 16)


def test_one_slow_call_costs_a_prompt_little() -> None:
    pace = PrefillPace(64)
    pace.took(4, 0, 0.1)
    for _ in range(20):
        pace.took(4, 10, 0.2)
    pace.took(4, 10, 0.5)
    assert 4 <= pace.tokens(4, False) <= 7
    for _ in range(10):
        pace.took(4, 7, 0.17)
    assert pace.tokens(4, False) >= 9


def test_a_call_of_a_prompt_alone_tells_nothing_of_what_it_costs_beside_others() -> None:
    pace = PrefillPace(64)
    pace.took(1, 0, 0.1)
    pace.took(0, 64, 0.01)
    assert pace.tokens(1, False) == FIRST_TOKENS


@given(
    overhead=st.floats(1e-3, 0.2),
    cost=st.floats(1e-5, 0.02),
    seconds=st.floats(0.0, 2.0),
    most=st.sampled_from([5, 64, 512]),
)
def test_calls_that_another_model_waits_for_come_to_take_what_they_should(
    overhead: float, cost: float, seconds: float, most: int
) -> None:
    pace = PrefillPace(most, lambda: seconds)
    step = seconds_of(1, 0, overhead, cost)
    pace.took(1, 0, step)
    assert pace.most_tokens() == most
    tokens = most
    for _ in range(60):
        pace.took(0, tokens, seconds_of(0, tokens, overhead, cost))
        tokens = pace.most_tokens()

    allowed = max(seconds, STEPS_PER_CALL * step)
    # Who decodes in short steps waits for no more than before; others for whole tiles.
    fewest = min(FIRST_TOKENS if allowed < 0.25 else TILE_TOKENS, most)
    assert tokens >= fewest
    assert tokens <= TILE_TOKENS or tokens % TILE_TOKENS == 0
    if tokens > fewest:
        assert seconds_of(0, tokens, overhead, cost) <= 1.3 * allowed + 2 * cost
