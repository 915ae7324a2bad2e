"""One ensemble over both engines: a checkpoint in vLLM and a GGUF file in llama.cpp."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from catalogue import domain_questions
from grading import is_correct

from quorate.client import Client
from quorate.v1 import plan_pb2
from quorate_registry import Registry
from support.gguf_files import smollm2
from support.streams import Stream
from support.whole_service import checkpoint, gguf, whole_service

pytestmark = [pytest.mark.vllm, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]

SIZES = {"context_length": 512, "cells": 2048}
PAIR = ["large", "small"]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def client(
    tmp_path_factory: pytest.TempPathFactory, smollm2_checkpoint: Path
) -> AsyncIterator[Client]:
    home = tmp_path_factory.mktemp("home")
    specialist = Registry(home).resolve("catalogue-specialist").path
    models = [
        checkpoint("large", smollm2_checkpoint, **SIZES, sessions=16, dtype="bfloat16"),
        gguf("small", smollm2(), **SIZES),
        gguf("specialist", specialist, cells=1024),
    ]
    async with whole_service(home, *models) as (_, client):
        yield client


async def test_both_engines_know_the_same_vocabulary(client: Client) -> None:
    models = {model.id: model for model in await client.models()}
    assert models["large"].engine == "vllm"
    assert models["small"].engine == "llama_cpp"
    prints = {models[name].vocabulary_fingerprint for name in PAIR}
    assert len(prints) == 1
    assert models["specialist"].vocabulary_fingerprint not in prints


async def test_they_vote_token_by_token(client: Client) -> None:
    stream = Stream(
        client,
        None,
        messages=[("user", "What is the capital of Greece?")],
        models=PAIR,
        temperature=0.0,
        max_tokens=24,
        votes=True,
    )
    await stream.end()
    assert stream.decision.alignment == plan_pb2.ALIGNMENT_SAME_VOCABULARY
    assert "Athens" in stream.text
    for token in stream.tokens:
        assert [vote.model for vote in token.votes] == PAIR
        # The mixture is the mean of both, and both are the same model to a few bits.
        mean = sum(vote.weight * math.exp(vote.logprob) for vote in token.votes)
        assert math.exp(token.logprob) == pytest.approx(mean, abs=1e-4)


async def test_each_says_of_a_text_what_the_other_says_to_a_few_bits(client: Client) -> None:
    text = " Paris, which lies on the river Seine and has been the seat of its kings."
    prompt = "The capital of France is"
    large = await client.score(prompt, text, model="large")
    small = await client.score(prompt, text, model="small")
    pair = await client.score(prompt, text, models=PAIR)
    assert [token.piece for token in large.tokens] == [token.piece for token in small.tokens]
    assert large.logprob == pytest.approx(small.logprob, abs=0.15 * len(large.tokens))
    assert min(large.logprob, small.logprob) - 0.1 < pair.logprob
    assert pair.logprob < max(large.logprob, small.logprob) + 0.5


async def test_beside_the_specialist_it_votes_byte_by_byte(client: Client) -> None:
    question = domain_questions()[0]
    stream = Stream(
        client,
        None,
        messages=[("user", question.text)],
        models=["large", "specialist"],
        temperature=0.0,
        max_bytes=80,
    )
    await stream.end()
    assert stream.decision.alignment == plan_pb2.ALIGNMENT_BYTE_EXACT
    assert is_correct(stream.text, question.gold)
    general = await client.complete(
        messages=[("user", "What is the capital of Greece?")],
        models=["large", "specialist"],
        temperature=0.0,
        max_bytes=80,
    )
    assert is_correct(general, "Athens")


async def test_in_bytes_a_text_is_about_as_probable_as_in_tokens(client: Client) -> None:
    """Both members are the same model, so that the way they are mixed hardly matters."""
    prompt, text = "Water boils at a", " temperature of one hundred degrees."
    tokens = await client.score(prompt, text, models=PAIR)
    in_bytes = await client.score(prompt, text, models=PAIR, alignment="byte_exact")
    assert in_bytes.bytes == tokens.bytes == len(text)
    assert in_bytes.logprob == pytest.approx(tokens.logprob, abs=1.5)
