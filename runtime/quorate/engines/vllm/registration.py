"""vLLM among the engines."""

from __future__ import annotations

from quorate.engines.registry import EngineRegistration
from quorate.engines.vllm.checkpoint import check_checkpoint
from quorate.engines.vllm.environment import of_the_process
from quorate.engines.vllm.needs import needs
from quorate.engines.vllm.options import VllmOptions

ENGINE = EngineRegistration(
    name="vllm",
    options=VllmOptions,
    loader="quorate.engines.vllm.start:load",
    encoder="quorate.engines.vllm.encoder:load",
    files="checkpoint",
    default=True,
    environment=of_the_process,
    check_files=check_checkpoint,
    library="vllm",
    needs=needs,
)
