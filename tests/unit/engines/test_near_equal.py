"""How far vocabularies may differ before bytes are the honest way."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.engines.near_equal import LEAST_SHARED, disagreement
from quorate.engines.vocabulary import Vocabulary
from support.vocabularies import family


def test_equal_vocabularies_agree() -> None:
    assert disagreement([family(), family(), family()]) == ""


@pytest.mark.parametrize(
    "changed",
    [
        family(marks=("<|im_start|>", "<|im_end|>", "<think>", "</think>")),
        family(marks=("<|im_start|>",)),
        family(marks=("<|other|>", "<|im_end|>")),
        family(ends=("<|im_end|>",)),
        family(added=(b"<tool_call>", b"</tool_call>")),
        family(bos=True),
        family(unnamed=3),
    ],
    ids=["more marks", "fewer", "others", "other ends", "added text", "a BOS", "unnamed ids"],
)
def test_special_tokens_and_a_short_tail_may_differ(changed: Vocabulary) -> None:
    assert changed.fingerprint != family().fingerprint
    assert disagreement([family(), changed]) == ""
    assert disagreement([changed, family()]) == ""


@given(st.integers(0, 255))
def test_one_ordinary_token_that_is_another_is_enough_to_refuse(token: int) -> None:
    pieces = list(family().pieces)
    pieces[token] = b"another"
    other = replace(family(), pieces=tuple(pieces))
    assert disagreement([family(), other]).startswith(f"token {token} is ")


def test_two_models_that_added_other_words_under_one_id_do_not_agree() -> None:
    assert "'<a>'" in disagreement([family(added=(b"<a>",)), family(added=(b"<b>",))])


def test_another_pre_tokenizer_cuts_text_otherwise() -> None:
    problem = disagreement([family(), replace(family(), pre_tokenizer="qwen2")])
    assert problem == "their pre-tokenizers differ: qwen2 and unknown"


@pytest.mark.parametrize(("words", "near"), [(2, True), (40, False)])
def test_a_tail_of_ordinary_tokens_may_be_a_hundredth_of_all(words: int, near: bool) -> None:
    added = tuple(b"word%d" % index for index in range(words))
    problem = disagreement([family(), family(added=added)])
    assert (problem == "") is near
    if not near:
        assert f"{LEAST_SHARED:.0%}" in problem


def test_the_beginning_of_a_larger_table_is_no_near_one() -> None:
    small = Vocabulary(family().pieces[:256], frozenset(), frozenset())
    assert "ordinary tokens" in disagreement([small, family()])


def test_vocabularies_without_bytes_agree_only_where_they_are_equal() -> None:
    opaque = Vocabulary((b"",) * 8, frozenset(range(8)), frozenset({1}))
    longer = Vocabulary((b"",) * 9, frozenset(range(9)), frozenset({1}))
    assert disagreement([opaque, replace(opaque)]) == ""
    assert "bytes" in disagreement([opaque, longer])


def test_of_several_every_pair_must_agree() -> None:
    words = [family(added=(b"<a>",)), family(), family(added=(b"<b>",))]
    assert disagreement(words[:2]) == disagreement(words[1:]) == ""
    assert disagreement(words) != ""
