"""From a checkpoint's folder and options to a running core. Imported where vLLM is there."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from quorate.engines.row_objections import objection
from quorate.engines.sizes import size_label
from quorate.engines.vllm.block_capture import WantedRows
from quorate.engines.vllm.captured_rows import CapturedRows
from quorate.engines.vllm.checkpoint import count_weights, weight_bytes
from quorate.engines.vllm.core import Core
from quorate.engines.vllm.logits_capture import ADDRESS_VARIABLE
from quorate.engines.vllm.options import VllmOptions
from quorate.engines.vllm.planning import EnginePlan
from quorate.engines.vllm.requests import row_params
from quorate.engines.vllm.tokenizer import CheckpointTokenizer
from quorate.errors import ModelUnusable

SCORED_TOKENS = 64
"""Most rows of one step where there are fewer sessions."""

_IMPORTED, _PLANNED, _RUNNING = 0.3, 0.4, 0.95
# As far as rows may differ that were computed in two ways; those of other tokens are nats apart.
_TOLERANCE = 0.5


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model that is ready.

    Attributes:
        plan: How it was configured.
        rows: Where its log-probs appear.
        kv_tokens: KV tokens that sessions may hold together.
        description: Such as ``llama 135M bfloat16``.
        memory_bytes: Weights and KV cache.
        blocks: Whether one step gives rows behind several tokens of a sequence.
    """

    core: Core
    plan: EnginePlan
    tokenizer: CheckpointTokenizer
    rows: CapturedRows
    kv_tokens: int
    description: str
    memory_bytes: int
    blocks: bool


def load_checkpoint(
    path: str, options: VllmOptions, on_progress: Callable[[float], None]
) -> Loaded:
    """Loads a checkpoint whose folder and options have been checked.

    Raises:
        ModelUnusable: Its tokenizer cannot vote, or there is too little memory for its KV cache.
        Exception: Whatever vLLM raises for what is wrong with a checkpoint or a machine.
    """
    on_progress(_IMPORTED)
    tokenizer = CheckpointTokenizer(path)
    vocabulary = tokenizer.vocabulary
    plan = EnginePlan(path, options)
    # Behind the rows of the sessions stand those of the blocks of one step.
    slots = options.sessions + max(options.sessions, SCORED_TOKENS)
    rows = CapturedRows.create(slots, len(vocabulary), vocabulary.byte_order.ids.tolist())
    os.environ[ADDRESS_VARIABLE] = rows.address
    on_progress(_PLANNED)
    core = Core(plan.config)
    on_progress(_RUNNING)
    if plan.compiles_nothing:
        core.call("quorate_compile_nothing")
    padding = range(len(vocabulary), plan.vocabulary_size)
    core.call("quorate_mask", [*sorted(vocabulary.masked), *padding])
    blocks_work = _warm_up(core, rows, options.sessions, Path(path).name)
    blocks, size = core.blocks
    kv_tokens = plan.kv_tokens or (blocks - 1 - options.sessions) * size
    if kv_tokens < 1:
        core.close()
        problem = "the memory for its KV cache is too small; raise memory_fraction, lower sessions"
        raise ModelUnusable(Path(path).name, problem)
    on_progress(1.0)
    return Loaded(
        core,
        plan,
        tokenizer,
        rows,
        kv_tokens,
        f"{plan.model_type} {size_label(count_weights(path))} {plan.precision}",
        weight_bytes(path) + int(blocks * size * plan.kv_token_bytes),
        blocks_work,
    )


def _warm_up(core: Core, rows: CapturedRows, sessions: int, subject: str) -> bool:
    """Runs a step before the model counts as loaded.

    What this machine has no kernel for shows now. Otherwise it would in a user's first answer, and
    restart the worker for ever. The row behind the last token is captured in both ways that there
    are, and must be the same.

    Returns:
        Whether one step gives rows behind several tokens.

    Raises:
        ModelUnusable: The first row is none.
        Exception: Whatever vLLM raises.
    """
    last, slots = 0, [sessions, sessions + 1]
    capturing = all(core.call("quorate_blocks"))
    if capturing:
        core.call("quorate_want", [WantedRows("warm-up", 0, slots, False)])
    core.feed("warm-up", [0, 1], row_params(last, True))
    while not core.step():
        pass
    core.abort("warm-up")
    if problem := objection(rows.row(last)):
        core.close()
        raise ModelUnusable(subject, problem)
    captured = [rows.row(slot) for slot in slots]
    if not capturing or any(map(objection, captured)):
        return False
    return bool(np.allclose(captured[1], rows.row(last), rtol=0, atol=_TOLERANCE))
