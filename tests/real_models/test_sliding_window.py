"""Gemma 3 attends to 512 tokens in most layers; prompts that are longer are cached all the same."""

from __future__ import annotations

from itertools import product

import pytest

from quorate.client import Client
from support.streams import Stream

pytestmark = [pytest.mark.real_model, pytest.mark.timeout(300)]

WINDOW = 512
ANIMALS = ("fox", "heron", "badger", "otter", "hare", "weasel", "lynx", "stoat")
PLACES = ("river", "meadow", "bridge", "garden", "square", "orchard", "station", "harbour")
FILLER = " ".join(
    f"Line {number}: the {animal} crossed the {place} at {number % 12 + 1} o'clock."
    for number, (animal, place) in enumerate(product(ANIMALS, PLACES))
)
FIRST, SECOND = "\nThe animal of line 39 is the", "\nLine 64: the"


async def fresh(client: Client) -> None:
    """Takes everything out of the model's prefix cache."""
    await client.unload("gemma")
    await client.load("gemma")


def assert_alike(ours: Stream, theirs: Stream) -> None:
    """The same tokens about as probable, up to a near tie that fell otherwise.

    4-bit weights say other things in batches of other shapes, which go by what calls took.
    """
    for one, other in zip(ours.tokens, theirs.tokens, strict=False):
        if one.token_id != other.token_id:
            tied = {each.token_id: each.logprob for each in one.top}
            assert tied[other.token_id] == pytest.approx(one.logprob, abs=0.5)
            return
        assert one.logprob == pytest.approx(other.logprob, abs=0.5)
    assert len(ours.tokens) == len(theirs.tokens)


async def ask(client: Client, end: str) -> Stream:
    return await Stream(
        client, FILLER + end, model="gemma", temperature=0.0, max_tokens=8, top_logprobs=5
    ).whole()


async def test_a_cached_prefix_beyond_the_window_changes_nothing(client: Client) -> None:
    await fresh(client)
    alone = await ask(client, SECOND)
    (cold,) = alone.usage.models
    assert cold.prompt_tokens > WINDOW + 100
    assert cold.cached_prompt_tokens == 0

    await fresh(client)
    await ask(client, FIRST)
    reused = await ask(client, SECOND)
    (warm,) = reused.usage.models
    assert warm.cached_prompt_tokens > WINDOW
    assert_alike(reused, alone)


async def test_a_score_beyond_the_window_is_the_same_with_and_without_a_cached_prefix(
    client: Client,
) -> None:
    asked = (FILLER, " The end of the list.")
    await fresh(client)
    alone = await client.score(*asked, model="gemma")
    again = await client.score(*asked, model="gemma")
    assert again.usage.models[0].cached_prompt_tokens > WINDOW
    # 4-bit weights say other things in batches of other shapes.
    assert again.logprob == pytest.approx(alone.logprob, rel=0.05)


async def test_a_text_that_ends_within_the_window_goes_on_from_a_longer_one(
    client: Client,
) -> None:
    """The longer prompt has pushed the shared beginning out of the window of its own last token."""
    beginning = FILLER[: len(FILLER) // 2]
    await fresh(client)
    short = {"model": "gemma", "temperature": 0.0, "max_tokens": 8, "top_logprobs": 5}
    alone = await Stream(client, beginning, **short).whole()
    await fresh(client)
    await ask(client, FIRST)
    stream = await Stream(client, beginning, **short).whole()
    assert stream.usage.models[0].cached_prompt_tokens > 0
    assert_alike(stream, alone)
