from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.ensemble.drafts.costs import KEPT_SETS, Blocks, Costs, Guesser, KnownCosts
from quorate.ensemble.drafts.pace import TOGETHER, Pace, Round
from quorate.request import MAX_DRAFT

# Measured with Qwen2.5-Coder 1.5B, of 1 to 8 rows, in milliseconds; see the facts of decoding.
BLOCKS_AMX = {1: 81, 2: 126, 3: 141, 4: 146, 5: 153, 6: 168, 7: 180, 8: 193, 9: 205}
BLOCKS_PLAIN = {1: 101, 2: 139, 3: 174, 4: 209, 5: 246, 6: 279, 7: 308, 8: 337, 9: 366}
# Of a processor without AVX-512, where the ninth row begins another tile.
BLOCKS_AVX2 = {1: 86, 2: 131, 3: 174, 4: 219, 5: 265, 6: 307, 7: 362, 8: 440, 9: 560}


@dataclass
class Machine:
    """What members take on a machine, and a stream of symbols that are decoded on it."""

    alone: float
    together: float
    blocks: dict[int, float]
    everybody: dict[int, float]
    noise: float = 0.05

    def run(
        self,
        symbols: int,
        right: Callable[[random.Random, int], bool],
        costs: Costs | None = None,
        *,
        found: int = 0,
        size_share: float = 0.3,
        seed: int = 1,
        sure: Callable[[int], float] = lambda place: 0.7,
    ) -> tuple[float, list[Round]]:
        """Time for each symbol as a share of a step of everybody, and the rounds there were."""
        luck = random.Random(seed)
        pace = Pace(costs or Costs(), size_share=size_share)
        spent, done, rounds = 0.0, 0, list[Round]()

        def took(seconds: float) -> float:
            return seconds * luck.uniform(1 - self.noise, 1 + self.noise)

        def saw(place: int) -> bool:
            hit = right(luck, place)
            pace.saw(Guesser.MEMBER, hit, sure(place))
            if found:
                pace.saw(Guesser.LOOKUP, hit, 4)
            return hit

        while done < symbols:
            planned = pace.plan(symbols - done, 4 if found else 0, found)
            if planned.guesser is None:
                rounds.append(planned)
                seconds = took(self.together)
                pace.took_together(seconds)
                saw(done)
                spent, done = spent + seconds, done + 1
                continue
            steps, guessed = list[float](), planned.length
            if planned.guesser is Guesser.MEMBER:
                steps, guessed = self._led(pace, planned, took, sure, done)
            seconds, looked = sum(steps), len(steps)
            rounds.append(Round(planned.guesser, guessed))
            table = self.blocks if looked else self.everybody
            block = took(table[guessed + 1])
            pace.took_block(planned, guessed + 1, block)
            seconds += block
            accepted = 0
            while accepted < guessed and saw(done + accepted):
                accepted += 1
            if accepted == guessed:
                if looked == guessed:
                    seconds += took(self.alone)
                saw(done + accepted)
            pace.ended(planned, accepted, seconds)
            spent, done = spent + seconds, done + accepted + 1
        return spent / done / self.together, rounds

    def _led(
        self,
        pace: Pace,
        planned: Round,
        took: Callable[[float], float],
        sure: Callable[[int], float],
        place: int,
    ) -> tuple[list[float], int]:
        """Times of the steps of a member that leads, and how many symbols it guessed."""
        steps, guessed = list[float](), 0
        while not steps or (guessed < planned.length and pace.goes_on):
            steps.append(took(self.alone))
            pace.took_alone(steps[-1])
            if not pace.takes(sure(place + guessed)):
                break
            guessed += 1
        return steps, guessed


IN_TURN = Machine(33, 120, BLOCKS_AMX, {n: 33 + t for n, t in BLOCKS_AMX.items()})
PLAIN = Machine(44, 150, BLOCKS_PLAIN, {n: 44 + t for n, t in BLOCKS_PLAIN.items()})
AVX2 = Machine(50, 137, BLOCKS_AVX2, {n: 50 + t for n, t in BLOCKS_AVX2.items()})
EQUALS = Machine(
    100, 100, {n: 60 + 40 * n for n in range(1, 10)}, {n: 70 + 40 * n for n in range(1, 10)}
)


def chance(share: float) -> Callable[[random.Random, int], bool]:
    return lambda luck, place: luck.random() < share


@pytest.mark.parametrize("machine", [IN_TURN, PLAIN], ids=["amx", "plain"])
@pytest.mark.parametrize(("share", "most"), [(0.97, 0.72), (0.9, 0.86)])
def test_what_is_often_right_is_drafted_and_pays(
    machine: Machine, share: float, most: float
) -> None:
    costs = Costs()
    machine.run(100, chance(share), costs)
    later, rounds = machine.run(400, chance(share), costs, seed=5)
    assert later < most
    assert max(round.length for round in rounds) >= 3
    # The next request starts from what is known.
    assert rounds[0].guesser is Guesser.MEMBER
    assert rounds[0].length > 0


