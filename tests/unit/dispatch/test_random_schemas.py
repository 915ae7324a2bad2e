"""Answers of random schemas parse and are valid, whoever votes and whoever guesses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from quorate.request import (
    ConstraintKind,
    DraftMode,
    DraftOptions,
    FinishReason,
    OutputConstraint,
    Plan,
    Request,
    SamplingOptions,
    StoppingOptions,
    TextPrompt,
    WeightedModel,
)
from support.dispatching import Answer, bare_dispatcher
from support.random_schemas import random_schema

MODELS: dict[str, dict[str, Any]] = {
    "a": {"seed": 1, "context_length": 4096, "cells": 8192},
    "b": {"seed": 2, "context_length": 4096, "cells": 8192},
    "words": {"vocabulary": "words", "seed": 3, "context_length": 4096, "cells": 8192},
}
MEMBERS = {"alone": ("a",), "tokens": ("a", "b"), "bytes": ("a", "words")}
SAMPLING = SamplingOptions(temperature=1.0, top_p=1.0, top_k=0, min_p=0.0)


def plans(members: tuple[str, ...]) -> Iterator[Plan]:
    """Without drafts, with those of what was said, and with those of the first member."""
    modes = [DraftOptions(DraftMode.OFF), DraftOptions(DraftMode.PROMPT)]
    if len(members) > 1:
        modes.append(DraftOptions(model=members[0]))
    for mode in modes:
        yield Plan(tuple(map(WeightedModel, members)), draft=mode)


async def valid_answers(members: tuple[str, ...], seeds: range) -> int:
    """Asks for an answer of each schema by each plan; returns how many came to their end."""
    whole = 0
    async with bare_dispatcher(**MODELS) as (dispatcher, _):
        for seed in seeds:
            schema = random_schema(seed)
            form = OutputConstraint(ConstraintKind.JSON_SCHEMA, json.dumps(schema))
            for plan in plans(members):
                request = Request(
                    TextPrompt(f"once upon {seed}"),
                    plan,
                    SAMPLING,
                    StoppingOptions(max_tokens=2000),
                    constraint=form,
                )
                told = Answer([event async for event in dispatcher.generate(request)])
                if told.finished.reason is FinishReason.END_OF_GENERATION:
                    Draft202012Validator(schema).validate(json.loads(told.text))
                    whole += 1
    return whole


@pytest.mark.parametrize("members", MEMBERS.values(), ids=MEMBERS)
async def test_answers_of_random_schemas_are_valid(members: tuple[str, ...]) -> None:
    asked = 10 * len([*plans(members)])
    assert await valid_answers(members, range(10)) >= 0.9 * asked


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("members", MEMBERS.values(), ids=MEMBERS)
async def test_answers_of_many_random_schemas_are_valid(members: tuple[str, ...]) -> None:
    asked = 300 * len([*plans(members)])
    whole = await valid_answers(members, range(300))
    print(f"{'+'.join(members)}: {whole} of {asked} answers ended, each of them valid")
    assert whole >= 0.9 * asked
