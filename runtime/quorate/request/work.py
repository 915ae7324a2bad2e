"""The work of a request on a model, and what a unit of it costs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Work:
    """What a model computed for a request, added up.

    Attributes:
        prefill: Tokens of prompts that were computed, not those whose KV entries were reused; and
            those of an answer that were computed together with the ones before them.
        decode: Tokens that were decoded, one at a time.
        kv: Sum over the tokens of answers of the KV entries each attended to.
    """

    prefill: int = 0
    decode: int = 0
    kv: int = 0

    def __bool__(self) -> bool:
        """Whether anything was computed."""
        return bool(self.prefill or self.decode or self.kv)

    def __add__(self, other: Work) -> Work:
        return Work(self.prefill + other.prefill, self.decode + other.decode, self.kv + other.kv)

    def since(self, earlier: Work) -> Work:
        """What was added to an earlier sum; a sum that fell adds nothing."""
        return Work(
            max(0, self.prefill - earlier.prefill),
            max(0, self.decode - earlier.decode),
            max(0, self.kv - earlier.kv),
        )


@dataclass(frozen=True, slots=True)
class WorkCosts:
    """Energy of a unit of each kind of work, in one unit for all models of a machine.

    The defaults are relative: a token of a prompt shares its reading of the weights with the rest
    of its batch, a decoded one with few.

    Attributes:
        prefill: Of a token of a prompt.
        decode: Of a decoded token.
        kv: Of a KV entry that a decoded token attended to.
    """

    prefill: float = 1.0
    decode: float = 10.0
    kv: float = 0.0

    def of(self, work: Work) -> float:
        """The cost of some work."""
        return self.prefill * work.prefill + self.decode * work.decode + self.kv * work.kv
