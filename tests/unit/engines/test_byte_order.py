from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.texts import TEXTS
from quorate.engines.byte_order import ByteOrder, Prefix
from quorate.engines.vocabulary import Vocabulary
from support.gguf_files import loaded, smollm2, stories260k

# Few values, both ends among them, so that pieces often begin alike or are equal.
_BYTES = st.sampled_from([0x00, 0x01, 0x61, 0x62, 0xFE, 0xFF])
_PIECES = st.lists(st.lists(_BYTES, max_size=4).map(bytes), min_size=1, max_size=40)
_STRINGS = st.lists(_BYTES, max_size=8).map(bytes)


@st.composite
def vocabularies(draw: st.DrawFn) -> tuple[list[bytes], frozenset[int]]:
    """Pieces, some empty, some equal, and the ends of generation, some of which have bytes."""
    pieces = draw(_PIECES)
    return pieces, draw(st.frozensets(st.integers(0, len(pieces) - 1), max_size=4))


@st.composite
def rows(draw: st.DrawFn, size: int) -> np.ndarray:
    logits = np.array(
        draw(st.lists(st.floats(-30, 0, width=32), min_size=size, max_size=size)), np.float64
    )
    return (logits - np.logaddexp.reduce(logits)).astype(np.float32)


def spelled(pieces: list[bytes], ending: frozenset[int]) -> dict[int, bytes]:
    return {t: piece for t, piece in enumerate(pieces) if piece and t not in ending}


def every_prefix(order: ByteOrder) -> list[Prefix]:
    found, waiting = [], [order.root]
    while waiting:
        prefix = waiting.pop()
        found.append(prefix)
        for byte in prefix.next_bytes.tolist():
            child = prefix.child(byte)
            assert child is not None
            waiting.append(child)
    return found


@given(vocabularies())
def test_tokens_with_bytes_that_end_nothing_stand_in_the_order_of_their_bytes(vocabulary) -> None:
    pieces, ending = vocabulary
    order = ByteOrder(pieces, ending)
    assert sorted(order.ids.tolist()) == sorted(spelled(pieces, ending))
    assert [order.piece(rank) for rank in range(len(order))] == sorted(
        spelled(pieces, ending).values()
    )
    assert [pieces[token] for token in order.ids] == sorted(spelled(pieces, ending).values())
    assert order.ending.tolist() == sorted(ending)


@given(vocabularies())
def test_every_prefix_has_the_tokens_and_children_that_a_naive_search_finds(vocabulary) -> None:
    pieces, ending = vocabulary
    tokens = spelled(pieces, ending)
    order = ByteOrder(pieces, ending)
    prefixes = every_prefix(order)
    known = {piece[:length] for piece in tokens.values() for length in range(len(piece) + 1)}
    assert {prefix.text for prefix in prefixes} == known | {b""}
    assert len(prefixes) == len(known | {b""})
    for prefix in prefixes:
        text, depth = prefix.text, len(prefix.text)
        begin_so = {token for token, piece in tokens.items() if piece.startswith(text)}
        exactly = {token for token, piece in tokens.items() if piece == text}
        following = sorted({tokens[token][depth] for token in begin_so - exactly})
        assert set(order.ids[prefix.low : prefix.high].tolist()) == begin_so
        assert set(order.ids[prefix.low : prefix.longer].tolist()) == exactly
        assert set(prefix.ids.tolist()) == begin_so - exactly
        assert prefix.next_bytes.dtype == np.uint8
        assert prefix.next_bytes.tolist() == following
        assert len(prefix.bounds) == len(following) + 1
        for index, byte in enumerate(following):
            low, high = prefix.bounds[index], prefix.bounds[index + 1]
            assert set(order.ids[low:high].tolist()) == {
                token for token in begin_so if tokens[token].startswith(text + bytes([byte]))
            }


@given(vocabularies(), _STRINGS)
def test_find_gives_the_prefix_or_none_where_no_token_begins_so(vocabulary, text) -> None:
    pieces, ending = vocabulary
    order = ByteOrder(pieces, ending)
    found = order.find(text)
    begins = any(piece.startswith(text) for piece in spelled(pieces, ending).values())
    if text and not begins:
        assert found is None
    else:
        assert found is not None and found.text == text
        assert order.find(text) is found


@given(vocabularies(), st.integers(0, 255))
def test_a_child_exists_for_the_next_bytes_alone(vocabulary, byte) -> None:
    for prefix in every_prefix(ByteOrder(*vocabulary)):
        assert (prefix.child(byte) is not None) == (byte in prefix.next_bytes)


@given(vocabularies().flatmap(lambda v: st.tuples(st.just(v), rows(len(v[0])))))
def test_differences_of_prefix_sums_are_the_naive_sums(case) -> None:
    (pieces, ending), row = case
    order = ByteOrder(pieces, ending)
    sums = np.full(len(pieces) + 1, -1.0)
    order.prefix_sums(row, sums)
    assert sums[0] == 0.0
    assert (sums[len(order) + 1 :] == -1.0).all()
    tokens = spelled(pieces, ending)
    probabilities = np.exp(row.astype(np.float64))
    for prefix in every_prefix(order):
        naive = sum(
            probabilities[t] for t, piece in tokens.items() if piece.startswith(prefix.text)
        )
        assert sums[prefix.high] - sums[prefix.low] == pytest.approx(naive, abs=1e-12)


