"""One prompt on its way through an encoder."""

from __future__ import annotations

import asyncio
import dataclasses

from quorate.engines.worker.encoder.lanes import Lane
from quorate.engines.worker.messages import Encode, EncodeContinuation
from quorate.request import TextPrompt


@dataclasses.dataclass(eq=False, slots=True)
class Job:
    """One prompt.

    Attributes:
        field: What its caller calls it.
        lane: Where it waits.
        tries: Processes that ended while they had it.
        parts: Tokens that were told so far.
        line: The message as it crosses the wire, where it was large enough to be written apart.
    """

    message: Encode | EncodeContinuation
    field: str
    lane: Lane
    tokens: asyncio.Future[list[int]] = dataclasses.field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    tries: int = 0
    parts: list[int] = dataclasses.field(default_factory=list)
    line: bytes | None = None

    @property
    def key(self) -> bytes:
        """What a quarantine knows its prompt by."""
        if isinstance(self.message, Encode):
            prompt = self.message.prompt
            special = isinstance(prompt, TextPrompt) and prompt.parse_special
            text = f"{special} {prompt.canonical_text}"
        else:
            text = self.message.text
        return f"{self.field} {text}".encode("utf-8", "surrogatepass")

    def fail(self, error: Exception) -> None:
        """Hands an error to whoever waits."""
        if not self.tokens.done():
            self.tokens.set_exception(error)
            # Whoever asked may have left meanwhile.
            self.tokens.exception()