def test_where_long_drafts_are_dear_short_ones_are_tried() -> None:
    shares = []
    for seed in range(8):
        costs = Costs()
        for earlier in range(3):
            AVX2.run(96, chance(0.96), costs, seed=100 + earlier)
        shares.append(AVX2.run(96, chance(0.96), costs, seed=seed)[0])
    assert sum(shares) / len(shares) < 0.87


@pytest.mark.parametrize(
    "machine", [IN_TURN, PLAIN, AVX2, EQUALS], ids=["amx", "plain", "avx2", "equals"]
)
@pytest.mark.parametrize("share", [0.0, 0.2, 0.4, 0.6, 0.75])
def test_a_draft_that_does_not_pay_costs_no_more_than_three_percent(
    machine: Machine, share: float
) -> None:
    costs = Costs()
    for seed in range(5):
        machine.run(40, chance(share), costs, seed=seed)
    shares = [machine.run(128, chance(share), costs, seed=seed)[0] for seed in range(20, 30)]
    assert sum(shares) / len(shares) < 1.03


def test_equal_members_that_agree_in_everything_do_not_draft_for_each_other() -> None:
    costs = Costs()
    EQUALS.run(300, chance(1.0), costs, size_share=0.5)
    share, rounds = EQUALS.run(1000, chance(1.0), costs, size_share=0.5)
    assert share < 1.03
    assert sum(round.length for round in rounds) < 20


def test_the_first_request_of_a_server_loses_little_by_its_trials() -> None:
    for seed in range(10):
        share, _ = PLAIN.run(128, chance(0.1), Costs(), seed=seed)
        assert share < 1.03


def test_a_text_that_turns_unpredictable_is_given_up_soon() -> None:
    costs = Costs()
    PLAIN.run(200, chance(0.97), costs)
    share, _ = PLAIN.run(200, chance(0.1), costs, seed=3)
    assert share < 1.06


def test_a_member_stops_where_it_is_not_sure() -> None:
    def sure(place: int) -> float:
        return 0.99 if place % 8 < 6 else 0.1

    def as_sure(luck: random.Random, place: int) -> bool:
        return luck.random() < sure(place)

    costs, blind = Costs(), Costs()
    for seed in range(4):
        IN_TURN.run(100, as_sure, costs, sure=sure, seed=seed)
        IN_TURN.run(100, as_sure, blind, seed=seed)
    told, rounds = IN_TURN.run(400, as_sure, costs, sure=sure)
    untold, _ = IN_TURN.run(400, as_sure, blind)
    assert told < 0.93 * untold
    # Nothing is guessed where it would be wrong, which costs no more than a step of everybody.
    assert sum(round == Round(Guesser.MEMBER, 0) for round in rounds) > 40


def test_a_draft_that_does_not_grow_has_the_length_that_pays_best_in_the_mean() -> None:
    costs = Costs()
    IN_TURN.run(200, chance(0.6), costs)
    plans = {}
    for share in (0.0, 1.0):
        pace = Pace(costs, size_share=0.3, grows=False)
        for _ in range(60):
            pace.saw(Guesser.MEMBER, share > 0.5)
        pace.took_together(120.0)
        plans[share] = pace.plan(20)
    assert plans[0.0] == TOGETHER
    assert plans[1.0] == Round(Guesser.MEMBER, MAX_DRAFT)


def test_a_member_that_would_keep_others_waiting_does_not_lead_to_guess_nothing() -> None:
    at_once = Machine(50, 100, {n: 100 + 5 * n for n in range(1, 10)}, BLOCKS_PLAIN)
    costs = Costs()
    at_once.run(200, chance(0.05), costs, sure=lambda place: 0.1)
    share, rounds = at_once.run(400, chance(0.05), costs, sure=lambda place: 0.1)
    assert share < 1.03
    assert sum(round.guesser is not None for round in rounds) < 20


def test_what_was_said_before_is_guessed_without_a_member() -> None:
    costs = Costs()
    share, rounds = IN_TURN.run(300, chance(0.95), costs, found=8, size_share=0.0)
    assert share < 0.75
    assert {round.guesser for round in rounds} == {None, Guesser.LOOKUP}
    refused, _ = IN_TURN.run(300, chance(0.05), costs, found=8, size_share=0.0)
    assert refused < 1.03


def test_a_machine_that_changes_is_found_out() -> None:
    busy = Machine(110, 120, BLOCKS_PLAIN, BLOCKS_PLAIN)
    costs = Costs()
    busy.run(300, chance(0.95), costs)
    assert busy.run(300, chance(0.95), costs)[0] < 1.03
    freed = [IN_TURN.run(2000, chance(0.95), costs, seed=seed)[0] for seed in range(3)]
    assert freed[-1] < 0.8


