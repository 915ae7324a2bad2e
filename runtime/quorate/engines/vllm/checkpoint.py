"""What can be said of a checkpoint's folder before vLLM sees it."""

from __future__ import annotations

import json
import math
from pathlib import Path

from quorate.errors import ModelUnusable


def check_folder(path: str, subject: str) -> None:
    """Refuses what cannot be a checkpoint.

    Raises:
        ModelUnusable: No folder, no readable ``config.json``, or no safetensors file.
    """
    folder = Path(path)
    if not folder.is_dir():
        kind = "is a file; vLLM loads checkpoint folders" if folder.exists() else "does not exist"
        raise ModelUnusable(subject, f"{path} {kind}")
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelUnusable(subject, f"{path} has no config.json") from error
    except (OSError, ValueError) as error:
        raise ModelUnusable(subject, f"{path}/config.json cannot be read: {error}") from error
    if not isinstance(config, dict) or not config.get("architectures"):
        raise ModelUnusable(subject, f"{path}/config.json names no architecture")
    if not any(folder.glob("*.safetensors")):
        raise ModelUnusable(subject, f"{path} has no safetensors file; pickles are never loaded")


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
