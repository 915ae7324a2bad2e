"""Scripted models and engines for tests, and what they must answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from quorate.engines.contract import LogProbs
from quorate.engines.generation import EngineSampling
from quorate.engines.row_blocks import RowBlock
from quorate.engines.scheduler.contract import Chunk
from quorate.engines.scripted.model import ScriptedModel
from quorate.engines.scripted.options import ScriptedOptions
from support.in_process import InProcessEngine

_GREEDY = EngineSampling(
    temperature=0.0,
    top_k=0,
    top_p=1.0,
    min_p=0.0,
    seed=7,
    max_tokens=8,
    top_logprobs=0,
)


def engine_sampling(**changes: Any) -> EngineSampling:
    """A greedy generation of eight tokens, with these changes."""
    return replace(_GREEDY, **changes)


def scripted_model(**options: Any) -> ScriptedModel:
    """A scripted model with these options, checked as those of a configuration file are."""
    return ScriptedModel(ScriptedOptions.from_mapping(options, "options"))


def scripted_engine(model_id: str = "toy", **options: Any) -> InProcessEngine:
    """An engine over a scripted model, inside the event loop."""
    return InProcessEngine(model_id, scripted_model(**options))


def empty_row(model: ScriptedModel) -> LogProbs:
    """A row to write log-probs to, full of NaN."""
    return np.full(len(model.vocabulary), np.nan, np.float32)


def empty_block(model: ScriptedModel) -> RowBlock:
    """A block to write log-probs to, full of NaN."""
    rows = model.facts.block_rows
    return RowBlock(
        np.full((rows, len(model.vocabulary)), np.nan, np.float32),
        np.full(rows, np.nan, np.float32),
    )


def fresh_row(tokens: Sequence[int], **options: Any) -> LogProbs:
    """The log-probs after ``tokens``, from a model of its own that decodes them in one call."""
    room = {"context_length": len(tokens), "batch_tokens": len(tokens), "sessions": 1, "cells": 0}
    model = scripted_model(**{**options, **room})
    row = empty_row(model)
    model.decode([Chunk(0, 0, tokens, row)])
    return row
