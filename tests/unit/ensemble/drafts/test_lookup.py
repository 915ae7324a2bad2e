from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from quorate.ensemble.drafts.lookup import LEAST, MOST, NOTHING, REACH, Found, Lookup

few_symbols = st.lists(st.integers(0, 3), max_size=60)


def naive(symbols: list[int], count: int) -> Found:
    """Every place is compared, the plain way."""
    best = NOTHING
    for end in range(1, len(symbols)):
        agreeing = 0
        while (
            agreeing < min(MOST, end)
            and symbols[end - 1 - agreeing] == symbols[len(symbols) - 1 - agreeing]
        ):
            agreeing += 1
        if agreeing >= max(LEAST, best.agreeing):
            longer = [*symbols]
            for _ in range(count):
                longer.append(longer[end + len(longer) - len(symbols)])
            best = Found(tuple(longer[len(symbols) :]), agreeing)
    return best


@given(few_symbols, few_symbols, st.integers(1, 8))
def test_the_guess_is_what_followed_the_longest_repetition_and_the_last_of_equals(
    prompt: list[int], answer: list[int], count: int
) -> None:
    lookup = Lookup(prompt)
    for symbol in answer:
        lookup.add(symbol)
    assert lookup.find(count) == naive([*prompt, *answer], count)


def test_what_was_never_said_is_not_guessed() -> None:
    assert Lookup([1, 2, 3, 4, 5]).find(4) == NOTHING
    assert Lookup([]).find(4) == NOTHING
    assert Lookup([7, 1, 8, 1]).find(4) == NOTHING


def test_a_repetition_without_an_end_goes_on() -> None:
    assert Lookup([9, 5, 6, 5, 6]).find(5).symbols == (5, 6, 5, 6, 5)


def test_only_the_last_symbols_are_looked_through_however_long_the_answer_is() -> None:
    lookup = Lookup([1, 2, 3])
    for symbol in range(10, 10 + 2 * REACH):
        lookup.add(symbol)
    lookup.add(1)
    lookup.add(2)
    assert lookup.find(1) == NOTHING
    lookup.add(3)
    lookup.add(1)
    lookup.add(2)
    assert lookup.find(1) == Found((3,), 2)
