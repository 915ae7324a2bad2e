"""Real models vote: token by token over one vocabulary, byte by byte over two."""

from __future__ import annotations

import math

import pytest

from quorate.client import Client
from quorate.v1 import plan_pb2
from support.streams import Stream

pytestmark = [pytest.mark.real_model, pytest.mark.timeout(300)]

NUMBERS = "one, two, three, four,"
CAPITAL = [("user", "What is the capital of France? Answer with one word.")]


async def test_two_sizes_of_one_family_vote_token_by_token(client: Client) -> None:
    stream = await Stream(
        client,
        None,
        messages=CAPITAL,
        models={"small": 0.4, "large": 0.6},
        temperature=0.0,
        max_tokens=8,
        votes=True,
    ).whole()
    assert stream.text.strip(" .\n") == "Paris"
    assert stream.decision.alignment == plan_pb2.ALIGNMENT_SAME_VOCABULARY
    for token in stream.tokens:
        assert token.HasField("token_id")
        assert [(vote.model, vote.weight) for vote in token.votes] == [
            ("small", pytest.approx(0.4)),
            ("large", pytest.approx(0.6)),
        ]
        mixture = sum(vote.weight * math.exp(vote.chosen_logprob) for vote in token.votes)
        assert token.logprob == pytest.approx(math.log(mixture), abs=1e-4)


@pytest.mark.parametrize("rule", ["geometric", "majority"])
async def test_every_rule_finds_what_both_know(client: Client, rule: str) -> None:
    text = await client.complete(
        None,
        messages=CAPITAL,
        models=["small", "large"],
        rule=rule,
        temperature=0.0,
        max_tokens=4,
    )
    assert text.strip(" .\n") == "Paris"


async def test_models_with_other_tokenizers_vote_byte_by_byte(client: Client) -> None:
    stream = await Stream(
        client,
        NUMBERS,
        models=["small", "gemma"],
        temperature=0.0,
        max_bytes=5,
        votes=True,
    ).whole()
    assert stream.decision.alignment == plan_pb2.ALIGNMENT_BYTE_EXACT
    assert stream.text == " five"
    assert b"".join(token.piece for token in stream.tokens) == b" five"
    assert {vote.model for token in stream.tokens for vote in token.votes} == {"small", "gemma"}


async def test_a_byte_exact_vote_of_one_family_says_what_its_token_vote_says(
    client: Client,
) -> None:
    """The sum over all cuts has its best text where the canonical cut has it."""
    asked = {
        "models": ["small", "large"],
        "temperature": 0.0,
        "max_bytes": 16,
        "weighting": "static",
    }
    tokens = await client.complete(NUMBERS, alignment="same_vocabulary", **asked)
    data = await client.complete(NUMBERS, alignment="byte_exact", **asked)
    assert tokens.startswith(" five, six")
    assert data == tokens


async def test_candidates_of_models_with_other_tokenizers_are_united(client: Client) -> None:
    stream = await Stream(
        client,
        NUMBERS,
        models=["small", "gemma"],
        alignment="union_top_k",
        temperature=0.0,
        max_tokens=1,
    ).whole()
    assert stream.decision.alignment == plan_pb2.ALIGNMENT_UNION_TOP_K
    assert stream.text.strip().startswith("five"[: len(stream.text.strip())])
    assert len(stream.text.strip()) > 0