def test_no_more_is_guessed_than_there_is_room_for() -> None:
    costs = Costs()
    IN_TURN.run(300, chance(0.99), costs)
    pace = Pace(costs, size_share=0.3)
    pace.took_together(120.0)
    assert pace.plan(0) == TOGETHER
    assert pace.plan(2).length <= 2
    few = Pace(costs, most=1, size_share=0.3)
    assert few.plan(50).length == 1
    assert Pace(costs, most=99, size_share=0.3).plan(50).length <= MAX_DRAFT


def test_what_was_not_measured_lies_between_what_was() -> None:
    blocks = Blocks()
    assert blocks.seconds(1, 100.0, 0.2) == 100.0
    assert blocks.seconds(5, 100.0, 0.2) == pytest.approx(180.0)
    blocks.add(5, 180.0)
    # Who knows only one row and many has to try few of them.
    assert [blocks.seconds(n, 100.0, 0.2) for n in (1, 2, 3, 4, 5)] == [100, 120, 140, 160, 180]
    # One length says nothing of what a row adds beyond it.
    assert blocks.seconds(7, 100.0, 0.2) == pytest.approx(200.0)
    blocks.add(3, 150.0)
    blocks.add(6, 196.0)
    blocks.add(1, 90.0)
    assert blocks.seconds(1, 100.0, 0.2) == blocks.single == 90.0
    assert [blocks.seconds(n, 100.0, 0.2) for n in (2, 4, 5)] == [120, 165, 180]
    # Beyond, a row adds the median of what rows added.
    assert blocks.seconds(8, 100.0, 0.2) == pytest.approx(196 + 2 * 46 / 3)
    assert blocks.count == 3


def test_a_block_that_was_slow_for_its_rows_does_not_make_further_rows_free() -> None:
    blocks = Blocks()
    blocks.add(3, 190.0)
    blocks.add(6, 120.0)
    assert [blocks.seconds(n, 100.0, 0.2) for n in (3, 4, 6, 8)] == [155.0] * 4


@given(
    st.lists(st.tuples(st.integers(1, 9), st.floats(1e-3, 10.0)), max_size=30),
    st.floats(1e-3, 1.0),
)
def test_more_rows_never_take_less_time(times: list[tuple[int, float]], single: float) -> None:
    blocks = Blocks()
    for rows, seconds in times:
        blocks.add(rows, seconds)
    line = [blocks.seconds(rows, single, 0.2) for rows in range(2, 12)]
    assert all(more >= fewer * (1 - 1e-9) for fewer, more in pairwise(line))


def test_what_a_machine_took_long_ago_is_forgotten() -> None:
    blocks = Blocks()
    blocks.add(2, 900.0)
    for _ in range(200):
        blocks.add(4, 140.0)
        blocks.add(6, 160.0)
    assert blocks.seconds(2, 100.0, 0.2) == pytest.approx(100.0 + 40.0 / 3)


def test_what_is_known_is_kept_for_the_sets_that_were_used_last() -> None:
    known = KnownCosts()
    first = known.of("first")
    first.together.add(1.0)
    for number in range(KEPT_SETS - 1):
        known.of(number)
    assert known.of("first") is first
    known.of("one more")
    assert known.of("first") is first
    assert known.of(0).together.count == 0


@pytest.mark.parametrize(
    ("sure", "as_sure", "surer"), [(0.0, 0.149, 0.15), (0.6, 0.79, 0.8), (0.95, 1.0, 0.5)]
)
def test_guesses_are_graded_by_how_sure_they_are(sure: float, as_sure: float, surer: float) -> None:
    shares = Costs().chosen
    other = shares.of(surer) / shares.of(sure)
    for _ in range(40):
        shares.add(as_sure, False)
    assert shares.of(sure) == shares.of(as_sure) < 0.3
    assert shares.of(surer) / shares.of(sure) > 1.5 * other


@pytest.mark.parametrize(("agreeing", "as_good"), [(3, 4), (5, 7), (8, 8)])
def test_a_look_up_is_better_the_more_symbols_agree(agreeing: int, as_good: int) -> None:
    shares = Costs().looked_up
    assert shares.of(agreeing - 1) < shares.of(agreeing) == shares.of(as_good)


def test_a_text_on_which_a_member_is_sure_and_wrong_is_noticed_within_some_guesses() -> None:
    known = Costs().chosen
    for _ in range(200):
        known.add(0.9, True)
    begun = known.begun()
    assert begun.of(0.9) > 0.98
    for _ in range(12):
        begun.add(0.9, False)
    assert begun.of(0.9) < 0.5
    # The next text may be another one.
    assert known.begun().of(0.9) > 0.98
