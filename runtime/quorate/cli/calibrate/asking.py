"""Asks every plan every question, and reads from the stream what a calibration needs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeAlias

from quorate.cli.calibrate.answers import Answer, AnswerFile, AnswerKey
from quorate.cli.calibrate.dataset import Case
from quorate.cli.calibrate.plans import AskedPlan
from quorate.cli.quantities import total_energy
from quorate.client import Client, GenerateOptions, ServiceError
from quorate.dispatch.signals import SignalReader
from quorate.errors import CannotRun
from quorate.request import (
    ChatPrompt,
    Delta,
    Message,
    Prompt,
    ResponseOptions,
    TextPrompt,
    Token,
    TopCandidate,
    Vote,
)
from quorate.v1 import inference_pb2

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the answers that are there and those that are wanted."""

_MOST_TRIES = 5
_MOST_WAIT_SECONDS = 60.0
_BROKEN = (inference_pb2.NOTICE_KIND_MEMBER_DROPPED, inference_pb2.NOTICE_KIND_FELL_BACK)
_TIERS = {
    inference_pb2.ENERGY_TIER_MEASURED: "measured",
    inference_pb2.ENERGY_TIER_ESTIMATED: "estimated",
}


async def ask_all(
    client: Client,
    plans: Sequence[AskedPlan],
    cases: Sequence[Case],
    answers: AnswerFile,
    *,
    max_tokens: int,
    concurrency: int,
    progress: Progress,
) -> None:
    """Asks what is not answered yet, question after question, each of all plans.

    Raises:
        ServiceError: What the server refuses, other than a prompt that is too long for a plan.
        CannotRun: A plan broke; what was answered before is kept.
    """
    wanted = {answer_key(case, plan, max_tokens): (case, plan) for case in cases for plan in plans}
    left = [key for key in wanted if key not in answers.known]
    done = len(wanted) - len(left)
    progress(done, len(wanted))
    todo = iter(left)

    async def work() -> None:
        nonlocal done
        for key in todo:
            case, plan = wanted[key]
            answers.add(key, await _patiently(client, case, plan, max_tokens))
            done += 1
            progress(done, len(wanted))

    workers = [asyncio.create_task(work()) for _ in range(min(concurrency, len(left)))]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


def answer_key(case: Case, plan: AskedPlan, max_tokens: int) -> AnswerKey:
    """What the answer of a plan to a question is kept under."""
    return AnswerKey(case.key, plan.key, max_tokens)


async def _patiently(client: Client, case: Case, plan: AskedPlan, max_tokens: int) -> Answer:
    """Asks again where the server says when there is a chance."""
    for tries_left in reversed(range(_MOST_TRIES)):
        try:
            return await _ask(client, case, plan, max_tokens)
        except ServiceError as error:
            if error.reason == "PROMPT_TOO_LONG":
                return Answer("", problem=error.message)
            wait = error.retry_after_seconds
            if wait is None or wait > _MOST_WAIT_SECONDS or not tries_left:
                raise
            await asyncio.sleep(wait)
    raise AssertionError("the last try returns or raises")


async def _ask(client: Client, case: Case, plan: AskedPlan, max_tokens: int) -> Answer:
    reader = SignalReader(ResponseOptions(), _prompt(case).size_bytes)
    options = GenerateOptions(
        temperature=0.0,
        seed=0,
        max_tokens=max_tokens,
        top_logprobs=reader.needed.top_logprobs,
        votes=reader.needed.member_votes,
        local_only=True,
        task=case.task or None,
    )
    options.update(plan.options)  # type: ignore[typeddict-item]
    prompt: str | None = case.prompt
    if case.messages or plan.chat:
        options["messages"] = case.messages or [("user", case.prompt)]
        prompt = None
    pieces: list[str] = []
    finished = inference_pb2.Finished()
    async for event in client.generate(prompt, **options):
        kind = event.WhichOneof("event")
        if kind == "delta":
            pieces.append(event.delta.text)
            reader.read(Delta(event.delta.text, tuple(map(_token, event.delta.tokens))))
        elif kind == "notice" and event.notice.kind in _BROKEN:
            raise CannotRun(plan.name, f"{event.notice.message}; run the same command to go on")
        elif kind == "finished":
            finished = event.finished
    energy = total_energy([model.energy for model in finished.usage.models])
    return Answer(
        text="".join(pieces),
        signals=reader.signals(),
        cut=finished.reason == inference_pb2.FINISH_REASON_MAX_TOKENS,
        duration_ms=finished.usage.duration_ms,
        joules=None if energy is None else energy.joules,
        tier="unavailable" if energy is None else _TIERS.get(energy.tier, "unavailable"),
    )


def _prompt(case: Case) -> Prompt:
    if not case.messages:
        return TextPrompt(case.prompt)
    return ChatPrompt(tuple(Message(role, content) for role, content in case.messages))


def _token(token: inference_pb2.Token) -> Token:
    """A token as the server's own reader of signals knows it."""
    return Token(
        token_id=token.token_id if token.HasField("token_id") else None,
        piece=token.piece,
        logprob=token.logprob,
        top=tuple(TopCandidate(None, one.piece, one.logprob) for one in token.top),
        votes=tuple(
            Vote(one.model, one.piece, one.logprob, one.weight, one.chosen_logprob)
            for one in token.votes
        ),
    )