@given(vocabularies(), _STRINGS)
def test_a_segmentation_has_the_fewest_tokens_and_exactly_the_bytes(vocabulary, text) -> None:
    pieces, ending = vocabulary
    order = ByteOrder(pieces, ending)
    available = set(spelled(pieces, ending).values())
    # Of the texts that so many tokens spell, those that the text begins with.
    reached, fewest = {b""}, 0
    while reached and text not in reached:
        reached = {
            head + piece for head in reached for piece in available if text.startswith(head + piece)
        }
        fewest += 1
    segmented = order.segment(text)
    if text not in reached:
        assert segmented is None
        assert not order.spells(text)
        return
    assert segmented is not None and len(segmented) == fewest
    assert b"".join(pieces[token] for token in segmented) == text
    assert not ending.intersection(segmented)
    assert order.spells(text)


def test_of_segmentations_as_short_the_last_token_is_the_longest() -> None:
    order = ByteOrder([b"ab", b"c", b"a", b"bc"], ())
    assert order.segment(b"abc") == [2, 3]


_ALL_BYTES = [bytes((value,)) for value in range(256)]


@pytest.mark.parametrize(
    ("pieces", "chosen"),
    [
        ([b"", b"a", *_ALL_BYTES], 1),
        ([*_ALL_BYTES, b"a", b""], 256),
        ([b"a", b"", *_ALL_BYTES, b"b"], 0),
        ([b"b", *_ALL_BYTES, b"ab"], 1 + 0x61),
    ],
)
def test_a_byte_that_has_a_usual_token_is_not_segmented_into_its_fallback(
    pieces: list[bytes], chosen: int
) -> None:
    order = ByteOrder(pieces, ())
    assert order.segment(b"a") == [chosen]
    assert order.segment(b"a\0")[0] == chosen
    found = order.find(b"a")
    assert set(order.ids[found.low : found.longer]) == {
        token for token, piece in enumerate(pieces) if piece == b"a"
    }


def test_an_end_of_generation_with_bytes_spells_nothing() -> None:
    order = ByteOrder([b"a", b"</s>", b"b"], {1})
    assert order.find(b"<") is None
    assert order.segment(b"</s>") is None
    assert (order.ids.tolist(), order.ending.tolist()) == ([0, 2], [1])


@pytest.mark.parametrize("pieces", [[], [b""], [b"", b""]])
def test_a_vocabulary_without_bytes_has_an_empty_order(pieces: list[bytes]) -> None:
    order = ByteOrder(pieces, ())
    assert len(order) == 0
    assert (order.root.low, order.root.high, order.root.next_bytes.tolist()) == (0, 0, [])
    assert order.find(b"a") is None
    assert order.segment(b"") == []
    assert order.segment(b"a") is None
    sums = np.full(len(pieces) + 1, -1.0)
    order.prefix_sums(np.zeros(len(pieces), np.float32), sums)
    assert sums[0] == 0.0


def test_a_vocabulary_keeps_its_byte_order() -> None:
    vocabulary = Vocabulary((b"", b"b", b"a", b""), frozenset({0, 3}), frozenset({3}), 0)
    assert vocabulary.byte_order.ids.tolist() == [2, 1]
    assert vocabulary.byte_order is vocabulary.byte_order
    assert vocabulary.has_bytes
    assert not Vocabulary((b"", b""), frozenset({0, 1}), frozenset({1}), 0).has_bytes


@pytest.fixture(scope="module", params=[smollm2, stories260k], ids=["smollm2", "stories260k"])
def real(request: pytest.FixtureRequest) -> Vocabulary:
    with loaded(request.param(), sessions=1, cells=64) as model:
        return model.vocabulary


def test_every_token_of_a_real_vocabulary_is_found_by_its_bytes(real: Vocabulary) -> None:
    order = real.byte_order
    for token in order.ids.tolist():
        prefix = order.find(real.pieces[token])
        assert prefix is not None
        assert token in order.ids[prefix.low : prefix.longer]
    assert len(order) == len(real) - len(real.control)


def test_the_next_bytes_of_a_real_vocabulary_and_the_end_sum_to_one(real: Vocabulary) -> None:
    order = real.byte_order
    logits = np.random.default_rng(7).normal(0, 4, len(real))
    logits[sorted(real.control - real.end_of_generation)] = -np.inf
    row = (logits - np.logaddexp.reduce(logits)).astype(np.float32)
    sums = np.empty(len(order) + 1)
    order.prefix_sums(row, sums)
    symbols = np.zeros(257)
    symbols[order.root.next_bytes] = np.diff(sums[order.root.bounds])
    symbols[256] = np.exp(row[order.ending].astype(np.float64)).sum()
    assert (symbols >= 0).all()
    assert symbols.sum() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_a_real_vocabulary_segments_any_text_into_its_bytes(real: Vocabulary, text: str) -> None:
    segmented = real.byte_order.segment(text.encode())
    assert segmented is not None
    assert b"".join(real.pieces[token] for token in segmented) == text.encode()
    assert not real.control.intersection(segmented)
