"""What a checkpoint's folder holds about its tokens."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tokenizers

from quorate.engines.vllm.failures import one_line
from quorate.errors import ModelUnusable

_CODE_WANTED = "trust_remote_code"
_NO_CODE = "it wants to run code of the checkpoint, which is never done; save it without auto_map"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the files beside the tokenizer say.

    Attributes:
        tokens: How many tokens the model has log-probs for, or None where no file says it.
        ends: Ids that end an answer.
    """

    tokens: int | None
    ends: frozenset[int]


def load_tokenizer(folder: str | Path) -> Any:
    """Loads the tokenizer as transformers and vLLM do, without running code of the checkpoint.

    Raises:
        ModelUnusable: There is none, it is broken, or it exists as Python code alone.
    """
    # Imported here: it takes seconds.
    from transformers import AutoTokenizer

    subject = Path(folder).name
    if not Path(folder).is_dir():
        raise ModelUnusable(
            subject, f"{folder} is not a folder; vLLM loads Hugging Face checkpoints"
        )
    try:
        loaded = AutoTokenizer.from_pretrained(
            str(folder), trust_remote_code=False, local_files_only=True
        )
    # The library reads many formats, each of which fails in its own way.
    except Exception as error:
        reason = _NO_CODE if _CODE_WANTED in str(error) else one_line(error)
        raise ModelUnusable(subject, f"its tokenizer cannot be loaded: {reason}") from error
    if not isinstance(getattr(loaded, "backend_tokenizer", None), tokenizers.Tokenizer):
        problem = "its tokenizer is not one that a tokenizer.json can hold; save it as such"
        raise ModelUnusable(subject, problem)
    return loaded


def read_settings(folder: str | Path) -> Settings:
    """Reads ``config.json`` and ``generation_config.json``; either may be absent.

    Raises:
        ModelUnusable: One of them is broken.
    """
    config, generation = (
        _read_json(Path(folder), name) for name in ("config.json", "generation_config.json")
    )
    # Models that also see or hear keep what is about text apart.
    tables = (config, _table(config.get("text_config")), generation)
    sizes = [table["vocab_size"] for table in tables if _is_id(table.get("vocab_size"))]
    return Settings(
        tokens=sizes[0] if sizes else None,
        ends=frozenset(token for table in tables for token in _ends(table)),
    )


def _ends(table: Mapping[str, Any]) -> Iterator[int]:
    named = table.get("eos_token_id")
    yield from filter(_is_id, named if isinstance(named, list) else (named,))


def _is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _read_json(folder: Path, name: str) -> dict[str, Any]:
    try:
        return _table(json.loads((folder / name).read_text("utf-8")))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ModelUnusable(folder.name, f"{name} cannot be read: {one_line(error)}") from error
