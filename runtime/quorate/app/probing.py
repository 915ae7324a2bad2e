"""Measures models that were never measured here, while nobody asks for anything."""

from __future__ import annotations

import asyncio
import itertools
import logging
from contextlib import aclosing

from quorate.dispatch import Dispatcher
from quorate.errors import QuorateError
from quorate.fleet.fleet import Fleet
from quorate.fleet.status import ModelState
from quorate.request import (
    PROBE_KEY,
    Plan,
    Request,
    SamplingOptions,
    StoppingOptions,
    TextPrompt,
    WeightedModel,
)

_IDLE_SECONDS = 2.0
_PROMPT_WORDS = (16, 96)
_ANSWER_TOKENS = (4, 24)
_WORDS = "rain falls over the quiet harbour while two boats wait for the evening tide to turn"

_log = logging.getLogger(__name__)


class Prober:
    """Probes each model once it is ready: two lengths of prompts by two lengths of answers.

    A probe begins when nothing has run for ``idle_seconds``, and stands in the ledger as such.
    """

    def __init__(
        self, fleet: Fleet, dispatcher: Dispatcher, idle_seconds: float = _IDLE_SECONDS
    ) -> None:
        self._fleet = fleet
        self._dispatcher = dispatcher
        self._idle_seconds = idle_seconds

    async def run(self) -> None:
        """Probes for as long as the service lives."""
        tried: set[str] = set()
        async with aclosing(self._fleet.watch()) as statuses:
            async for status in statuses:
                if status.state is not ModelState.READY or status.id in tried:
                    continue
                tried.add(status.id)
                await self._probe(status.id)

    async def _probe(self, model: str) -> None:
        for number, (words, tokens) in enumerate(itertools.product(_PROMPT_WORDS, _ANSWER_TOKENS)):
            await self._until_idle()
            if not number and not self._is_cold(model):
                return
            try:
                await self._ask(model, number, words, tokens)
            except QuorateError as error:
                _log.info("model %s could not be probed: %s", model, error.message)
                return

    async def _ask(self, model: str, number: int, words: int, tokens: int) -> None:
        # The number comes first, so that no probe finds its prompt in the prefix cache.
        text = " ".join(itertools.islice(itertools.cycle(_WORDS.split()), words))
        request = Request(
            prompt=TextPrompt(f"{number + 1}. {text}"),
            plan=Plan((WeightedModel(model),)),
            sampling=SamplingOptions(temperature=0.0),
            stopping=StoppingOptions(max_tokens=tokens),
            request_id=f"probe-{model}-{number + 1}",
            key=PROBE_KEY,
            probe=True,
        )
        async with aclosing(self._dispatcher.generate(request)) as events:
            async for _ in events:
                if self._dispatcher.running > 1:
                    # Somebody asks for something: what is measured beside it says little.
                    return

    async def _until_idle(self) -> None:
        quiet = 0.0
        step = self._idle_seconds / 4
        while quiet < self._idle_seconds:
            await asyncio.sleep(step)
            quiet = 0.0 if self._dispatcher.running else quiet + step

    def _is_cold(self, model: str) -> bool:
        known = self._dispatcher.recorder.costs.snapshot().get(f"single:{model}")
        return known is None or known.run.cold
