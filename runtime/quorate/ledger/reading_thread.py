"""The thread that reads a ledger while another one writes it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from quorate.errors import SettingsError
from quorate.ledger.ledger_file import connect_read_only
from quorate.ledger.reader import LedgerReader
from quorate.threads import beside_loop

_log = logging.getLogger(__name__)
_Result = TypeVar("_Result")


class ReadingThread:
    """Asks the file of a ledger, one question after the other, and follows it to another place.

    Args:
        path: The file.

    Raises:
        SettingsError: It cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._reader = LedgerReader(connect_read_only(path))
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger-reader")
        self._closed = False

    async def ask(self, question: Callable[[LedgerReader], _Result]) -> _Result:
        """The answer to a question; raises what it raises."""
        return await beside_loop(lambda: question(self._reader), executor=self._thread)

    def follow(self, path: Path) -> None:
        """Asks the file at this path from now on; for any thread. Nothing once it is closed."""
        if not self._closed:
            # What cannot be begun now, since no thread can be started, is done before what is asked
            # of that thread later.
            with suppress(RuntimeError):
                self._thread.submit(self._reopen, path)

    async def close(self) -> None:
        """Answers what was asked, and closes the file. Once only."""
        self._closed = True
        await beside_loop(self._thread.shutdown)
        self._reader.close()

    def _reopen(self, path: Path) -> None:
        try:
            fresh = LedgerReader(connect_read_only(path))
        except SettingsError as error:
            _log.error("%s", error.message)
            return
        self._reader.close()
        self._reader = fresh
