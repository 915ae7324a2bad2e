from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.engines.vocabulary import Vocabulary


def table(**changes: object) -> Vocabulary:
    fields: dict[str, object] = {
        "pieces": (b"", b"", b"a", b"\xe2", b"ab"),
        "control": frozenset({0, 1}),
        "end_of_generation": frozenset({1}),
        "bos": 0,
    }
    return Vocabulary(**{**fields, **changes})  # type: ignore[arg-type]


@given(
    pieces=st.lists(st.binary(max_size=6), max_size=20),
    control=st.frozensets(st.integers(0, 30)),
    ending=st.frozensets(st.integers(0, 30)),
    bos=st.none() | st.integers(0, 30),
    unsayable=st.frozensets(st.integers(0, 30)),
    names=st.dictionaries(st.integers(0, 30), st.text(max_size=8)),
    pre_tokenizer=st.text(max_size=8),
)
def test_a_table_survives_the_way_through_bytes(
    pieces: list[bytes],
    control: frozenset[int],
    ending: frozenset[int],
    bos: int | None,
    unsayable: frozenset[int],
    names: dict[int, str],
    pre_tokenizer: str,
) -> None:
    before = Vocabulary(tuple(pieces), control, ending, bos, unsayable, names, pre_tokenizer)
    after = Vocabulary.from_bytes(before.to_bytes())
    assert after.pieces == before.pieces
    assert after.control == control
    assert after.end_of_generation == ending
    assert after.bos == bos
    assert after.masked == before.masked
    assert after.unsayable == unsayable
    assert after.names == names
    assert after.pre_tokenizer == pre_tokenizer
    assert after.fingerprint == before.fingerprint


@pytest.mark.parametrize(
    "changes",
    [
        {"pieces": (b"", b"", b"a", b"\xe2", b"ac")},
        {"pieces": (b"", b"", b"a", b"\xe2a", b"b")},
        {"pieces": (b"", b"", b"a", b"\xe2", b"ab", b"")},
        {"control": frozenset({0, 1, 2})},
        {"end_of_generation": frozenset({0, 1})},
        {"bos": None},
        {"pre_tokenizer": "cuts digits one by one"},
        {"names": {0: "<s>"}},
    ],
)
def test_any_difference_changes_the_fingerprint(changes: dict[str, object]) -> None:
    assert table(**changes).fingerprint != table().fingerprint


def test_control_tokens_change_the_second_part_of_the_fingerprint_alone() -> None:
    first, second = table().fingerprint.split("-")
    for changes in ({"names": {0: "<s>"}}, {"end_of_generation": frozenset({0, 1})}, {"bos": None}):
        changed = table(**changes).fingerprint.split("-")
        assert changed[0] == first
        assert changed[1] != second
    assert table(pre_tokenizer="llama-bpe").fingerprint.split("-")[0] != first


def test_what_no_model_may_say_is_masked_and_the_other_control_tokens_are_not() -> None:
    vocabulary = table(
        pieces=(b"", b"", b"a", b"", b"", b""),
        control=frozenset({0, 1, 3, 4, 5}),
        end_of_generation=frozenset({1, 5}),
        unsayable=frozenset({3, 5}),
    )
    assert vocabulary.masked == {0, 3}
    assert vocabulary.sayable_control == {4}
    assert vocabulary.byte_order.control.tolist() == [4]


def test_what_is_masked_is_no_part_of_the_fingerprint() -> None:
    # A file and the checkpoint it was made from may name another padding.
    assert table(unsayable=frozenset({0})).fingerprint == table().fingerprint


def test_its_length_is_the_number_of_tokens() -> None:
    assert len(table()) == 5


@pytest.mark.parametrize("length", range(4, 67, 7))
def test_a_truncated_table_is_refused(length: int) -> None:
    data = table().to_bytes()
    assert len(data) > 60
    with pytest.raises(ValueError, match="vocabulary table"):
        Vocabulary.from_bytes(data[: min(length, len(data) - 1)])


def test_other_data_and_trailing_bytes_are_refused() -> None:
    with pytest.raises(ValueError, match="not a vocabulary table"):
        Vocabulary.from_bytes(b"GGUF" + table().to_bytes()[4:])
    with pytest.raises(ValueError, match="wrong length"):
        Vocabulary.from_bytes(table().to_bytes() + b"x")
