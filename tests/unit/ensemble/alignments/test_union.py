from __future__ import annotations

import math

import numpy as np
import pytest

from quorate.engines.contract import LogProbs
from quorate.engines.vocabulary import Vocabulary
from quorate.ensemble.alignments.union import CANDIDATES, END, unite

_ENDS = (0,)


def vocabulary(*pieces: str) -> Vocabulary:
    whole = (b"", *(piece.encode() for piece in pieces))
    return Vocabulary(whole, frozenset(_ENDS), frozenset(_ENDS))


def row(*probabilities: float) -> LogProbs:
    with np.errstate(divide="ignore"):
        return np.log(np.array(probabilities)).astype(np.float32)


def shares(pieces: list[bytes], united: LogProbs) -> dict[bytes, float]:
    return {piece: math.exp(logprob) for piece, logprob in zip(pieces, united, strict=True)}


def test_members_are_compared_on_the_bytes_of_their_best_tokens() -> None:
    left, right = vocabulary("a", "b"), vocabulary("b", "a")
    pieces, rows = unite((left, right), (row(0.2, 0.5, 0.3), row(0.1, 0.6, 0.3)))
    assert sorted(pieces) == [END, b"a", b"b"]
    assert shares(pieces, rows[0]) == pytest.approx({END: 0.2, b"a": 0.5, b"b": 0.3})
    assert shares(pieces, rows[1]) == pytest.approx({END: 0.1, b"a": 0.3, b"b": 0.6})


def test_a_piece_that_a_member_lacks_gets_what_begins_with_it_and_what_it_begins_with() -> None:
    has, lacks = vocabulary("cat", "x"), vocabulary("c", "ca", "cats", "x")
    pieces, rows = unite((has, lacks), (row(0.0, 0.9, 0.1), row(0.0, 0.1, 0.2, 0.3, 0.4)))
    told = shares(pieces, rows[1])
    assert told[b"cat"] / told[b"x"] == pytest.approx((0.1 + 0.2 + 0.3) / 0.4)


def test_tokens_of_the_same_bytes_count_together() -> None:
    pieces, rows = unite((vocabulary("a", "a", "b"),), (row(0.0, 0.25, 0.25, 0.5),))
    assert shares(pieces, rows[0])[b"a"] == pytest.approx(0.5)


def test_several_ends_are_one_candidate() -> None:
    ends = Vocabulary((b"", b"", b"a"), frozenset({0, 1}), frozenset({0, 1}))
    pieces, rows = unite((ends,), (row(0.25, 0.25, 0.5),))
    assert pieces.count(END) == 1
    assert shares(pieces, rows[0])[END] == pytest.approx(0.5)


def test_every_row_is_a_distribution_over_few_candidates() -> None:
    many = vocabulary(*(f"{number:03}" for number in range(500)))
    rng = np.random.default_rng(3)
    given = [row(*rng.dirichlet(np.ones(501))) for _ in range(2)]
    pieces, rows = unite((many, many), given)
    assert len(pieces) <= 2 * CANDIDATES + 1
    for united in rows:
        assert united.dtype == np.float32
        assert math.fsum(np.exp(united.astype(np.float64))) == pytest.approx(1, abs=1e-6)


def test_what_is_asked_for_is_a_candidate_whatever_the_members_like() -> None:
    pieces, rows = unite((vocabulary("a", "b"),), (row(0.0, 1.0, 0.0),), also=(b"zz",))
    assert pieces[0] == b"zz"
    assert -80 < float(rows[0][0]) < -60
