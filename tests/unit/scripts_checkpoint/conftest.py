from __future__ import annotations

import sys
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter

from support.gguf_files import finish, smollm2, stories260k
from support.repository import ROOT

sys.path.insert(0, str(ROOT / "scripts"))

from checkpoint.source import Source, read_source

_BY_KIND = {
    str: GGUFValueType.STRING,
    bool: GGUFValueType.BOOL,
    int: GGUFValueType.UINT32,
    float: GGUFValueType.FLOAT32,
}


@cache
def _read_once(path: Path) -> Source:
    return read_source(path)


def source_of(path: Path) -> Source:
    """A GGUF file; SmolLM2, which takes seconds, is read once."""
    return _read_once(path) if path == smollm2() else read_source(path)


@dataclass
class Parts:
    """What a GGUF file consists of, to be changed and written again."""

    metadata: dict[str, tuple[Any, Any, Any]]
    tensors: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    kinds: dict[str, GGMLQuantizationType] = field(default_factory=dict)

    def set(self, **values: Any) -> Parts:
        """Changes metadata; dots are spelled as two underscores, None takes an entry away."""
        for name, value in values.items():
            key = name.replace("__", ".")
            if value is None:
                self.metadata.pop(key, None)
            elif isinstance(value, list):
                self.metadata[key] = (value, GGUFValueType.ARRAY, _BY_KIND[type(value[0])])
            else:
                self.metadata[key] = (value, _BY_KIND[type(value)], None)
        return self

    def copy(self) -> Parts:
        return Parts(deepcopy(self.metadata), dict(self.tensors), dict(self.kinds))

    def write(self, path: Path) -> Path:
        writer = GGUFWriter(path, self.metadata["general.architecture"][0])
        for key, (value, kind, sub_kind) in self.metadata.items():
            if key != "general.architecture":
                writer.add_key_value(key, value, kind, sub_kind)
        for name, tensor in self.tensors.items():
            writer.add_tensor(name, tensor, raw_dtype=self.kinds.get(name))
        finish(writer)
        return path


def parts_of(path: Path, *, tensors: bool) -> Parts:
    reader = GGUFReader(path)
    metadata = {
        name: (one.contents(), one.types[0], one.types[1] if one.types[1:] else None)
        for name, one in reader.fields.items()
        if not name.startswith("GGUF.")
    }
    parts = Parts(metadata)
    if tensors:
        parts.tensors = {one.name: np.array(one.data) for one in reader.tensors}
    return parts


@pytest.fixture(scope="session")
def _stories() -> Parts:
    return parts_of(stories260k(), tensors=True)


@pytest.fixture
def stories(_stories: Parts) -> Parts:
    """stories260K taken apart."""
    return _stories.copy()


@pytest.fixture(scope="session")
def smollm2_vocabulary() -> Parts:
    """SmolLM2's metadata, without its weights; not to be changed in place."""
    return parts_of(smollm2(), tensors=False)


@pytest.fixture
def stories_variant(stories: Parts, tmp_path: Path) -> Callable[..., Path]:
    """Writes stories260K with other metadata."""

    def write(**values: Any) -> Path:
        return stories.set(**values).write(tmp_path / "variant.gguf")

    return write
