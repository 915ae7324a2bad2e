"""What the ledger is told of attempts, and when somebody waits for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from quorate.dispatch.attempt import Attempt
from quorate.dispatch.charges import reservation
from quorate.errors import Internal, QuorateError, Unavailable
from quorate.large_texts import SLICE
from quorate.ledger.charges import Charge
from quorate.ledger.ledger import Ledger
from quorate.request import Prompt
from quorate.threads import beside_loop

_log = logging.getLogger(__name__)


class Bookkeeper:
    """Writes down what attempts may cost, and what they did.

    Args:
        ledger: None keeps nothing.
        policy_version: Of the routing.
    """

    def __init__(self, ledger: Ledger | None, policy_version: str) -> None:
        self._ledger = ledger
        self._policy_version = policy_version
        self._writing: set[asyncio.Task[None]] = set()

    async def reserve(self, attempt: Attempt) -> None:
        """Writes down that an attempt begins.

        Only one that asks a remote waits until that is on disk: the others can spend no dollar, and
        the ledger writes down in order.

        Raises:
            Unavailable: The ledger cannot be written, and a remote must not be asked unseen.
        """
        ledger = self._ledger
        if ledger is None:
            return
        prompt = attempt.request.prompt
        prompt_hash = await _worked_out(prompt, lambda: ledger.hash_prompt(prompt.canonical_text))
        attempt.reservation = reservation(attempt, self._policy_version, prompt_hash)
        number = attempt.attempt_id

        def tell(error: QuorateError) -> None:
            _log.error("attempt %s is not in the ledger: %s", number, error.message)

        try:
            if attempt.remote is None:
                ledger.reserve_soon(attempt.reservation, tell)
            else:
                await ledger.reserve(attempt.reservation)
        except Unavailable as error:
            if attempt.remote is not None:
                attempt.reservation = None
                raise
            tell(error)

    async def write(self, row: Charge | None, attempt: Attempt) -> None:
        """Turns the reservation of an attempt into its charge; logs where that cannot be."""
        if self._ledger is None or row is None or attempt.reservation is None:
            return
        if self._ledger.stores_prompts:
            prompt = attempt.request.prompt
            text = await _worked_out(prompt, lambda: prompt.canonical_text)
            row = replace(row, prompt_text=text)
        try:
            try:
                await self._ledger.settle(row)
            except Internal as error:
                # No row is no reason to leave the reservation for the next start.
                _log.error("attempt %s is not kept as it was: %s", row.attempt_id, error.message)
                lost = attempt.reservation.lost(row.finished_at)
                await self._ledger.settle(replace(lost, outcome=row.outcome))
        except (Unavailable, Internal) as error:
            # The answer was given: it is not taken back because it could not be written down.
            _log.error("attempt %s could not be settled: %s", row.attempt_id, error.message)

    def write_later(self, row: Charge | None, attempt: Attempt) -> None:
        """The same in the background."""
        if row is None:
            return
        task = asyncio.ensure_future(self.write(row, attempt))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def flush(self) -> None:
        """Waits until all that was given for the background is written."""
        while self._writing:
            await asyncio.gather(*self._writing)


async def _worked_out(prompt: Prompt, make: Callable[[], str]) -> str:
    """What is made of a prompt; of a large one it takes milliseconds, and is made on a thread."""
    return make() if prompt.size_bytes <= SLICE else await beside_loop(make)
