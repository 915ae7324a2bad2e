"""Which variables of the coordinator's environment a process inherits: an allow-list.

The coordinator holds keys of remotes and callers, and whatever else its operator's shell or service
manager holds: cloud credentials, tokens, addresses of databases. A library that parses a stranger's
file gets none of it. What it gets is told by name or by the documented prefix of a library.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

_NAMES = frozenset(
    {
        # Where programs, libraries and a home for caches are, and in which language they talk.
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "LANG",
        "LANGUAGE",
        "TZ",
        "TMPDIR",
        "LD_LIBRARY_PATH",
        "LD_PRELOAD",
        "GLIBC_TUNABLES",
        "VIRTUAL_ENV",
        "CONDA_PREFIX",
        "XDG_CACHE_HOME",
        "XDG_CONFIG_HOME",
        "CC",
        "CXX",
        # Of Python, what neither starts a program nor listens anywhere.
        "PYTHONPATH",
        "PYTHONHOME",
        "PYTHONHASHSEED",
        "PYTHONFAULTHANDLER",
        "PYTHONUNBUFFERED",
        "PYTHONDONTWRITEBYTECODE",
        "PYTHONPYCACHEPREFIX",
        "PYTHONMALLOC",
        "PYTHONUTF8",
        "PYTHONWARNINGS",
        # Of Hugging Face's libraries, where things lie and that nothing is fetched.
        "HF_HOME",
        "HF_HUB_CACHE",
        "HF_MODULES_CACHE",
        "HF_HUB_OFFLINE",
        "TRANSFORMERS_CACHE",
        "TRANSFORMERS_OFFLINE",
    }
)
_PREFIXES = (
    "LC_",
    "MALLOC_",
    # Threads and linear algebra.
    "OMP_",
    "GOMP_",
    "KMP_",
    "OPENBLAS_",
    "MKL_",
    "BLIS_",
    # llama.cpp.
    "GGML_",
    "LLAMA_",
    # GPUs.
    "CUDA_",
    "CUBLAS_",
    "CUDNN_",
    "NVIDIA_",
    "NCCL_",
    "ROCM_",
    "ROCR_",
    "HIP_",
    "HSA_",
    "AMD_",
    "MIOPEN_",
    "RCCL_",
    "ONEAPI_",
    "SYCL_",
    "ZE_",
    "GGML_VK_",
    "VK_",
    # vLLM and what it stands on.
    "VLLM_",
    "TORCH_",
    "TORCHINDUCTOR_",
    "PYTORCH_",
    "TRITON_",
    "FLASHINFER_",
    "GLOO_",
    "TOKENIZERS_",
)
# Libraries have keys among their own variables, such as VLLM_API_KEY and NVIDIA_API_KEY.
_SECRET = re.compile(
    r"(?:^|_)(?:\w*KEY|KEYS|KEY_ID|\w*TOKEN|\w*SECRETS?|\w*PASSWORD|\w*PASSWD|PASS|PASSPHRASE|\w*CREDENTIALS?"
    r"|AUTH|AUTHORIZATION|COOKIE|JWT|PRIVATE|CERT|DSN|WEBHOOK|PROXY)(?:_|$)",
    re.IGNORECASE,
)


def is_inherited(name: str) -> bool:
    """Whether processes inherit a variable of this name, where nobody says that it is a secret."""
    return (name in _NAMES or name.startswith(_PREFIXES)) and not _SECRET.search(name)


def inherited(base: Mapping[str, str], secrets: Collection[str] = ()) -> dict[str, str]:
    """What a process inherits.

    Args:
        base: The whole environment.
        secrets: Names that the configuration reads keys from: never inherited, whatever they are
            called, nor is any other variable that holds what one of them holds.
    """
    values = {base[name] for name in secrets if base.get(name)}
    return {
        name: value
        for name, value in base.items()
        if is_inherited(name) and name not in secrets and value not in values
    }


def worker_environment(
    base: Mapping[str, str], threads: int, secrets: Collection[str] = ()
) -> dict[str, str]:
    """Environment of a worker that computes with ``threads`` threads.

    OpenMP threads meet at barriers hundreds of times in a token. Threads that sleep at each cost a
    factor of three (31.6 ms per token instead of 9.8 on two cores), and threads that spin for long
    steal the cores of the models beside them: they spin for a fraction of a millisecond. A
    backtrace by way of a debugger keeps an aborting process alive for seconds. All of it can be had
    back by setting the variables outside. The last two are not for choosing: which cores a
    worker has is decided elsewhere, and workers never download.
    """
    return {
        "GOMP_SPINCOUNT": "10000",
        "KMP_BLOCKTIME": "1",
        "GGML_NO_BACKTRACE": "1",
        "OPENBLAS_NUM_THREADS": "1",
        **inherited(base, secrets),
        "OMP_NUM_THREADS": str(threads),
        "HF_HUB_OFFLINE": "1",
    }
