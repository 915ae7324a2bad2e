"""One encoder process, as the coordinator sees it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from quorate.engines.confinement.plan import Isolation, of_an_encoder
from quorate.engines.registry import process_needs
from quorate.engines.spec import EngineSpec
from quorate.engines.worker.messages import LoadTokenizer, ToWorker
from quorate.engines.worker.transport.contract import OnLost, OnMessage
from quorate.engines.worker.transport.spawned import SpawnedProcess

ENCODER_COMMAND = (sys.executable, "-P", "-m", "quorate.engines.worker.encoder.main")


class EncoderLife:
    """A process and the way to it; it loads its tokenizer at once.

    Args:
        on_lost: Told why it is of no more use, after its last message; once.

    Raises:
        OSError: It cannot be started; nothing is left behind.
    """

    def __init__(
        self,
        command: Sequence[str],
        isolation: Isolation,
        spec: EngineSpec,
        cores: Sequence[int],
        on_message: OnMessage,
        on_lost: OnLost,
    ) -> None:
        self._on_lost: Callable[[str], None] | None = on_lost
        needs = process_needs(spec.engine, spec.path, spec.options)
        self._process = SpawnedProcess(
            command,
            spec,
            1,
            (),
            of_an_encoder(spec.model, isolation, needs),
            isolation.secrets,
            f"{spec.model} encoder",
            on_message,
            self._lose,
        )
        self.send(LoadTokenizer(spec.engine, spec.path, spec.options, cores))

    @property
    def pid(self) -> int | None:
        """Id of its process, or None once that has ended."""
        return self._process.pid

    def send(self, message: ToWorker | bytes) -> None:
        """Sends a message, or its line, soon and in order; dropped where the process is gone."""
        self._process.send(message)

    def kill(self, cause: str) -> None:
        """Kills it, and counts it as lost now for this cause."""
        self._process.kill()
        self._lose(cause)

    async def close(self, seconds: float) -> None:
        """Kills it without telling anyone, and waits for its end as long."""
        self._on_lost = None
        self._process.close_link()
        self._process.kill()
        await self._process.ends_within(seconds)

    def _lose(self, cause: str) -> None:
        on_lost, self._on_lost = self._on_lost, None
        self._process.close_link()
        if on_lost is not None:
            on_lost(cause)
