"""Facts about a checkpoint folder, from its configuration and the headers of its weight files.

A checkpoint is what ``save_pretrained`` of ``transformers`` writes: ``config.json``, weights as
safetensors in one file or in several with an index, and the files of the tokenizer. No weight is
loaded, and nothing that could run code is opened.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quorate_registry.checkpoint_config import CONFIG_NAME, CheckpointConfig, read_config
from quorate_registry.errors import BrokenFile
from quorate_registry.repository_paths import is_sound
from quorate_registry.safetensors_header import SafeTensor, read_header
from quorate_registry.untrusted import opened, read_object

INDEX_NAME = "model.safetensors.index.json"

_MAX_INDEX_BYTES = 1 << 25
_MAX_TOKENIZER_CONFIG_BYTES = 1 << 24
_MAX_TEMPLATE_BYTES = 1 << 20
_PACKED = ("U8", "I32", "U32", "I64", "U64")
"""Types that hold several quantised weights in one element."""


@dataclass(frozen=True)
class CheckpointFacts:
    """What the files of a checkpoint say about its model; 0, "" or None where they say nothing.

    Attributes:
        path: the folder.
        config: what its configuration says.
        parameters: number of weights in all tensors; None where they are packed, several in one
            element, so that they cannot be counted from outside.
        dtype: type of most of the weights, such as ``BF16``.
        tokenizer: class of the tokenizer.
        chat_template: Jinja source, or None for a model without one.
        file_bytes: size of all files in the folder.
        tensor_bytes: size of the weights in them.
    """

    path: Path
    config: CheckpointConfig
    parameters: int | None
    dtype: str
    tokenizer: str
    chat_template: str | None
    file_bytes: int
    tensor_bytes: int

    @property
    def context_length(self) -> int:
        """Longest context, in tokens."""
        return self.config.context_length

    def memory_estimate(self, context_tokens: int) -> int | None:
        """Bytes of weights and KV cache with room for so many tokens, of all sessions together.

        Both are upper bounds: an engine may narrow float32 weights, and sliding windows need less.
        What the engine itself takes comes on top. None where the KV cache is not known.
        """
        if self.config.kv_bytes_per_token is None:
            return None
        return self.tensor_bytes + max(context_tokens, 0) * self.config.kv_bytes_per_token


def read_checkpoint(folder: Path) -> CheckpointFacts:
    """Read the facts of a checkpoint and check that its files fit each other.

    Raises:
        BrokenFile: a file is missing, cannot be read, or contradicts itself or another.
    """
    if not folder.is_dir():
        raise BrokenFile(folder, "is not a folder" if folder.exists() else "does not exist")
    if not (folder / CONFIG_NAME).is_file():
        raise BrokenFile(folder, "is a folder without config.json, so no model checkpoint")
    config = read_config(folder / CONFIG_NAME)
    tensors = _tensors(folder)
    bytes_by_type: Counter[str] = Counter()
    for tensor in tensors:
        bytes_by_type[tensor.dtype] += tensor.size_bytes
    dtype = bytes_by_type.most_common(1)[0][0]
    packed = bool(config.quantisation) and dtype in _PACKED
    tokenizer, template = _tokenizer(folder)
    return CheckpointFacts(
        path=folder,
        config=config,
        parameters=None if packed else sum(tensor.elements for tensor in tensors),
        dtype=dtype,
        tokenizer=tokenizer,
        chat_template=template,
        file_bytes=folder_bytes(folder),
        tensor_bytes=bytes_by_type.total(),
    )


def read_index(folder: Path) -> Mapping[str, str] | None:
    """Which file holds which tensor, or None for a checkpoint without an index.

    Raises:
        BrokenFile: the index cannot be read, or names files outside the folder.
    """
    path = folder / INDEX_NAME
    if not path.exists():
        return None
    places = read_object(path, _MAX_INDEX_BYTES).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise BrokenFile(path, "has no table weight_map")
    for name, place in places.items():
        sound = isinstance(place, str) and place.endswith(".safetensors") and is_sound(place)
        if not sound:
            raise BrokenFile(path, f"puts the tensor {name!r} into {place!r}, no file of weights")
    return places


def folder_files(folder: Path) -> list[str]:
    """Paths of the files in a folder and the folders in it, from there, sorted.

    What is hidden, such as ``.git``, is no part of a checkpoint.
    """
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        inside = Path(place).relative_to(folder)
        found += [(inside / name).as_posix() for name in names if not name.startswith(".")]
    return sorted(found)


def folder_bytes(folder: Path) -> int:
    """Size of these files; a link counts as what it leads to."""
    total = 0
    for path in folder_files(folder):
        with contextlib.suppress(OSError):
            total += (folder / path).stat().st_size
    return total


def _tensors(folder: Path) -> list[SafeTensor]:
    index = read_index(folder)
    tensors = _indexed(folder, index) if index is not None else _listed(folder)
    if not tensors:
        raise BrokenFile(folder, "holds no tensors, so no model")
    return tensors


def _listed(folder: Path) -> list[SafeTensor]:
    """The tensors of all files, where there is no index."""
    files = sorted(path for path in folder.glob("*.safetensors") if path.is_file())
    if not files:
        raise BrokenFile(folder, "holds no weights as safetensors, the only kind that is read")
    owners: dict[str, Path] = {}
    tensors = []
    for file in files:
        for tensor in read_header(file):
            if tensor.name in owners:
                other = owners[tensor.name].name
                raise BrokenFile(file, f"holds the tensor {tensor.name!r}, as does {other}")
            owners[tensor.name] = file
            tensors.append(tensor)
    return tensors


def _indexed(folder: Path, index: Mapping[str, str]) -> list[SafeTensor]:
    """The tensors that an index names; a file beside them counts for nothing."""
    wanted: dict[str, list[str]] = {}
    for name, place in index.items():
        wanted.setdefault(place, []).append(name)
    tensors: list[SafeTensor] = []
    for place, names in sorted(wanted.items()):
        if not (folder / place).is_file():
            raise BrokenFile(folder, f"lacks the file {place}, which its index names")
        held = {tensor.name: tensor for tensor in read_header(folder / place)}
        for name in names:
            if name not in held:
                reason = f"lacks the tensor {name!r}, which the index puts there"
                raise BrokenFile(folder / place, reason)
        tensors += held.values()
    return tensors


def _tokenizer(folder: Path) -> tuple[str, str | None]:
    """Class of the tokenizer and chat template, as far as the folder has them."""
    path = folder / "tokenizer_config.json"
    config = read_object(path, _MAX_TOKENIZER_CONFIG_BYTES) if path.exists() else {}
    name = config.get("tokenizer_class")
    template = _template_file(folder / "chat_template.jinja") or _template(config)
    return (name if isinstance(name, str) else ""), template


def _template_file(path: Path) -> str | None:
    try:
        if not path.is_file():
            return None
    except OSError as error:
        raise BrokenFile(path, f"cannot be read: {error.strerror or error}") from error
    with opened(path) as file:
        return file.read(_MAX_TEMPLATE_BYTES).decode("utf-8", errors="replace") or None


def _template(config: Mapping[str, Any]) -> str | None:
    template = config.get("chat_template")
    if isinstance(template, list):
        # Several, each with a name; the one named default is meant where none is chosen.
        named = {t.get("name"): t.get("template") for t in template if isinstance(t, dict)}
        template = named.get("default")
    return template if isinstance(template, str) and template else None
