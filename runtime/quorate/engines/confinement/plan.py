"""What a process is to be allowed, decided by the coordinator, carried out by the process itself.

It travels in a variable of the process's environment, where it is there before anything else is,
and from where its own children get it no further than the kernel holds them to it anyway.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace

VARIABLE = "QUORATE_CONFINEMENT"

_MAX_DESCRIPTORS = 256
# Rows of 256 sessions over the largest vocabularies take less than a gigabyte of shared memory,
# which counts as a file.
_MAX_FILE_BYTES = 8 << 30
_ENCODER_FILE_BYTES = 1 << 20
_WORKER_SCORE, _ENCODER_SCORE = 500, 600


@dataclass(frozen=True, slots=True)
class Isolation:
    """What the configuration says of the processes of a model.

    Attributes:
        sandbox: Whether they are kept from files, networks and other processes.
        secrets: Variables of the environment that hold secrets, whatever they are called.
    """

    sandbox: bool = True
    secrets: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Needs:
    """What an engine's process needs beside Python, its libraries and the devices it computes on.

    Attributes:
        reads: Files, and folders with all below them; what is missing is passed over.
        writes: Folders, or files, that it may also change.
        loopback: Whether it talks to itself or its children over loopback.
        descriptors: Most open files.
    """

    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    loopback: bool = False
    descriptors: int = _MAX_DESCRIPTORS


@dataclass(frozen=True, slots=True)
class Confinement:
    """What one process may do.

    Attributes:
        title: Model it serves, for whoever lists processes.
        sandbox: See ``Isolation``; without it only ``title``, ``oom_score`` and no core files hold.
        reads: See ``Needs``, as the next three.
        file_bytes: Largest file it may write, shared memory included.
        oom_score: How much sooner than its parent it is killed where memory runs out, of 1000.
    """

    title: str
    sandbox: bool = True
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    loopback: bool = False
    descriptors: int = _MAX_DESCRIPTORS
    file_bytes: int = _MAX_FILE_BYTES
    oom_score: int = _WORKER_SCORE

    def to_text(self) -> str:
        """One line; ``from_text`` reads it back."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> Confinement:
        """Reads what ``to_text`` wrote."""
        values = json.loads(text)
        for name in ("reads", "writes"):
            values[name] = tuple(values[name])
        return cls(**values)


def of_a_worker(model: str, isolation: Isolation, needs: Needs) -> Confinement:
    """Of the process that holds the weights."""
    return Confinement(
        model, isolation.sandbox, needs.reads, needs.writes, needs.loopback, needs.descriptors
    )


def of_an_encoder(model: str, isolation: Isolation, needs: Needs) -> Confinement:
    """Of the process that turns prompts into tokens: it writes nothing, and dies first."""
    worker = of_a_worker(model, isolation, needs)
    return replace(
        worker,
        title=f"enc:{model}",
        writes=(),
        loopback=False,
        file_bytes=_ENCODER_FILE_BYTES,
        oom_score=_ENCODER_SCORE,
    )
