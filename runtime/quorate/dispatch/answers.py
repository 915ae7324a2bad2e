"""Answers of one attempt: by a vote, by a cascade of votes, or by a remote."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from quorate.dispatch.attempt import Attempt, RemoteCall, Run
from quorate.dispatch.calling import calling_of, form_of
from quorate.dispatch.stopwatch import Stopwatch
from quorate.dispatch.voting import open_ensemble, steps
from quorate.ensemble.losses import Losses, Waits
from quorate.ensemble.tool_calls import telling_calls
from quorate.fleet.fleet import Fleet
from quorate.remotes.contract import (
    FailedCall,
    RemoteEnd,
    RemoteRequest,
    RemoteText,
    RemoteUsage,
)
from quorate.remotes.remote import Remote
from quorate.request import (
    Decision,
    Delta,
    FinishReason,
    Notice,
    NoticeKind,
    Request,
    ResponseOptions,
)

_STALL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Started:
    """The plan runs: from here on the request belongs to it, and no other stands in."""


Part: TypeAlias = Started | Delta | Notice | FinishReason
"""``Started``, then deltas and notices, at last why the answer ended."""


async def run_vote(
    decision: Decision,
    fleet: Fleet,
    request: Request,
    response: ResponseOptions,
    attempt: Attempt,
    max_tokens: int,
    *,
    waits: Waits,
) -> AsyncGenerator[Part, None]:
    """Runs one vote of an attempt and notes in it what it took; ``response`` is what steps show.

    ``waits`` is as in ``ensemble.losses.Losses``.
    """
    started_at = time.perf_counter()
    losses = Losses(decision.on_failure, waits, attempt.aside)
    held = partial(form_of, request, fleet.guides)
    opened = open_ensemble(fleet, request.prompt, decision, max_tokens, losses, held)
    async with opened as ensemble:
        run = Run(decision, ensemble, started_at, ensemble.waited_seconds)
        attempt.runs.append(run)
        ensemble.turn = attempt.turn
        yield Started()
        for notice in ensemble.take_notices():
            yield notice
        for model in decision.system_moved:
            yield _system_moved(model)
        answer = steps(ensemble, decision, request, response, max_tokens, attempt.draft_costs)
        if (calling := calling_of(ensemble, request)) is not None:
            answer = telling_calls(answer, calling.reader())
        try:
            async with aclosing(answer):
                async for step in answer:
                    if isinstance(step, FinishReason):
                        run.end(step)
                    elif isinstance(step, Delta) and step.tokens:
                        run.token()
                    left_at = time.perf_counter()
                    yield step
                    run.stalled_seconds += _stall(time.perf_counter() - left_at)
        finally:
            # A session that is closed no longer knows how long its answer was.
            run.length = max(run.length, ensemble.length)


def streams_early(request: Request, decision: Decision) -> bool:
    """Whether text is streamed that may be replaced: as the plan says, and the caller can take."""
    return request.takes_replacements and decision.route.stream_early


async def once_begun(parts: AsyncGenerator[Part, None]) -> AsyncGenerator[Part, None]:
    """The parts of several votes, ``Started`` once and before all others.

    Where none begins, nothing is given, so that another plan may answer.
    """
    begun = False
    untold: list[Part] = []
    async with aclosing(parts):
        async for part in parts:
            if not isinstance(part, Started):
                untold.append(part)
            elif not begun:
                begun = True
                yield part
            while begun and untold:
                yield untold.pop(0)


async def ask_remote(
    remote: Remote,
    request: Request,
    call: RemoteCall,
    stopwatch: Stopwatch,
    max_tokens: int,
    hold_another: Callable[[], Awaitable[bool]],
) -> AsyncGenerator[Part, None]:
    """Answers with a remote API, and notes in ``call`` what it was asked for and gave.

    ``hold_another`` holds the price of one more call; it is False where there is no room for it.

    Raises:
        RemoteFailed: It failed; after a piece was given, too.
        DeadlinePassed: The caller's deadline ended first.
    """

    async def note_failure(failed: FailedCall) -> bool:
        _note_failure(call, failed)
        return failed.free or not failed.again or await hold_another()

    asked = RemoteRequest(
        prompt=request.prompt,
        max_tokens=max_tokens,
        sampling=request.sampling,
        stop=request.stopping.stop,
        max_bytes=request.stopping.max_bytes,
        deadline_seconds=_seconds_left(request.deadline_seconds, stopwatch),
        retry_seconds=_seconds_left(_latency_seconds(request), stopwatch),
        on_sent=call.send,
        on_failed=note_failure,
    )
    started = False
    async with aclosing(remote.generate(asked)) as events:
        async for event in events:
            if not started:
                started = True
                yield Started()
            if isinstance(event, RemoteText):
                call.generated_tokens = event.streamed_tokens
                yield Delta(event.text, ())
                continue
            _note_end(call, event)
            if event.word:
                yield _foreign_end(remote.name, event.word)
            yield event.finish_reason


def _system_moved(model: str) -> Notice:
    return Notice(
        NoticeKind.SYSTEM_MOVED,
        model,
        f"the chat template of model {model} has no place for the system message; its text stands "
        "in a message of the user",
    )


def _foreign_end(remote: str, word: str) -> Notice:
    return Notice(
        NoticeKind.FOREIGN_END,
        remote,
        f"remote {remote} ended its answer with {word}, which is taken for the end of the text",
    )


def _seconds_left(limit: float | None, stopwatch: Stopwatch) -> float | None:
    """What is left of a time that began with the request."""
    return None if limit is None else max(0.0, limit - stopwatch.duration_ms / 1000.0)


def _latency_seconds(request: Request) -> float | None:
    """The request's own budget of time, which is the end of retries as its deadline is."""
    budget = request.budget.latency_ms
    return None if budget is None else budget / 1000.0


def _note_failure(call: RemoteCall, failed: FailedCall) -> None:
    call.end(failed.kind)
    if failed.free:
        call.asked = False
    elif failed.begun:
        # What it had generated until then may be charged for, by its own count or by ours.
        _note_usage(call, failed.usage, failed.streamed_tokens)
    else:
        call.lost += 1
        call.asked = False


def _note_end(call: RemoteCall, end: RemoteEnd) -> None:
    _note_usage(call, end.usage, end.streamed_tokens)
    call.end()
    call.complete = True
    call.reason = end.finish_reason


def _note_usage(call: RemoteCall, usage: RemoteUsage, streamed_tokens: int) -> None:
    call.prompt_tokens = usage.prompt_tokens
    call.cached_prompt_tokens = usage.cached_prompt_tokens or 0
    generated = usage.generated_tokens
    call.generated_tokens = streamed_tokens if generated is None else generated


def _stall(seconds: float) -> float:
    """Time that a slow reader cost; what a write takes anyhow passes while the members compute."""
    return seconds if seconds > _STALL_SECONDS else 0.0
