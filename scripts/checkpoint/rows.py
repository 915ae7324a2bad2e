"""Token ids and log-probs of the texts of a verification, as one side computed them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from checkpoint.errors import Refused

TEXTS = (
    "Once upon a time there was a little cat. She loved to play in the garden with her friend.",
    "The capital of France is Paris, and the capital of Italy is Rome. The capital of Spain is",
    "Water boils at 100 degrees Celsius; at 8,848 metres it boils at about 71. Why? Because the",
    "def fibonacci(n):\n    if n < 2:\n        return n\n    return fibonacci(n - 1) + fibonacci(",
    "Größe, naïve, Ελλάδα, 東京, привет: many scripts. 👍🏽\n\nA second paragraph is\ttab",
    "1. Buy milk.\n2. Call the doctor.\n3. Write a letter to grandmother and thank her for the",
)
"""What both sides read: prose, facts, figures, code, other scripts, a list."""

Rows = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Reference:
    """llama.cpp's side.

    Attributes:
        texts: What was read.
        ids: Token ids of each text, BOS included where the model wants one.
        rows: float32[tokens, vocabulary] log-probs after each token, of each text.
    """

    texts: tuple[str, ...]
    ids: tuple[tuple[int, ...], ...]
    rows: tuple[Rows, ...]

    def save(self, path: Path) -> None:
        """Writes a file that `load` reads, of some tens of megabytes."""
        arrays: dict[str, npt.NDArray[Any]] = {
            f"rows_{index}": rows for index, rows in enumerate(self.rows)
        }
        arrays["texts"] = np.array(json.dumps([self.texts, self.ids]))
        with path.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: Path) -> Reference:
        """Reads what `save` wrote.

        Raises:
            Refused: The file is missing, or something else.
        """
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                texts, ids = json.loads(str(arrays["texts"]))
                rows = tuple(arrays[f"rows_{index}"] for index in range(len(ids)))
        except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
            raise Refused(f"{path} is no file of --write-reference: {error}") from error
        return cls(tuple(texts), tuple(tuple(one) for one in ids), rows)


def reference_of(path: Path, texts: Sequence[str] = TEXTS) -> Reference:
    """Computes llama.cpp's side.

    Raises:
        Refused: llama.cpp is not installed, or does not load the file.
    """
    # Imported here for the sake of the module's other readers, who may lack llama.cpp.
    from checkpoint.native import NativeModel

    model = NativeModel(path)
    try:
        ids = tuple(tuple(model.encode(text)) for text in texts)
        return Reference(tuple(texts), ids, tuple(model.log_probs(ids)))
    finally:
        model.close()
