"""One request of a caller that is several of ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

import pytest

from quorate.access.record import RequestRecord
from quorate.api.http.answering import _events
from quorate.errors import Overloaded
from quorate.request import Delta, Event, Finished, FinishReason, Request, TextPrompt, Usage

DEADLINE_SECONDS = 30.0


class Turns:
    def __init__(self) -> None:
        self.log: list[str] = []

    async def enter_alone(self) -> None:
        self.log.append("turn")


class Scripts:
    """A dispatcher whose answers are what a test says: events, or what ends them."""

    def __init__(self, *scripts: Sequence[Event | BaseException | None]) -> None:
        self.turns: Any = Turns()
        self._scripts = dict(zip("abcdefgh", scripts, strict=False))

    async def generate(self, request: Request) -> AsyncGenerator[Event, None]:
        try:
            for one in self._scripts[request.request_id]:
                if one is None:
                    await asyncio.Event().wait()
                elif isinstance(one, BaseException):
                    raise one
                else:
                    yield one
        finally:
            self.turns.log.append(f"{request.request_id} ended")

    @property
    def requests(self) -> list[Request]:
        return [Request(TextPrompt("x"), request_id=one) for one in self._scripts]


def delta(text: str) -> Delta:
    return Delta(text, ())


async def heard(scripts: Scripts) -> list[tuple[int, Event]]:
    answers = _events(scripts.generate, scripts.requests, scripts.turns.enter_alone)
    async with asyncio.timeout(DEADLINE_SECONDS), aclosing(answers) as events:
        return [one async for one in events]


async def test_events_of_all_answers_come_with_the_place_of_their_request() -> None:
    found = await heard(Scripts([delta("x"), delta("y")], [delta("z")]))
    assert sorted(found, key=lambda one: one[0]) == [
        (0, delta("x")),
        (0, delta("y")),
        (1, delta("z")),
    ]


@pytest.mark.parametrize("error", [Overloaded("full", 1.0), asyncio.CancelledError("nobody")])
async def test_an_answer_that_fails_ends_the_others_each_in_its_turn(error: BaseException) -> None:
    scripts = Scripts([delta("x"), None], [None], [delta("y"), error])
    with pytest.raises(type(error)) as caught:
        await heard(scripts)
    assert caught.value is error
    assert sorted(scripts.turns.log) == ["a ended", "b ended", "c ended", "turn", "turn"]
    assert scripts.turns.log.index("turn") < scripts.turns.log.index("a ended")


async def test_who_leaves_ends_each_answer_in_its_turn() -> None:
    scripts = Scripts([delta("x"), None], [None])
    async with asyncio.timeout(DEADLINE_SECONDS):
        events = _events(scripts.generate, scripts.requests, scripts.turns.enter_alone)
        assert await anext(events) == (0, delta("x"))
        await events.aclose()
    assert sorted(scripts.turns.log) == ["a ended", "b ended", "turn", "turn"]


def test_the_line_of_several_answers_tells_what_they_took_together() -> None:
    record = RequestRecord("POST /v1/completions", "r")
    for prompt, generated in ((3, 5), (4, 6)):
        record.note(Finished(FinishReason.MAX_TOKENS, Usage(prompt, generated, 1.0, 2.0)))
    assert record.usage is not None
    assert (record.usage.prompt_tokens, record.usage.generated_tokens) == (7, 11)
