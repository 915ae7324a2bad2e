"""What a server can tell of itself, whatever the API that asks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """An engine that this server knows.

    Attributes:
        installed: Whether its library is there, or it needs none.
        version: Of its library; "" where it has none, or nobody knows.
    """

    name: str
    installed: bool = True
    version: str = ""


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What stays the same for as long as a server runs; texts are "" where nobody knows.

    Attributes:
        commit: Commit that the program was built from.
        started_at: In seconds since 1970.
        cores: Processor cores that it may use.
        memory_bytes: Memory of the machine.
        gpus: Model names of its NVIDIA GPUs.
        system: Operating system and architecture.
    """

    version: str = ""
    commit: str = ""
    started_at: float = 0.0
    engines: tuple[EngineFacts, ...] = ()
    cpu: str = ""
    cores: int = 0
    memory_bytes: int = 0
    gpus: tuple[str, ...] = ()
    system: str = ""
