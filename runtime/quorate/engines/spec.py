"""What is needed to load one model, as plain values that can cross a process boundary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """One model to load.

    Attributes:
        path: Weight file or checkpoint folder, or "" for engines that have neither.
        options: The engine's own options, already validated by its options class.
    """

    model: str
    engine: str
    path: str = ""
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
