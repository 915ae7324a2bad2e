"""When what is known of a text that was echoed is known of the next one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from types import SimpleNamespace
from typing import Any

import pytest

from quorate.api.http.echoing import Echoes
from quorate.api.tokenizing import Tokens
from quorate.errors import Unavailable, UnsupportedPlan
from quorate.fleet.fleet import Mustered
from quorate.request import (
    Alignment,
    CombinationRule,
    Decision,
    Delta,
    MemberScore,
    Request,
    ResponseOptions,
    Score,
    ScoreRequest,
    Token,
    TokenPrompt,
    Usage,
    WeightedModel,
    Weighting,
)
from support.attempts import vote_decision

TEXT = tuple(range(300, 620))
WHOLE = len(TEXT) - 1
USAGE = Usage(prompt_tokens=0, generated_tokens=0, time_to_first_token_ms=0.0, duration_ms=0.0)
PAIR = vote_decision({"a": 0.5, "b": 0.5})


class Engine:
    """A life of a model."""


@dataclass
class House:
    """A dispatcher, a fleet and a tokenizer, by which texts are tokens that mean themselves.

    Attributes:
        decision: The plan of each request.
        engines: The models, by id.
        restarted: How often each of them was started again.
        tables: Fingerprints of their vocabularies.
        away: Those that are lost now.
        lost: Those that a score loses.
        meanwhile: Happens while a score is computed.
        computed: Tokens of each score.
    """

    decision: Decision = PAIR
    engines: dict[str, Engine] = field(default_factory=lambda: {"a": Engine(), "b": Engine()})
    restarted: dict[str, int] = field(default_factory=lambda: {"a": 0, "b": 0})
    tables: dict[str, str] = field(default_factory=lambda: {"a": "same", "b": "same"})
    away: dict[str, Unavailable] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    meanwhile: Any = None
    computed: list[int] = field(default_factory=list)

    def explain(self, request: Request) -> Decision:
        return self.decision

    async def score(self, request: ScoreRequest) -> Score:
        self.computed.append(len(request.continuation_tokens))
        if self.meanwhile is not None:
            happens, self.meanwhile = self.meanwhile, None
            happens()
        tokens = tuple(Token(one, b"", -float(one)) for one in request.continuation_tokens)
        members = tuple(
            MemberScore(one.model, 0.0, len(tokens), len(tokens), one.weight, None)
            for one in self.decision.members
            if one.model not in self.lost
        )
        return Score("r", self.decision, 0.0, 0, tokens, USAGE, members)

    @property
    def statuses(self) -> dict[str, Any]:
        tables = self.tables.items()
        return {model: SimpleNamespace(vocabulary_fingerprint=table) for model, table in tables}

    @contextmanager
    def muster(self, models: Sequence[str]) -> Iterator[Mustered]:
        engines: Any = {model: self.engines[model] for model in models}
        yield Mustered(engines, self.away)

    def restarts(self, model: str) -> int:
        return self.restarted[model]

    async def detokenize(self, model: str, tokens: Sequence[int], field: str) -> Tokens:
        return Tokens(list(tokens), [b""] * len(tokens), {}, 1024)


async def computed(house: House, *texts: Sequence[int], each: Sequence[Any] = ()) -> list[int]:
    """How many tokens are computed for each of these texts; all of them are told as they are.

    Args:
        house: Whom to ask.
        *texts: Tokens.
        each: Fields of each request, or what happens before it.
    """
    everything: Any = house
    echoes = Echoes(everything, everything, everything)
    for ids, how in zip_longest(texts, each, fillvalue={}):
        fields = how if isinstance(how, dict) else how() or {}
        request = replace(Request(TokenPrompt(tuple(ids))), **fields)
        events = [event async for event in echoes.answer(request, answers=False)]
        (told,) = (event for event in events if isinstance(event, Delta))
        assert [token.token_id for token in told.tokens] == list(ids)
        assert [token.logprob for token in told.tokens[1:]] == [-float(one) for one in ids[1:]]
    return house.computed


OTHER = (*TEXT[:310], 900, 901)


async def test_a_text_is_scored_from_where_it_differs_from_the_last() -> None:
    assert await computed(House(), TEXT, OTHER, OTHER) == [WHOLE, 2, 1]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"key": "one"}, {"key": "two"}),
        ({"origin": "ipv4:192.0.2.7"}, {"origin": "ipv4:192.0.2.8"}),
        ({"origin": "ipv4:127.0.0.1:50001"}, {"origin": "ipv4:192.0.2.8"}),
        ({}, {"response": ResponseOptions(top_logprobs=2)}),
    ],
)
async def test_nothing_is_known_of_what_another_caller_or_for_more_candidates_was_scored(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    assert await computed(House(), TEXT, TEXT, each=[first, second]) == [WHOLE, WHOLE]


@pytest.mark.parametrize(
    "each",
    [
        [{"key": "one", "origin": "ipv4:192.0.2.7"}, {"key": "one", "origin": "ipv4:192.0.2.8"}],
        # Programs open a connection for each request.
        [{"origin": "ipv4:127.0.0.1:50001"}, {"origin": "ipv4:127.0.0.1:50002"}],
        [{"origin": "ipv6:%5B::1%5D:50001"}, {"origin": "ipv6:%5B::1%5D:50002"}],
    ],
)
async def test_a_key_or_a_machine_is_one_caller(each: list[dict[str, str]]) -> None:
    assert await computed(House(), TEXT, TEXT, each=each) == [WHOLE, 1]


@pytest.mark.parametrize(
    "changed",
    [
        {"members": (WeightedModel("a", 0.25), WeightedModel("b", 0.75))},
        {"members": (WeightedModel("a", 1.0),)},
        {"rule": CombinationRule.GEOMETRIC},
    ],
)
async def test_another_plan_scores_for_itself(changed: dict[str, Any]) -> None:
    house = House()

    def change() -> None:
        house.decision = replace(PAIR, **changed)

    assert await computed(house, TEXT, TEXT, each=[{}, change]) == [WHOLE, WHOLE]


@pytest.mark.parametrize(
    "weighting", [one for one in Weighting if one not in (Weighting.AUTO, Weighting.STATIC)]
)
async def test_weights_that_depend_on_what_came_before_have_all_of_it_scored(
    weighting: Weighting,
) -> None:
    house = House(replace(PAIR, weighting=weighting))
    assert await computed(house, TEXT, TEXT) == [WHOLE, WHOLE]


async def test_members_that_write_one_token_otherwise_have_all_of_a_text_scored() -> None:
    assert await computed(House(tables={"a": "one", "b": "two"}), TEXT, TEXT) == [WHOLE, WHOLE]


def loaded_again(house: House) -> None:
    house.engines["b"] = Engine()


def started_again(house: House) -> None:
    house.restarted["b"] += 1


def lost(house: House) -> None:
    house.away["b"] = Unavailable("b is away")


@pytest.mark.parametrize("happens", [loaded_again, started_again, lost])
async def test_a_member_that_lives_anew_is_asked_again(happens: Any) -> None:
    house = House()
    assert await computed(house, TEXT, TEXT, each=[{}, lambda: happens(house)]) == [WHOLE, WHOLE]


async def test_what_was_known_of_a_life_that_ends_meanwhile_is_scored_again() -> None:
    house = House()

    def ends_while_it_scores() -> None:
        house.meanwhile = lambda: loaded_again(house)

    each = [{}, ends_while_it_scores, {}]
    assert await computed(house, TEXT, TEXT, TEXT, each=each) == [WHOLE, 1, WHOLE, WHOLE]


async def test_what_was_scored_without_a_member_is_not_kept() -> None:
    assert await computed(House(lost={"b"}), TEXT, TEXT) == [WHOLE, WHOLE]


@pytest.mark.parametrize("alignment", [Alignment.BYTE_EXACT, Alignment.UNION_TOP_K])
async def test_votes_that_are_not_token_by_token_have_no_echo(alignment: Alignment) -> None:
    with pytest.raises(UnsupportedPlan, match="token by token"):
        await computed(House(replace(PAIR, alignment=alignment)), TEXT)
