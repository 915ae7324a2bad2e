"""An encoder's process with a tokenizer that dies, hangs or waits where a prompt says so."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from quorate.engines.encoding_budget import spend
from quorate.engines.prompt_encoding import PromptEncoder
from quorate.engines.worker.encoder import serving
from quorate.request import Prompt

COMMAND = (sys.executable, "-m", "support.encoder_processes")


class FragileEncoder(PromptEncoder):
    """Encodes a text as its characters. ``CRASH``, ``LOOP`` and ``WAIT`` in it do as they say.

    ``UNTIL path`` waits until there is such a file.
    """

    def __init__(self, identity: str) -> None:
        self.context_length = 0
        self._identity = identity

    @property
    def identity(self) -> str:
        return self._identity

    def encode(self, prompt: Prompt) -> list[int]:
        text = "\n".join(prompt.texts)
        if "CRASH" in text:
            os.kill(os.getpid(), signal.SIGSEGV)
        while "LOOP" in text:
            pass
        while "WAIT" in text:
            # Noticed when it is cancelled.
            time.sleep(0.001)
            spend(0)
        path = text.partition("UNTIL ")[2]
        while path and not Path(path).exists():
            time.sleep(0.001)
        return list(text.encode())

    def encode_continuation(self, text: str) -> list[int]:
        return [os.getpid()]


class _Engine:
    """What the registry would find."""

    def load_encoder(self, path: str, options: Any) -> FragileEncoder:
        return FragileEncoder(Path(path).read_text() if options else "any")


def main() -> None:
    from quorate.engines.worker.encoder.main import main as encoder_main

    serving.find_engine = lambda name: _Engine()  # type: ignore[assignment,return-value]
    sys.exit(encoder_main())


if __name__ == "__main__":
    main()
