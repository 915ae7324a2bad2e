"""The arithmetic of one beam, without sessions."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.engines.byte_order import ByteOrder, PrefixSums
from quorate.engines.contract import LogProbs
from quorate.engines.vocabulary import BYTES, END, Vocabulary
from quorate.ensemble.alignments.bytes.hypotheses import (
    SYMBOLS,
    Extension,
    Grown,
    Hypothesis,
    begun,
    control_moves,
    grow,
    next_bytes,
    prune,
    resumed,
    top_piece,
)
from support.distributions import normalised

# The last one ends generation.
PIECES = (b"a", b"ab", b"abc", b"b", b"ab", b"")
VOCABULARY = Vocabulary(PIECES, frozenset({5}), frozenset({5}))
ORDER = VOCABULARY.byte_order
PROBABILITIES = (0.1, 0.2, 0.15, 0.25, 0.05, 0.25)


@dataclass(eq=False)
class Known:
    """A context with a given row."""

    row: LogProbs
    sums: PrefixSums
    ending: float
    control: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty(0))


def known(*probabilities: float) -> Known:
    with np.errstate(divide="ignore"):
        row = normalised(np.log(probabilities or PROBABILITIES))
    sums = np.empty(len(ORDER) + 1)
    ORDER.prefix_sums(row, sums)
    return Known(row, sums, float(np.exp(np.float64(row[5]))))


def test_the_symbols_are_the_bytes_and_the_end() -> None:
    assert len(BYTES) == SYMBOLS == 257
    assert BYTES.pieces[ord("a")] == b"a"
    assert BYTES.end_of_generation == {END}


def test_a_fresh_context_gives_each_byte_the_mass_of_the_tokens_that_begin_with_it() -> None:
    probabilities = next_bytes([begun(known(), ORDER, 1.0)], 0.0)
    assert probabilities[ord("a")] == pytest.approx(0.5)
    assert probabilities[ord("b")] == pytest.approx(0.25)
    assert probabilities[END] == pytest.approx(0.25)
    assert probabilities.sum() == pytest.approx(1.0, abs=1e-12)


def test_a_byte_completes_its_tokens_and_leaves_the_longer_ones_begun() -> None:
    context = known()
    grown = grow([begun(context, ORDER, 1.0)], ord("a"), 0.5, ORDER)
    ((parent, token, weight),) = grown.complete
    assert (parent, token) == (context, 0)
    assert weight == pytest.approx(0.2)
    (longer,) = grown.longer
    assert longer.prefix.text == b"a"
    assert longer.weight == pytest.approx(0.8)


def test_every_token_of_the_same_bytes_is_completed() -> None:
    beam = grow([begun(known(), ORDER, 1.0)], ord("a"), 0.5, ORDER).longer
    grown = grow(beam, ord("b"), 0.8, ORDER)
    assert [(one.token, pytest.approx(one.weight)) for one in grown.complete] == [
        (1, 0.5),
        (4, 0.125),
    ]
    assert [one.weight for one in grown.longer] == [pytest.approx(0.375)]


def test_a_byte_that_no_token_goes_on_with_leaves_nothing() -> None:
    assert grow([begun(known(), ORDER, 1.0)], ord("z"), 0.5, ORDER) == Grown([], [])


def test_what_was_lost_is_spread_over_all_symbols() -> None:
    probabilities = next_bytes([begun(known(), ORDER, 0.75)], 0.25)
    assert probabilities[ord("z")] == pytest.approx(0.25 / 257)
    assert probabilities[ord("b")] == pytest.approx(0.75 * 0.25 + 0.25 / 257)
    assert probabilities.sum() == pytest.approx(1.0, abs=1e-12)


def test_a_hypothesis_comes_back_with_its_share() -> None:
    context = known()
    prefix = ORDER.find(b"ab")
    assert prefix is not None
    back = resumed(context, prefix, 0.4)
    assert back.weight == 0.4
    assert next_bytes([back], 0.6)[ord("c")] == pytest.approx(0.4 + 0.6 / 257)
    assert resumed(context, ORDER.root, 1.0).scale == pytest.approx(1.0)


def test_masses_too_small_for_differences_are_summed_anew() -> None:
    tiny = 1e-18
    context = known(tiny, tiny, tiny, 1.0, tiny, tiny)
    prefix = ORDER.find(b"a")
    assert prefix is not None
    beam = [resumed(context, prefix, 1.0)]
    assert next_bytes(beam, 0.0)[ord("b")] == pytest.approx(1.0, rel=1e-6)


# Pruning


def extension(weight: float) -> Extension[Known]:
    return Extension(known(), 0, weight)


def hypothesis(weight: float) -> Hypothesis[Known]:
    return Hypothesis(known(), ORDER.root, weight, weight)


def test_a_complete_token_needs_more_than_epsilon_and_a_begun_one_a_thousandth() -> None:
    grown = Grown(
        [hypothesis(0.5), hypothesis(2e-4), hypothesis(1e-4)], [extension(0.1), extension(0.11)]
    )
    kept = prune(grown, 0.1, 64)
    assert [one.weight for one in kept.longer] == [0.5, 2e-4]
    assert [one.weight for one in kept.complete] == [0.11]
    assert kept.dropped == pytest.approx(0.1 + 1e-4)


def test_of_too_many_the_heaviest_stay() -> None:
    grown = Grown([hypothesis(0.1), hypothesis(0.4)], [extension(0.3), extension(0.2)])
    kept = prune(grown, 0.0, 2)
    assert [one.weight for one in kept.longer] == [0.4]
    assert [one.weight for one in kept.complete] == [0.3]
    assert kept.dropped == pytest.approx(0.3)


def test_the_best_stays_however_little_it_weighs() -> None:
    kept = prune(Grown([], [extension(1e-9), extension(2e-9)]), 0.5, 8)
    assert [one.weight for one in kept.complete] == [2e-9]
    assert kept.dropped == pytest.approx(1e-9)


def test_nothing_is_kept_of_nothing() -> None:
    assert prune(Grown([], []), 0.0, 8) == ([], [], 0.0)


_WEIGHTS = st.lists(st.floats(1e-12, 1.0), max_size=12)


@given(_WEIGHTS, _WEIGHTS, st.floats(0, 0.5), st.integers(1, 20))
def test_pruning_keeps_what_it_says_and_accounts_for_the_rest(
    longer: list[float], complete: list[float], epsilon: float, width: int
) -> None:
    grown = Grown([hypothesis(w) for w in longer], [extension(w) for w in complete])
    kept = prune(grown, epsilon, width)
    stay = [one.weight for one in (*kept.longer, *kept.complete)]
    assert min(1, len(longer) + len(complete)) <= len(stay) <= width
    assert math.fsum(stay) + kept.dropped == pytest.approx(math.fsum(longer + complete))
    if stay:
        assert max(stay) >= max([w for w in longer + complete if w > epsilon], default=0)


# Favourites


def test_the_favourite_is_the_rest_of_the_best_token() -> None:
    piece, logprob = top_piece(begun(known(0.1, 0.4, 0.1, 0.1, 0.1, 0.2), ORDER, 1.0), ORDER)
    assert (piece, math.exp(logprob)) == (b"ab", pytest.approx(0.4))
    prefix = ORDER.find(b"a")
    assert prefix is not None
    begun_token = resumed(known(), prefix, 0.5)
    piece, logprob = top_piece(begun_token, ORDER)
    assert (piece, math.exp(logprob)) == (b"b", pytest.approx(0.2 / 0.4))


def test_the_favourite_is_the_end_where_nothing_is_likelier() -> None:
    piece, logprob = top_piece(begun(known(0.1, 0.1, 0.1, 0.1, 0.1, 0.5), ORDER, 1.0), ORDER)
    assert (piece, math.exp(logprob)) == (b"", pytest.approx(0.5))


class _Peaked:
    """A context whose prefix sums lose what weighs little behind one very probable token."""

    def __init__(self, order: ByteOrder, row: LogProbs) -> None:
        self.row = row
        self.sums = np.empty(len(order) + 1)
        order.prefix_sums(row, self.sums)
        self.ending = 0.0
        self.control = np.empty(0)


def test_what_cancels_in_the_prefix_sums_is_added_anew() -> None:
    pieces = (b"", b"a", *(b"b" + bytes((i, j)) for i in range(1, 40) for j in range(1, 40)))
    order = ByteOrder(pieces, {0})
    row = np.full(len(pieces), np.log(1e-16), np.float32)
    row[0], row[1] = -np.inf, 0.0
    context = _Peaked(order, row)
    beam = [begun(context, order, 1.0)]
    expected = math.fsum(np.exp(row[2:].astype(np.float64)))
    probs = next_bytes(beam, 0.0)
    assert float(probs[ord("b")]) == pytest.approx(expected, rel=1e-9)
    grown = grow(beam, ord("b"), float(probs[ord("b")]), order)
    assert sum(one.weight for one in (*grown.longer, *grown.complete)) == pytest.approx(1.0)


def test_control_tokens_take_their_share_of_a_context_and_become_contexts_of_their_own() -> None:
    order = ByteOrder((b"a", b"", b"", b""), {1}, {2, 3})
    row = normalised(np.log([0.4, 0.1, 0.3, 0.2]))
    sums = np.empty(len(order) + 1)
    order.prefix_sums(row, sums)
    context = Known(row, sums, 0.1, np.exp(row[order.control].astype(np.float64)))
    at_border = begun(context, order, 0.5)
    assert at_border.weight == pytest.approx(0.25)
    assert next_bytes([at_border], 0.5)[[ord("a"), END]] == pytest.approx(
        [0.2 + 0.5 / SYMBOLS, 0.05 + 0.5 / SYMBOLS]
    )
    moves, rest = control_moves([at_border], order, epsilon=0.12)
    assert [(one.token, one.weight) for one in moves] == [(2, pytest.approx(0.15))]
    assert rest == pytest.approx(0.1)
    moves, rest = control_moves([at_border], order, epsilon=0.0)
    assert [one.token for one in moves] == [2, 3]
    assert rest == pytest.approx(0.0)


def test_control_tokens_that_hardly_weigh_anything_are_never_followed() -> None:
    order = ByteOrder((b"a", b""), (), {1})
    row = normalised(np.log([1.0, 1e-10]))
    sums = np.empty(len(order) + 1)
    order.prefix_sums(row, sums)
    context = Known(row, sums, 0.0, np.exp(row[order.control].astype(np.float64)))
    moves, rest = control_moves([begun(context, order, 1.0)], order, epsilon=0.0)
    assert moves == []
    assert rest == pytest.approx(1e-10, rel=1e-3)
