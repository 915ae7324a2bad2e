"""What is known of a text because another one began alike."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Sequence

import pytest

from quorate.api.http import scored_texts
from quorate.api.http.scored_texts import MOST_TEXTS, WORTH_WAITING, ScoredTexts
from quorate.request import Token, TopCandidate

QUESTION = [*range(40)]


def text(*ids: int) -> array[int]:
    return array("q", ids)


def tokens_of(ids: Sequence[int], candidates: int = 0) -> list[Token]:
    """What a text's tokens but the first are, after a scoring."""
    top = (TopCandidate(0, b"", 0.0),) * candidates
    return [Token(one, b"", -float(one), top) for one in ids[1:]]


async def known_of(texts: ScoredTexts, ids: Sequence[int], judge: str = "a") -> Sequence[Token]:
    return await asyncio.wait_for(texts.beginning(judge, text(*ids)), 30)


async def score(
    texts: ScoredTexts, ids: Sequence[int], judge: str = "a", candidates: int = 0
) -> int:
    """Scores what is not known of a text; returns how many tokens were."""
    known = await known_of(texts, ids, judge)
    with texts.scoring(judge, text(*ids), len(known)) as one:
        one.scored = [*known, *tokens_of(ids, candidates)[len(known) :]]
    return len(known)


async def test_a_text_is_known_as_far_as_the_one_that_has_most_in_common_with_it() -> None:
    texts = ScoredTexts()
    for ids in ([*QUESTION, 50], QUESTION[:9], [7, *QUESTION]):
        await score(texts, ids)
    known = await known_of(texts, [*QUESTION[:30], 99, 98])
    assert known == tokens_of(QUESTION[:30])
    assert await known_of(texts, [5, 6, 7]) == ()


@pytest.mark.parametrize("length", [2, 3, len(QUESTION)])
async def test_the_last_token_is_always_computed(length: int) -> None:
    texts = ScoredTexts()
    await score(texts, QUESTION)
    assert len(await known_of(texts, QUESTION[:length])) == length - 2


async def test_whoever_judges_otherwise_knows_nothing() -> None:
    texts = ScoredTexts()
    await score(texts, QUESTION, "a")
    assert await score(texts, QUESTION, "b") == 0


async def test_texts_that_were_not_used_for_longest_are_forgotten() -> None:
    texts = ScoredTexts()
    for first in range(MOST_TEXTS):
        await score(texts, [1000 + first, 1, 2])
    assert await known_of(texts, [1000, 1, 2]) != ()
    await score(texts, QUESTION)
    assert await known_of(texts, [1001, 1, 2]) == ()
    assert await known_of(texts, [1000, 1, 2]) != ()


async def test_tokens_and_their_candidates_are_held_up_to_a_limit() -> None:
    texts = ScoredTexts(most=100)
    await score(texts, [1, *range(30)], candidates=1)
    await score(texts, [2, *range(20)], candidates=1)
    assert await known_of(texts, [1, *range(30)]) != ()
    await score(texts, [3, *range(20)], candidates=1)
    assert await known_of(texts, [2, *range(20)]) == ()
    assert await known_of(texts, [1, *range(30)]) != ()
    # More than all that may be held at once leaves the others alone.
    await score(texts, [4, *range(101)])
    assert await known_of(texts, [4, *range(101)]) == ()
    assert await known_of(texts, [3, *range(20)]) != ()


async def test_a_text_that_goes_on_takes_the_place_of_its_beginning() -> None:
    texts = ScoredTexts(most=len(QUESTION) + 30)
    await score(texts, [1, 2, 3, 4])
    for length in (10, 20, 30, len(QUESTION), len(QUESTION)):
        await score(texts, QUESTION[:length])
    assert len(await known_of(texts, [1, 2, 3, 4])) == 2
    await score(texts, QUESTION[:20], judge="b")
    assert len(await known_of(texts, QUESTION)) == len(QUESTION) - 2


async def test_what_failed_is_not_known() -> None:
    texts = ScoredTexts()
    with pytest.raises(ValueError, match="lost"), texts.scoring("a", text(*QUESTION), 0):
        raise ValueError("lost")
    assert await known_of(texts, QUESTION) == ()


@pytest.mark.parametrize("fails", [False, True])
async def test_a_text_waits_for_one_that_begins_alike(fails: bool) -> None:
    texts = ScoredTexts()
    with texts.scoring("a", text(*QUESTION, 50), 0) as first:
        second = asyncio.ensure_future(known_of(texts, [*QUESTION, 51]))
        # One turn of the loop begins the task, another one the call that is limited in it.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not second.done()
        if not fails:
            first.scored = tokens_of([*QUESTION, 50])
    assert len(await second) == (0 if fails else len(QUESTION) - 1)


@pytest.mark.parametrize("fails", [False, True])
async def test_nothing_that_several_texts_have_in_common_is_scored_twice(fails: bool) -> None:
    """Four questions with four choices each, behind the same examples, all at once."""
    texts, examples, computed = ScoredTexts(), [*range(1000, 1400)], list[int]()
    failing = [fails]

    async def ask(ids: list[int]) -> None:
        known = await texts.beginning("a", text(*ids))
        with texts.scoring("a", text(*ids), len(known)) as one:
            computed.append(len(ids) - 1 - len(known))
            # The others come to where they wait.
            await asyncio.sleep(0)
            if failing and failing.pop():
                return
            one.scored = [*known, *tokens_of(ids)[len(known) :]]

    questions = [[*examples, 2000 + place, *QUESTION] for place in range(4)]
    await asyncio.gather(*(ask([*question, 50 + at]) for question in questions for at in range(4)))
    first = len(questions[0])
    assert computed[0] == first
    expected = [first] * fails + [first] + 3 * [2 + len(QUESTION)] + 12 * [1]
    # Whoever failed leaves one place fewer behind its question.
    assert sorted(computed, reverse=True) == expected[: len(computed)]


@pytest.mark.parametrize(
    ("judge", "ids"),
    [("b", QUESTION), ("a", [99, *QUESTION]), ("a", [*QUESTION[:WORTH_WAITING], 99])],
)
async def test_nobody_waits_for_what_spares_little(judge: str, ids: list[int]) -> None:
    texts = ScoredTexts()
    with texts.scoring("a", text(*QUESTION), 0):
        assert await asyncio.wait_for(texts.beginning(judge, text(*ids)), 5) == ()


async def test_nobody_waits_for_what_takes_longer_than_it_spares() -> None:
    texts, long = ScoredTexts(), [*QUESTION, *range(1000, 1100)]
    with texts.scoring("a", text(*long), 0):
        assert await asyncio.wait_for(texts.beginning("a", text(*QUESTION, 51)), 5) == ()
    with texts.scoring("a", text(*long), 100):
        waits = asyncio.ensure_future(texts.beginning("a", text(*QUESTION, 51)))
        await asyncio.sleep(0)
        assert not waits.done()
    assert await waits == ()


async def test_nobody_waits_for_what_is_known_already() -> None:
    texts = ScoredTexts()
    await score(texts, [*QUESTION, 50])
    with texts.scoring("a", text(*QUESTION, 51), 0):
        known = await asyncio.wait_for(texts.beginning("a", text(*QUESTION, 52)), 5)
    assert len(known) == len(QUESTION) - 1


async def test_a_text_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scored_texts, "_WAIT_SECONDS", 0.01)
    texts = ScoredTexts()
    with texts.scoring("a", text(*QUESTION), 0):
        assert await asyncio.wait_for(texts.beginning("a", text(*QUESTION)), 5) == ()
