"""What can be said of a checkpoint's folder before vLLM sees it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quorate.engines.vllm.options import VllmOptions
from quorate.engines.vllm.shapes import misfit
from quorate.errors import ModelUnusable

_ONLY = "only causal decoders of text can vote"
# Endings of the names of architectures that write text, and of some that do something else.
_DECODERS = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration", "ChatModel", "ChatGLMModel")
_OTHERS = {
    "ForSequenceClassification": "a classifier, reranker or reward model",
    "ForTokenClassification": "a classifier of tokens",
    "RewardModel": "a reward model",
    "ForRewardModel": "a reward model",
    "ForProcessRewardModel": "a reward model",
    "ForMaskedLM": "an encoder",
    "ForQuestionAnswering": "an encoder",
    "ForMultipleChoice": "an encoder",
    "ForPreTraining": "an encoder",
    "EmbeddingModel": "an embedding model",
    "ForEmbedding": "an embedding model",
    "BidirectionalModel": "an embedding model",
    "EncoderModel": "an encoder",
    "Model": "a network without an output for text",
}
_POOLING = ("Pooling", "WeightedLayerPooling", "CLIPModel", "LogitScore", "Dense")
_LARGEST_CONFIG = 1 << 22


def check_checkpoint(path: str, options: VllmOptions) -> None:
    """Refuses a checkpoint that can never be loaded, by what its files say of themselves.

    Raises:
        ModelUnusable: It is missing or broken, no causal decoder, or its tensors have other shapes
            than its configuration says; or the context is to be longer than its positions reach.
    """
    folder = Path(path)
    subject = folder.name
    config = check_folder(path, subject)
    if problem := _no_decoder(folder, config) or misfit(folder, config):
        raise ModelUnusable(subject, problem)
    if reached := _reached_tokens(config):
        check_context(options.context_length, reached, subject)


def check_context(wanted: int, reached: int, subject: str) -> None:
    """Refuses a context length beyond what positions reach.

    Raises:
        ModelUnusable: More is wanted.
    """
    if wanted > reached:
        raise ModelUnusable(
            subject,
            f"context_length is {wanted}, and the model reaches {reached} tokens; set it to at "
            "most that, or scale RoPE in its config.json (rope_scaling)",
        )


def check_folder(path: str, subject: str) -> dict[str, Any]:
    """Refuses what cannot be a checkpoint.

    Returns:
        Its configuration.

    Raises:
        ModelUnusable: No folder, no readable ``config.json``, or no safetensors file.
    """
    folder = Path(path)
    if not folder.is_dir():
        kind = "is a file; vLLM loads checkpoint folders" if folder.exists() else "does not exist"
        raise ModelUnusable(subject, f"{path} {kind}")
    try:
        config = _read_json(folder / "config.json")
    except FileNotFoundError as error:
        if (folder / "adapter_config.json").exists():
            problem = "is an adapter (LoRA), not a model; merge it into its model"
            raise ModelUnusable(subject, f"{path} {problem}") from error
        raise ModelUnusable(subject, f"{path} has no config.json") from error
    except (OSError, ValueError) as error:
        raise ModelUnusable(subject, f"{path}/config.json cannot be read: {error}") from error
    if not isinstance(config, dict) or not config.get("architectures"):
        raise ModelUnusable(subject, f"{path}/config.json names no architecture")
    if not any(folder.glob("*.safetensors")):
        raise ModelUnusable(subject, f"{path} has no safetensors file; pickles are never loaded")
    return config


def _no_decoder(folder: Path, config: Mapping[str, Any]) -> str:
    names = config["architectures"]
    for name in names if isinstance(names, list) else ():
        if isinstance(name, str) and not name.endswith(_DECODERS):
            ending = next((ending for ending in _OTHERS if name.endswith(ending)), None)
            if ending:
                return f"it is {_OTHERS[ending]} ({name!r}); {_ONLY}"
    text = config.get("text_config")
    for table in (config, text if isinstance(text, dict) else {}):
        if table.get("is_encoder_decoder") is True:
            return f"it has an encoder (is_encoder_decoder in its config.json); {_ONLY}"
        both = table.get("use_bidirectional_attention") is True or table.get("is_causal") is False
        if both:
            return f"it reads text in both directions, says its config.json; {_ONLY}"
    if pooling := _pooling(folder):
        return f"it is an embedding model or reranker ({pooling!r} in its modules.json); {_ONLY}"
    return ""


def _reached_tokens(config: Mapping[str, Any]) -> int:
    """How many tokens positions reach; 0 where RoPE is scaled, which vLLM knows better."""
    text = config.get("text_config")
    table = text if isinstance(text, dict) else config
    for name in ("rope_scaling", "rope_parameters"):
        scaling = table.get(name) or {}
        plain = isinstance(scaling, dict) and not any(
            isinstance(value, dict) for value in scaling.values()
        )
        if not plain or scaling.get("rope_type", scaling.get("type", "default")) != "default":
            return 0
    reached = table.get("max_position_embeddings")
    return reached if type(reached) is int else 0


def _pooling(folder: Path) -> str:
    """The module that makes one vector or score of a text, as sentence-transformers list it."""
    try:
        modules = _read_json(folder / "modules.json")
    except (OSError, ValueError):
        return ""
    kinds = [one.get("type") for one in modules if isinstance(one, dict)]
    names = [kind.rpartition(".")[2] for kind in kinds if isinstance(kind, str)]
    return next((name for name in names if name in _POOLING), "")


def _read_json(path: Path) -> Any:
    with path.open("rb") as file:
        text = file.read(_LARGEST_CONFIG + 1)
    if len(text) > _LARGEST_CONFIG:
        raise ValueError(f"more than {_LARGEST_CONFIG} bytes")
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def weight_bytes(path: str) -> int:
    """Size of the weight files."""
    return sum(file.stat().st_size for file in Path(path).glob("*.safetensors"))


def count_weights(path: str) -> int:
    """How many numbers the weight files hold; those of quantised ones may hold several each.

    Raises:
        Exception: What safetensors raises for a broken file.
    """
    from safetensors import safe_open

    total = 0
    for file in Path(path).glob("*.safetensors"):
        with safe_open(file, framework="numpy") as tensors:
            names = list(tensors.keys())
            total += sum(math.prod(tensors.get_slice(name).get_shape()) for name in names)
    return total
