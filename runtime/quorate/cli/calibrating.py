"""Asks every plan every labelled question, and reads from the answers what a calibration needs."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from quorate.calibration.answers import (
    TEMPERATURE_OF_SAMPLES,
    Answer,
    AnswerFile,
    CalibratedPlan,
    answer_key,
)
from quorate.calibration.grading import Case
from quorate.cli.messages import answers_of, energy_tier, plan_of, token_of, total_energy
from quorate.cli.views.progress import Progress
from quorate.client import Client, GenerateOptions, PlanOptions, ServiceError
from quorate.dispatch.signals import SignalReader
from quorate.errors import CannotRun
from quorate.files import default_id
from quorate.request import (
    ChatPrompt,
    DecidedGate,
    Decision,
    Delta,
    EnergyTier,
    FailurePolicy,
    Message,
    Plan,
    Prompt,
    ResponseOptions,
    TextPrompt,
    WeightedModel,
)
from quorate.routing.forecast import vote_key
from quorate.routing.snapshot import answers_key
from quorate.v1 import inference_pb2, models_pb2, plan_pb2

_PROFILE = "profile:"
_ANY_PROMPT = "."
_MAX_TRIES = 5
_MAX_WAIT_SECONDS = 60.0
_BROKEN = (inference_pb2.NOTICE_KIND_MEMBER_DROPPED, inference_pb2.NOTICE_KIND_FELL_BACK)


@dataclass(frozen=True, slots=True)
class AskedPlan:
    """A plan, and how a server is asked for it.

    Attributes:
        options: The client's arguments for it.
        sampled: Whether a member answers several times, and must not say the same each time.
    """

    calibrated: CalibratedPlan
    options: PlanOptions
    sampled: bool = False


async def plans_of(
    client: Client, members: Sequence[WeightedModel], profiles: Sequence[str]
) -> list[AskedPlan]:
    """Finds out what shall be asked.

    Each of the members alone and, where there are several, their vote; and each profile. Without
    any of both it is every model that is ready and every profile that the server chooses from, and
    where it has none the vote of all models.

    Raises:
        ServiceError: The server does not know a model or profile, or cannot run it.
        CannotRun: No model is ready.
    """
    known = {model.id: model for model in await client.models()}
    weights = {default_id(member.model): member.weight for member in members}
    ready = [m.id for m in known.values() if m.state == models_pb2.MODEL_STATE_READY]
    names = list(profiles)
    if not members and not profiles:
        if not ready:
            raise CannotRun(client.target, "no model is ready; see: quorate models")
        weights = dict.fromkeys(ready)
        names = await _profiles(client)
    asked: list[tuple[str, PlanOptions]] = [(model, {"model": model}) for model in weights]
    if len(weights) > 1 and (members or not names):
        asked.append((" + ".join(weights), {"models": weights}))
    asked += [(f"profile {name}", {"profile": name}) for name in names]
    return [await asked_plan(client, name, options, known) for name, options in asked]


async def _profiles(client: Client) -> list[str]:
    """Names of the profiles that the server chooses from."""
    decision = await client.explain(_ANY_PROMPT, auto=True, local_only=True)
    names = [candidate.name for candidate in decision.candidates]
    return [name.removeprefix(_PROFILE) for name in names if name.startswith(_PROFILE)]


async def asked_plan(
    client: Client, name: str, options: PlanOptions, known: Mapping[str, models_pb2.Model]
) -> AskedPlan:
    """Finds out what a server makes of a plan.

    Args:
        client: Of the server.
        name: For people.
        options: The client's arguments for it.
        known: Models of the server, by id.

    Raises:
        ServiceError: The server cannot run it.
    """
    asked = GenerateOptions(messages=[("user", _ANY_PROMPT)], allow_text=True, local_only=True)
    asked.update(options)  # type: ignore[typeddict-item]
    decision = await client.explain(**asked)
    ids = sorted(set(_models(decision)))
    models = {model: known[model].description if model in known else "" for model in ids}
    plan = plan_of(decision)
    calibrated = CalibratedPlan(
        name=name,
        key=_key(decision, models),
        plan=plan,
        vote=_vote_key(decision, plan),
        models=models,
        answers=_answers_key(decision),
    )
    return AskedPlan(calibrated, options, decision.answers.samples > 1)


def _models(decision: plan_pb2.Decision) -> Iterator[str]:
    yield from (member.model for member in decision.members)
    for stage in decision.stages:
        yield from _models(stage.decision)


def _key(decision: plan_pb2.Decision, models: Mapping[str, str]) -> str:
    """Changes with anything that an answer depends on, the question and its limit left out."""
    content = plan_pb2.Decision(
        members=decision.members,
        rule=decision.rule,
        alignment=decision.alignment,
        weighting=decision.weighting,
        stages=decision.stages,
    )
    if decision.HasField("answers"):
        content.answers.CopyFrom(decision.answers)
    if decision.HasField("gate"):
        content.gate.CopyFrom(decision.gate)
    votes = [stage.decision for stage in content.stages]
    if content.answers.HasField("judge"):
        votes.append(content.answers.judge)
    for vote in (*votes, *content.answers.votes):
        vote.ClearField("seed")
        vote.ClearField("candidates")
    if decision.HasField("forgetting"):
        content.forgetting = decision.forgetting
    if decision.HasField("beam"):
        content.beam.CopyFrom(decision.beam)
    known = json.dumps([sorted(models.items()), _reading(decision)]).encode()
    wire = content.SerializeToString(deterministic=True)
    return hashlib.blake2b(wire + known, digest_size=12).hexdigest()


def _reading(decision: plan_pb2.Decision) -> bool | list[str]:
    """Whether everybody reads a question as a chat; else who does not, where others do."""
    votes = [stage.decision for stage in decision.stages] or [decision]
    texts = sorted({model for vote in votes for model in vote.text_members})
    if not texts:
        return True
    return texts if set(texts) != set(_models(decision)) else False


def _answers_key(decision: plan_pb2.Decision) -> str:
    """The key that the server knows a vote of whole answers by; "" for what is none."""
    if not decision.HasField("answers"):
        return ""
    models = [member.model for member in decision.members]
    return answers_key(models, answers_of(decision.answers))


def _vote_key(decision: plan_pb2.Decision, plan: Plan) -> str:
    """The key that the server knows a vote on tokens by; "" for what is none."""
    if decision.stages or decision.HasField("answers"):
        return ""
    gate = None
    if plan.gate.leader is not None and plan.gate.threshold is not None:
        gate = DecidedGate(plan.gate.leader, plan.gate.threshold, plan.gate.share)
    return vote_key(
        Decision(
            members=plan.members,
            rule=plan.rule,
            alignment=plan.alignment,
            weighting=plan.weighting,
            on_failure=FailurePolicy.AUTO,
            context_tokens=0,
            seed=0,
            gate=gate,
        )
    )


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
    asked = {
        answer_key(case, plan.calibrated, max_tokens): (case, plan)
        for case in cases
        for plan in plans
    }
    missing = [key for key in asked if key not in answers.known]
    done = len(asked) - len(missing)
    progress(done, len(asked))
    todo = iter(missing)

    async def work() -> None:
        nonlocal done
        for key in todo:
            case, plan = asked[key]
            answers.add(key, await _patiently(client, case, plan, max_tokens))
            done += 1
            progress(done, len(asked))

    workers = [asyncio.create_task(work()) for _ in range(min(concurrency, len(missing)))]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


async def _patiently(client: Client, case: Case, plan: AskedPlan, max_tokens: int) -> Answer:
    """Asks again where the server says when there is a chance."""
    for tries_left in reversed(range(_MAX_TRIES)):
        try:
            return await _ask(client, case, plan, max_tokens)
        except ServiceError as error:
            if error.reason == "PROMPT_TOO_LONG":
                return Answer("", problem=error.message)
            wait = error.retry_after_seconds
            if wait is None or wait > _MAX_WAIT_SECONDS or not tries_left:
                raise
            await asyncio.sleep(wait)
    raise AssertionError("the last try returns or raises")


async def _ask(client: Client, case: Case, plan: AskedPlan, max_tokens: int) -> Answer:
    reader = SignalReader(ResponseOptions(), _prompt(case).size_bytes)
    options = GenerateOptions(
        temperature=TEMPERATURE_OF_SAMPLES if plan.sampled else 0.0,
        seed=0,
        max_tokens=max_tokens,
        top_logprobs=reader.needed.top_logprobs,
        votes=reader.needed.member_votes,
        local_only=True,
        task=case.task or None,
    )
    options.update(plan.options)  # type: ignore[typeddict-item]
    options["messages"] = case.messages or [("user", case.prompt)]
    options["allow_text"] = not case.messages
    pieces: list[str] = []
    finished, answers_vote = inference_pb2.Finished(), False
    async for event in client.generate(**options):
        kind = event.WhichOneof("event")
        if kind == "delta":
            pieces.append(event.delta.text)
            reader.read(Delta(event.delta.text, tuple(map(token_of, event.delta.tokens))))
        elif kind == "notice" and event.notice.kind == inference_pb2.NOTICE_KIND_ESCALATED:
            # What was streamed early gives way to what follows.
            pieces.clear()
            reader = SignalReader(ResponseOptions(), _prompt(case).size_bytes)
        elif kind == "notice" and event.notice.kind in _BROKEN and not answers_vote:
            raise _broken(plan, event.notice.message)
        elif kind == "accepted":
            # Of whole answers those without room for one abstain, whenever they are asked.
            answers_vote = event.accepted.decision.HasField("answers")
        elif kind == "finished":
            finished = event.finished
    for given in finished.outcome.answers:
        if given.lost:
            raise _broken(plan, given.problem)
    energy = total_energy([model.energy for model in finished.usage.models])
    return Answer(
        text="".join(pieces),
        signals=reader.signals(),
        cut=finished.reason == inference_pb2.FINISH_REASON_MAX_TOKENS,
        duration_ms=finished.usage.duration_ms,
        joules=None if energy is None else energy.joules,
        tier=EnergyTier.UNAVAILABLE.value if energy is None else energy_tier(energy.tier).value,
    )


def _broken(plan: AskedPlan, problem: str) -> CannotRun:
    return CannotRun(plan.calibrated.name, f"{problem}; run the same command to go on")


def _prompt(case: Case) -> Prompt:
    if not case.messages:
        return TextPrompt(case.prompt)
    return ChatPrompt(tuple(Message(role, content) for role, content in case.messages))
