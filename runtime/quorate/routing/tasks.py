"""A cheap guess at the kind of a prompt, learned from tagged prompts. Pure; numpy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

BUCKETS = 4096
"""Buckets that sequences of bytes are hashed into."""

MAX_BYTES = 4096
"""A prompt is judged by its first bytes, so that a guess takes well below a millisecond."""

_LENGTHS = (3, 4)
_SMOOTHING = 0.1
# Knuth's multiplier for hashing by multiplication (The Art of Computer Programming, 6.4).
_MULTIPLIER = 2654435761
_SHIFT = 20


@dataclass(frozen=True, slots=True)
class TaskClassifier:
    """Multinomial naive Bayes on hashed sequences of three and four bytes, in lower case.

    Source: McCallum and Nigam, A comparison of event models for naive Bayes text classification,
    1998. It has no settings to tune, is trained in one pass and does well with few examples.

    Attributes:
        tasks: The tags it tells apart.
        scores: Log-probability of each bucket, one row of ``BUCKETS`` for each task.
        priors: Log-probability of each task.
    """

    tasks: tuple[str, ...]
    scores: tuple[tuple[float, ...], ...]
    priors: tuple[float, ...]
    _matrix: npt.NDArray[np.float32] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_matrix", np.array(self.scores, np.float32))

    def task(self, prompt: str) -> str:
        """The most probable tag of a prompt; the most frequent one where nothing speaks."""
        odds = np.array(self.priors) + self._matrix @ _counts(prompt)
        return self.tasks[int(np.argmax(odds))]


def train_classifier(prompts: Sequence[str], tags: Sequence[str]) -> TaskClassifier:
    """Learns from prompts and the tag of each; there must be at least one."""
    tasks = tuple(sorted(set(tags)))
    counts = np.zeros((len(tasks), BUCKETS))
    cases = np.zeros(len(tasks))
    for prompt, tag in zip(prompts, tags, strict=True):
        row = tasks.index(tag)
        counts[row] += _counts(prompt)
        cases[row] += 1
    smoothed = counts + _SMOOTHING
    scores = np.log(smoothed / smoothed.sum(axis=1, keepdims=True))
    priors = np.log(cases / cases.sum())
    return TaskClassifier(
        tasks,
        tuple(tuple(round(float(one), 4) for one in row) for row in scores),
        tuple(float(one) for one in priors),
    )


def _counts(prompt: str) -> npt.NDArray[np.float32]:
    raw = prompt[:MAX_BYTES].lower().encode("utf-8", "surrogatepass")[:MAX_BYTES]
    text = np.frombuffer(raw, np.uint8).astype(np.uint64)
    counts = np.zeros(BUCKETS, np.float32)
    for length in _LENGTHS:
        if len(text) < length:
            continue
        codes = np.full(len(text) - length + 1, length, np.uint64)
        for offset in range(length):
            codes = codes * np.uint64(257) + text[offset : len(text) - length + 1 + offset]
        hashed = (codes * np.uint64(_MULTIPLIER) & np.uint64(0xFFFFFFFF)) >> np.uint64(_SHIFT)
        counts += np.bincount(hashed.astype(np.int64), minlength=BUCKETS).astype(np.float32)
    return counts
