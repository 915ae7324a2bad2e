"""The way into vLLM, or one line that says why there is none. Needs nothing of vLLM itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from quorate.engines.vllm import environment
from quorate.engines.vllm.checkpoint import check_checkpoint
from quorate.engines.vllm.failures import one_line
from quorate.engines.vllm.options import VllmOptions
from quorate.errors import ModelUnusable

if TYPE_CHECKING:
    from quorate.engines.vllm.model import VllmModel


def load(
    path: str, options: VllmOptions, threads: int, on_progress: Callable[[float], None]
) -> VllmModel:
    """Loads a checkpoint with options that are valid; see ``EngineRegistration``.

    Raises:
        ModelUnusable: It is missing, broken, no causal decoder, of an architecture that vLLM does
            not know, or does not fit into memory; or vLLM is not installed.
    """
    subject = Path(path).name
    check_checkpoint(path, options)
    environment.prepare()
    try:
        import vllm  # noqa: F401
    except ImportError as error:
        problem = (
            f"needs vLLM, which cannot be imported here ({one_line(error)}); install it as the "
            "README says: pip install 'quorate[vllm]' with a GPU, scripts/setup_vllm without one"
        )
        raise ModelUnusable(subject, problem) from error
    try:
        from quorate.engines.vllm.loading import load_checkpoint
        from quorate.engines.vllm.model import VllmModel

        loaded = load_checkpoint(path, options, on_progress)
    except ModelUnusable:
        raise
    # vLLM raises whatever its libraries do, for what is wrong with a checkpoint or a machine.
    except Exception as error:
        raise ModelUnusable(subject, f"vLLM cannot load it: {one_line(error)}") from error
    model = VllmModel(subject, options.sessions, loaded)
    model.set_cores(threads)
    return model
