"""Prompts that processes died of. Pure but for the clock that it is given.

A prompt is known by a hash, so that nothing of it is kept, and forgotten after a while: a death may
have had another cause, and software is replaced.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b

from quorate.clocks import since_boot
from quorate.errors import PromptQuarantined

DEATHS = 2
"""After so many, in a row, a prompt is refused."""

ANOTHER_FILE = "its file was replaced by another one; unload the model and load it anew"
"""Why an encoder is of no use to the worker beside it."""

SPOKE = "spoke out of turn"
"""What the cause of a loss begins with where a worker said what it may not; see ``claims``."""

# How processes end by the hand of somebody else, or after they gave up what they could not stop.
_OTHER_ENDS = (
    "killed by SIGKILL",
    "exited with status 0",
    "stopped by a signal",
    "unloaded",
    SPOKE,
    ANOTHER_FILE,
)
_MOST = 256
_REMEMBERED_SECONDS = 900.0


class Quarantine:
    """Counts, for the prompts of one model, the processes that died of each.

    Args:
        model: Its id, for messages.
        clock: Seconds that never go back, and go on while the machine sleeps.
    """

    def __init__(self, model: str, clock: Callable[[], float] = since_boot) -> None:
        self._model = model
        self._clock = clock
        # Deaths in a row, the cause of the last and its time, the latest at the end.
        self._deaths: dict[bytes, tuple[int, str, float]] = {}

    def __len__(self) -> int:
        """Prompts that are suspected; where there are none, nothing need be asked."""
        return len(self._deaths)

    def blame(self, prompt: bytes, cause: str) -> bool:
        """A process died while it worked on a prompt; returns whether that is refused from now on.

        Args:
            prompt: What it is known by; equal bytes for equal prompts.
            cause: One line, such as ``killed by SIGSEGV``.
        """
        key = _key(prompt)
        count = self.suspicion(prompt) + 1
        self._deaths.pop(key, None)
        self._deaths[key] = count, cause, self._clock()
        while len(self._deaths) > _MOST:
            del self._deaths[next(iter(self._deaths))]
        return count >= DEATHS

    def absolve(self, prompt: bytes) -> None:
        """A process survived a prompt: earlier deaths had another cause."""
        self._deaths.pop(_key(prompt), None)

    def suspicion(self, prompt: bytes) -> int:
        """Of how many processes in a row it was the death."""
        return self._remembered(prompt)[0]

    def check(self, field: str, prompt: bytes) -> None:
        """Lets a prompt pass that may be tried.

        Raises:
            PromptQuarantined: It may not.
        """
        if self.suspicion(prompt) >= DEATHS:
            raise self.refusal(field, prompt)

    def refusal(self, field: str, prompt: bytes) -> PromptQuarantined:
        """What whoever asks with a refused prompt is told."""
        count, cause = self._remembered(prompt)
        return PromptQuarantined(
            field,
            f"is refused for model {self._model}: {count} processes in a row ended while they "
            f"worked on it (the last: {cause}); change it, or ask another model",
        )

    def _remembered(self, prompt: bytes) -> tuple[int, str]:
        key = _key(prompt)
        count, cause, when = self._deaths.get(key, (0, "", 0.0))
        if count and self._clock() - when > _REMEMBERED_SECONDS:
            del self._deaths[key]
            return 0, ""
        return count, cause


def _key(prompt: bytes) -> bytes:
    return blake2b(prompt, digest_size=16).digest()


def is_of_the_prompt(cause: str) -> bool:
    """Whether a process that ended for this cause may have died of what it worked on."""
    return not cause.startswith(_OTHER_ENDS)
