"""What reaches vLLM's configuration of the options of a model."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from quorate.engines.vllm import environment
from quorate.engines.vllm.options import CONTEXT_LENGTH_CAP, VllmOptions
from quorate.engines.vocabulary import Vocabulary
from quorate.errors import ModelUnusable

pytestmark = [pytest.mark.vllm, pytest.mark.filterwarnings("ignore")]

BLOCK = 32


@pytest.fixture(autouse=True)
def the_environment_stays() -> Iterator[None]:
    """vLLM and its engine set variables, which other tests' workers would inherit."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def planned(folder: Path, **given: Any) -> Any:
    environment.prepare()
    from quorate.engines.vllm.planning import EnginePlan

    return EnginePlan(str(folder), VllmOptions(**given))


def test_without_options_the_machine_and_the_checkpoint_decide(smollm2_checkpoint: Path) -> None:
    plan = planned(smollm2_checkpoint)
    config = plan.config
    assert plan.on_cpu
    assert plan.context_length == plan.kv_tokens == CONTEXT_LENGTH_CAP
    assert plan.precision == "bfloat16"
    assert plan.model_type == "llama"
    assert plan.vocabulary_size == 49_152
    # 30 layers, 3 heads of 64 for keys and as many for values, 2 bytes each.
    assert plan.kv_token_bytes == 30 * 3 * 64 * 2 * 2
    assert config.model_config.enforce_eager
    assert plan.compiles_nothing
    assert not config.model_config.trust_remote_code
    assert config.load_config.load_format == "safetensors"
    assert config.cache_config.enable_prefix_caching
    assert not config.scheduler_config.async_scheduling


def test_every_session_can_fill_its_cells(smollm2_checkpoint: Path) -> None:
    plan = planned(smollm2_checkpoint, sessions=3, context_length=100, cells=300)
    blocks = plan.config.cache_config.num_gpu_blocks_override
    assert plan.config.cache_config.block_size == BLOCK
    # However 300 cells are shared among three: each may leave all but one of a block unused.
    for first in range(1, 101):
        rest = 300 - first
        second = min(100, rest - 100)
        needed = sum(math.ceil(kv_tokens / BLOCK) for kv_tokens in (first, second, rest - second))
        assert needed <= blocks - 1


def test_sizes_reach_vllm(smollm2_checkpoint: Path) -> None:
    plan = planned(
        smollm2_checkpoint, sessions=7, context_length=512, batch_tokens=300, block_size=64
    )
    config = plan.config
    # Room for the token behind the last one.
    assert config.model_config.max_model_len == 513
    assert config.scheduler_config.max_num_seqs == 7
    assert config.scheduler_config.max_num_batched_tokens >= 300 + 7
    assert config.cache_config.block_size == 64


def test_a_share_of_the_memory_stands_in_for_cells(smollm2_checkpoint: Path) -> None:
    plan = planned(smollm2_checkpoint, memory_fraction=0.4)
    assert plan.kv_tokens == 0
    assert plan.config.cache_config.gpu_memory_utilization == 0.4
    assert plan.config.cache_config.num_gpu_blocks_override is None
    assert plan.config.cache_config.kv_cache_memory_bytes is None


def test_types_and_parallelism_reach_vllm(smollm2_checkpoint: Path) -> None:
    plan = planned(smollm2_checkpoint, dtype="float32", tensor_parallel=3, compile="on")
    config = plan.config
    assert not plan.compiles_nothing
    assert plan.precision == "float32"
    assert config.parallel_config.tensor_parallel_size == 3
    assert config.parallel_config.distributed_executor_backend == "mp"
    assert not config.model_config.enforce_eager


def test_a_context_beyond_the_training_is_refused(smollm2_checkpoint: Path) -> None:
    with pytest.raises(ModelUnusable, match="is 100000, and the model reaches 8192 tokens"):
        planned(smollm2_checkpoint, context_length=100_000)


def test_the_logits_capture_fits_the_runner(smollm2_checkpoint: Path) -> None:
    config = planned(smollm2_checkpoint).config
    (capture,) = config.model_config.logits_processors
    assert ("runner_v2" in capture) == config.use_v2_model_runner


@pytest.mark.parametrize(("on_cpu", "tokens"), [(True, 64), (False, 512)])
def test_prompts_are_read_in_larger_chunks_on_gpus(on_cpu: bool, tokens: int) -> None:
    environment.prepare()
    from quorate.engines.vllm.model import VllmModel

    loaded: Any = SimpleNamespace(
        core=None,
        plan=SimpleNamespace(on_cpu=on_cpu, context_length=128),
        tokenizer=SimpleNamespace(
            chat_template=None,
            adds_space=False,
            vocabulary=Vocabulary((b"", b"a"), frozenset({0}), frozenset({0})),
        ),
        kv_tokens=256,
        description="a model",
        memory_bytes=0,
    )
    assert VllmModel("m", 2, loaded).interleaved_prefill_tokens == tokens
