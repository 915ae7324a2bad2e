"""Tiny models of random weights whose memory is not Llama's."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from support.tiny_gguf import HEADS, INNER, WIDTH, tiny_model, tokens

WINDOW = 16
"""Tokens that most layers of ``sliding_window`` attend to."""

_HEAD = WIDTH // HEADS
_STATE, _KERNEL, _RANK = 4, 4, 2


def recurrent() -> Path:
    """Two layers of Mamba, which keeps a state of its text and no tokens."""
    return _kept("recurrent", _write_recurrent)


def sliding_window() -> Path:
    """Six layers of Gemma 3, of which one attends to the whole text."""
    return _kept("sliding-window", _write_sliding_window)


def _write_recurrent(path: Path) -> Path:
    one, inner = np.ones(WIDTH, np.float32), 2 * WIDTH
    weights = _weights(5)
    tensors = {
        "token_embd.weight": weights(len(tokens()), WIDTH),
        "output_norm.weight": one,
    }
    for layer in range(2):
        of_layer = {
            "attn_norm.weight": one,
            "ssm_in.weight": weights(2 * inner, WIDTH),
            "ssm_conv1d.weight": weights(inner, _KERNEL),
            "ssm_conv1d.bias": weights(inner),
            "ssm_x.weight": weights(_RANK + 2 * _STATE, inner),
            "ssm_dt.weight": weights(inner, _RANK),
            "ssm_dt.bias": weights(inner),
            "ssm_a": -np.abs(weights(inner, _STATE)),
            "ssm_d": weights(inner),
            "ssm_out.weight": weights(WIDTH, inner),
        }
        tensors |= {f"blk.{layer}.{name}": tensor for name, tensor in of_layer.items()}
    changed = {
        "mamba.block_count": 2,
        "mamba.feed_forward_length": 0,
        "mamba.attention.head_count": 0,
        "mamba.attention.head_count_kv": None,
        "mamba.rope.freq_base": None,
        "mamba.ssm.conv_kernel": _KERNEL,
        "mamba.ssm.inner_size": inner,
        "mamba.ssm.state_size": _STATE,
        "mamba.ssm.time_step_rank": _RANK,
    }
    return tiny_model(path, architecture="mamba", changed=changed, tensors=tensors)


def _write_sliding_window(path: Path) -> Path:
    one, of_head = np.ones(WIDTH, np.float32), np.ones(_HEAD, np.float32)
    weights = _weights(5)
    tensors = {
        "token_embd.weight": weights(len(tokens()), WIDTH),
        "output_norm.weight": one,
    }
    norms = ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm")
    for layer in range(6):
        of_layer = {
            **dict.fromkeys(norms, one),
            **{f"attn_{name}_norm": of_head for name in "qk"},
            **{f"attn_{name}": weights(WIDTH, WIDTH) for name in ("q", "k", "v", "output")},
            "ffn_gate": weights(INNER, WIDTH),
            "ffn_up": weights(INNER, WIDTH),
            "ffn_down": weights(WIDTH, INNER),
        }
        tensors |= {f"blk.{layer}.{name}.weight": tensor for name, tensor in of_layer.items()}
    changed = {
        "gemma3.block_count": 6,
        "gemma3.attention.sliding_window": WINDOW,
        "gemma3.attention.key_length": _HEAD,
        "gemma3.attention.value_length": _HEAD,
    }
    return tiny_model(path, architecture="gemma3", changed=changed, tensors=tensors)


def _weights(seed: int) -> Callable[..., npt.NDArray[np.float32]]:
    random = np.random.default_rng(seed)
    return lambda *shape: random.normal(scale=0.4, size=shape).astype(np.float32)


def _kept(name: str, write: Callable[[Path], Path]) -> Path:
    """The file in the user's cache, written where it is not there or this module has changed."""
    version = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "quorate-tests"
    path = cache / f"{name}-{version}.gguf"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        write(path.with_suffix(f".{os.getpid()}")).replace(path)
    return path
