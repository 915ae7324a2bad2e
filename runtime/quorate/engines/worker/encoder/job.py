"""One prompt on its way through an encoder."""

from __future__ import annotations

import asyncio
import dataclasses
from hashlib import blake2b

from quorate.engines.worker.encoder.lanes import Lane
from quorate.engines.worker.messages import Encode, EncodeContinuation
from quorate.large_texts import utf8
from quorate.request import TextPrompt

_KEY_BYTES = 32


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
    _key: bytes = b""

    @property
    def key(self) -> bytes:
        """What a quarantine knows its prompt by; of a long one it takes milliseconds, once."""
        if not self._key:
            self._key = blake2b(utf8(f"{self.field} {self._text}"), digest_size=_KEY_BYTES).digest()
        return self._key

    @property
    def _text(self) -> str:
        if not isinstance(self.message, Encode):
            return self.message.text
        prompt = self.message.prompt
        special = isinstance(prompt, TextPrompt) and prompt.parse_special
        return f"{special} {prompt.canonical_text}"

    def fail(self, error: Exception) -> None:
        """Hands an error to whoever waits."""
        if not self.tokens.done():
            self.tokens.set_exception(error)
            # Whoever asked may have left meanwhile.
            self.tokens.exception()
