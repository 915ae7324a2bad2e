from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.engines.prefixes import common_prefix
from quorate.engines.scheduler.prefix_cache import PrefixCache
from support.schedulers import DrivenScheduler
from support.scripted_models import scripted_model

STORY = [20 + index % 90 for index in range(30)]
NEWS = [30 + index * 3 % 90 for index in range(30)]


class Caller(DrivenScheduler):
    """Opens, feeds and closes sessions one after the other."""

    def ask(self, session: int, prompt: list[int]) -> int:
        """Opens a session, feeds it, checks its log-probs; returns its cached tokens."""
        self.begin(session)
        (completion,) = self.decode(session, prompt)
        self.assert_row(session, prompt)
        assert completion.session == session
        return completion.cached_tokens

    def ask_and_close(self, session: int, prompt: list[int]) -> int:
        cached = self.ask(session, prompt)
        self.close(session)
        return cached


def test_the_same_prompt_again_decodes_its_last_token_only() -> None:
    caller = Caller(scripted_model())
    assert caller.ask_and_close(0, STORY) == 0
    assert caller.ask_and_close(1, STORY) == len(STORY) - 1


def test_the_idle_sequence_with_the_longest_common_prefix_is_taken_over() -> None:
    caller = Caller(scripted_model(fork=False))
    caller.ask(0, STORY[:10])
    caller.ask(1, STORY[:20])
    caller.ask(2, NEWS)
    for session in (0, 1, 2):
        caller.close(session)
    assert caller.ask(3, [*STORY[:25], 7]) == 20
    assert caller.model.tokens(1) == (*STORY[:25], 7)


def test_the_longer_prefix_of_a_sequence_in_use_is_copied() -> None:
    caller = Caller(scripted_model())
    caller.ask_and_close(0, STORY[:10])
    caller.ask(1, [*STORY[:10], *NEWS])
    assert caller.ask(2, [*STORY[:10], *NEWS[:15], 7]) == 25
    assert caller.model.tokens(0) == (*STORY[:10], *NEWS)


def test_a_model_that_cannot_fork_copies_nothing() -> None:
    caller = Caller(scripted_model(fork=False))
    caller.ask(0, STORY)
    assert caller.ask(1, STORY) == 0


def test_a_recurrent_model_reuses_a_sequence_only_as_a_whole() -> None:
    caller = Caller(scripted_model(rewind=False))
    caller.ask_and_close(0, STORY[:20])
    assert caller.ask_and_close(1, [*STORY[:19], 7, 8]) == 0
    assert caller.ask_and_close(2, [*STORY[:20], 7]) == 20


def test_a_recurrent_model_is_not_copied_in_part() -> None:
    caller = Caller(scripted_model(rewind=False))
    caller.ask(0, STORY[:20])
    assert caller.ask(1, [*STORY[:19], 7, 8]) == 0
    assert caller.ask(2, [*STORY[:20], 7]) == 20


def test_a_prefix_below_the_minimum_is_not_worth_a_sequence() -> None:
    caller = Caller(scripted_model())
    caller.ask_and_close(0, STORY)
    assert caller.ask_and_close(1, [*STORY[:3], 7]) == 0
    caller.ask_and_close(2, STORY)
    assert caller.ask_and_close(3, [*STORY[:4], 7]) == 4


def test_the_least_recently_used_sequence_makes_room_for_a_new_prompt() -> None:
    caller = Caller(scripted_model(sessions=2))
    caller.ask_and_close(0, STORY)
    caller.ask_and_close(1, NEWS)
    caller.ask_and_close(2, STORY)
    caller.ask_and_close(3, [9] * 10)
    assert caller.ask(4, STORY) == len(STORY) - 1
    assert caller.ask(5, NEWS) == 0


def test_idle_sequences_are_evicted_when_their_room_is_needed() -> None:
    caller = Caller(scripted_model(sessions=4, cells=70))
    caller.ask_and_close(0, STORY)
    caller.ask_and_close(1, NEWS)
    caller.ask_and_close(2, [9] * 20)
    assert sum(len(caller.model.tokens(number)) for number in range(4)) == 50
    assert caller.ask_and_close(3, NEWS) == len(NEWS) - 1


def test_prompts_below_the_minimum_are_not_kept() -> None:
    caller = Caller(scripted_model(), cache=PrefixCache(minimum_tokens=len(STORY) + 1))
    caller.ask_and_close(0, STORY)
    assert all(caller.model.tokens(number) == () for number in range(8))
    caller.ask(1, STORY)
    assert caller.ask(2, STORY) == 0


def test_a_prompt_that_waits_for_its_turn_finds_what_was_decoded_meanwhile() -> None:
    scheduler = DrivenScheduler(scripted_model(batch_tokens=10), 0, 1)
    for session in (0, 1):
        scheduler.feed(session, STORY)
    told = [(done.session, done.cached_tokens) for done in scheduler.drain()]
    assert told == [(0, 0), (1, 29)]


@pytest.mark.parametrize("shared", [0, 1, 255, 256, 257, 600])
def test_the_common_prefix_is_found_across_block_borders(shared: int) -> None:
    left = list(range(shared)) + [-1] * 50
    right = list(range(shared)) + [-2] * 50
    assert common_prefix(left, right, 10_000) == shared
    # Slices of different types are never equal.
    assert common_prefix(left, tuple(right), 10_000) == shared


@given(st.lists(st.integers(0, 1)), st.lists(st.integers(0, 1)), st.integers(0, 20))
def test_the_common_prefix_is_what_a_naive_count_gives(
    left: list[int], right: list[int], limit: int
) -> None:
    naive = 0
    while naive < min(len(left), len(right), limit) and left[naive] == right[naive]:
        naive += 1
    assert common_prefix(left, right, limit) == naive
