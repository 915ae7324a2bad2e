"""What is known of a text because another one began alike."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from quorate.api.http import scored_texts
from quorate.api.http.scored_texts import MOST_TEXTS, WORTH_WAITING, ScoredTexts
from quorate.request import Token, TopCandidate

QUESTION = [*range(40)]


def tokens_of(ids: Sequence[int], candidates: int = 0) -> list[Token]:
    """What a text's tokens but the first are, after a scoring."""
    top = (TopCandidate(0, b"", 0.0),) * candidates
    return [Token(one, b"", -float(one), top) for one in ids[1:]]


async def score(
    texts: ScoredTexts, ids: Sequence[int], judge: str = "a", candidates: int = 0
) -> int:
    """Scores what is not known of a text; returns how many tokens were."""
    known = await texts.beginning(judge, ids)
    with texts.scoring(judge, ids) as one:
        one.scored = [*known, *tokens_of(ids, candidates)[len(known) :]]
    return len(known)


async def test_a_text_is_known_as_far_as_the_one_that_has_most_in_common_with_it() -> None:
    texts = ScoredTexts()
    for ids in ([*QUESTION, 50], QUESTION[:9], [7, *QUESTION]):
        await score(texts, ids)
    known = await texts.beginning("a", [*QUESTION[:30], 99, 98])
    assert known == tokens_of(QUESTION[:30])
    assert await texts.beginning("a", [5, 6, 7]) == ()


@pytest.mark.parametrize("length", [2, 3, len(QUESTION)])
async def test_the_last_token_is_always_computed(length: int) -> None:
    texts = ScoredTexts()
    await score(texts, QUESTION)
    assert len(await texts.beginning("a", QUESTION[:length])) == length - 2


async def test_whoever_judges_otherwise_knows_nothing() -> None:
    texts = ScoredTexts()
    await score(texts, QUESTION, "a")
    assert await score(texts, QUESTION, "b") == 0


async def test_texts_that_were_not_used_for_longest_are_forgotten() -> None:
    texts = ScoredTexts()
    for first in range(MOST_TEXTS):
        await score(texts, [1000 + first, 1, 2])
    assert await texts.beginning("a", [1000, 1, 2]) != ()
    await score(texts, QUESTION)
    assert await texts.beginning("a", [1001, 1, 2]) == ()
    assert await texts.beginning("a", [1000, 1, 2]) != ()


async def test_tokens_and_their_candidates_are_held_up_to_a_limit() -> None:
    texts = ScoredTexts(most=100)
    await score(texts, [1, *range(30)], candidates=1)
    await score(texts, [2, *range(20)], candidates=1)
    assert await texts.beginning("a", [1, *range(30)]) != ()
    await score(texts, [3, *range(20)], candidates=1)
    assert await texts.beginning("a", [2, *range(20)]) == ()
    assert await texts.beginning("a", [1, *range(30)]) != ()
    # More than all that may be held at once leaves the others alone.
    await score(texts, [4, *range(101)])
    assert await texts.beginning("a", [4, *range(101)]) == ()
    assert await texts.beginning("a", [3, *range(20)]) != ()


async def test_what_failed_is_not_known() -> None:
    texts = ScoredTexts()
    with pytest.raises(ValueError, match="lost"), texts.scoring("a", QUESTION):
        raise ValueError("lost")
    assert await texts.beginning("a", QUESTION) == ()


@pytest.mark.parametrize("fails", [False, True])
async def test_a_text_waits_for_one_that_begins_alike(fails: bool) -> None:
    texts = ScoredTexts()
    with texts.scoring("a", [*QUESTION, 50]) as first:
        second = asyncio.ensure_future(texts.beginning("a", [*QUESTION, 51]))
        await asyncio.sleep(0)
        assert not second.done()
        if not fails:
            first.scored = tokens_of([*QUESTION, 50])
    assert len(await second) == (0 if fails else len(QUESTION) - 1)


@pytest.mark.parametrize(
    ("judge", "ids"),
    [("b", QUESTION), ("a", [99, *QUESTION]), ("a", [*QUESTION[:WORTH_WAITING], 99])],
)
async def test_nobody_waits_for_what_spares_little(judge: str, ids: list[int]) -> None:
    texts = ScoredTexts()
    with texts.scoring("a", QUESTION):
        assert await asyncio.wait_for(texts.beginning(judge, ids), 5) == ()


async def test_nobody_waits_for_what_is_known_already() -> None:
    texts = ScoredTexts()
    await score(texts, [*QUESTION, 50])
    with texts.scoring("a", [*QUESTION, 51]):
        known = await asyncio.wait_for(texts.beginning("a", [*QUESTION, 52]), 5)
    assert len(known) == len(QUESTION) - 1


async def test_a_text_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scored_texts, "_WAIT_SECONDS", 0.01)
    texts = ScoredTexts()
    with texts.scoring("a", QUESTION):
        assert await asyncio.wait_for(texts.beginning("a", QUESTION), 5) == ()
