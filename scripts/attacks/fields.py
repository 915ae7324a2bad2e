"""Attacks by what stands in the fields of one request, by somebody who has a key."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import grpc

from attacks.frame.cases import Target, attack
from quorate.v1 import (
    accounting_pb2,
    accounting_pb2_grpc,
    inference_pb2,
    inference_pb2_grpc,
    models_pb2,
    models_pb2_grpc,
    plan_pb2,
)

_TIMES = 4
_LARGE = 15_000_000
"""Of one message, which may have 16 MiB."""
_ALLOWED = 4_000_000
"""Of one prompt, which may have 4 MiB."""


def _generate(target: Target, *requests: inference_pb2.GenerateRequest) -> str:
    """Sends each of these some times, one after the other; tells how they were answered."""

    def answers(channel: grpc.Channel) -> Iterator[Any]:
        stub = inference_pb2_grpc.InferenceServiceStub(channel)  # type: ignore[no-untyped-call]
        for request in requests:
            keep = {"timeout": target.seconds, "metadata": target.metadata}
            yield partial(_drained, stub.Generate, request, **keep)

    return _told(target, answers)


def _drained(method: Any, request: Any, **options: Any) -> None:
    for _ in method(request, **options):
        pass


def _told(target: Target, calls: Callable[[grpc.Channel], Iterator[Callable[[], Any]]]) -> str:
    seen: Counter[str] = Counter()
    until = time.monotonic() + target.seconds
    with target.channel() as channel:
        for _ in range(_TIMES):
            for call in calls(channel):
                if time.monotonic() > until:
                    break
                seen[_answer(call)] += 1
    return "; ".join(f"{count} x {answer}" for answer, count in seen.most_common())


def _answer(call: Callable[[], Any]) -> str:
    try:
        call()
    except grpc.RpcError as error:
        return f"{error.code().name} {(error.details() or '')[:100]}"
    return "OK"


def _small(**fields: Any) -> inference_pb2.GenerateRequest:
    """A request for four tokens, with these fields."""
    request = inference_pb2.GenerateRequest(
        prompt="x", plan=plan_pb2.Plan(single=plan_pb2.SinglePlan(model="alpha"))
    )
    request.stopping.max_tokens = 4
    for name, value in fields.items():
        getattr(request, name).MergeFrom(value)
    return request


def _stopping(*stop: str) -> inference_pb2.GenerateRequest:
    return _small(stopping=inference_pb2.StoppingOptions(stop=stop))


@attack(seconds=40.0)
def long_stop_strings(target: Target) -> str:
    """Stop strings of 15 MB together, one and many."""
    each = "ab" * (_LARGE // 2048)
    return _generate(target, _stopping("a" * _LARGE), _stopping(*[each] * 1024))


@attack(seconds=30.0)
def many_stop_strings(target: Target) -> str:
    """As many stop strings as a message holds, and as many as one may have."""
    return _generate(
        target,
        _stopping(*["ab"] * (_LARGE // 4)),
        _stopping(*("ab" * 10 + str(index) for index in range(1024))),
    )


@attack(seconds=40.0)
def many_stages(target: Target) -> str:
    """Cascades of 5,000 and 100,000 stages, and of stages that have 100 members each."""
    single = plan_pb2.CascadeStage(single=plan_pb2.SinglePlan(model="alpha"))
    members = [plan_pb2.Member(model="alpha")] * 100
    vote = plan_pb2.CascadeStage(ensemble=plan_pb2.EnsemblePlan(members=members))

    def cascade(stage: plan_pb2.CascadeStage, count: int) -> inference_pb2.GenerateRequest:
        stages = plan_pb2.CascadePlan(stages=[stage] * count)
        return inference_pb2.GenerateRequest(prompt="x", plan=plan_pb2.Plan(cascade=stages))

    return _generate(target, cascade(single, 5000), cascade(single, 100_000), cascade(vote, 10_000))


@attack(seconds=40.0)
def many_members(target: Target) -> str:
    """A vote of 300,000 members that there are, and of 300,000 that there are not."""

    def vote(model: str) -> inference_pb2.GenerateRequest:
        members = [plan_pb2.Member(model=model)] * 300_000
        plan = plan_pb2.Plan(ensemble=plan_pb2.EnsemblePlan(members=members))
        return inference_pb2.GenerateRequest(prompt="x", plan=plan)

    return _generate(target, vote("alpha"), vote("alpho"))


@attack(seconds=40.0)
def long_names(target: Target) -> str:
    """Names of megabytes: of models, profiles, roles, tags, ids and keys, wherever there is one."""
    long = "alpha " * (_LARGE // 6)
    model = plan_pb2.SinglePlan(model=long)
    role = inference_pb2.Chat(messages=[inference_pb2.ChatMessage(role=long, content="x")])
    requests = [
        inference_pb2.GenerateRequest(prompt="x", plan=plan_pb2.Plan(single=model)),
        inference_pb2.GenerateRequest(prompt="x", profile=long),
        inference_pb2.GenerateRequest(prompt="x", request_id=long),
        inference_pb2.GenerateRequest(prompt="x", task=long),
        inference_pb2.GenerateRequest(chat=role),
    ]
    keep = {"timeout": target.seconds, "metadata": target.metadata}

    def calls(channel: grpc.Channel) -> Iterator[Callable[[], Any]]:
        ask = inference_pb2_grpc.InferenceServiceStub(channel)  # type: ignore[no-untyped-call]
        models = models_pb2_grpc.ModelServiceStub(channel)  # type: ignore[no-untyped-call]
        books = accounting_pb2_grpc.AccountingServiceStub(channel)  # type: ignore[no-untyped-call]
        for request in requests:
            yield partial(_drained, ask.Generate, request, **keep)
        explain = inference_pb2.ExplainRequest(request=requests[0])
        yield lambda: ask.Explain(explain, **keep)
        yield lambda: models.GetModel(models_pb2.GetModelRequest(model=long), **keep)
        yield lambda: models.LoadModel(models_pb2.LoadModelRequest(model=long), **keep)
        yield lambda: books.GetBudget(accounting_pb2.GetBudgetRequest(key=long), **keep)
        chosen = accounting_pb2.ChargeFilter(model=long)
        yield lambda: books.ListCharges(accounting_pb2.ListChargesRequest(filter=chosen), **keep)
        yield lambda: books.ListCharges(accounting_pb2.ListChargesRequest(page_token=long), **keep)

    return _told(target, calls)


@attack(seconds=30.0)
def many_groups(target: Target) -> str:
    """Sums of the ledger by the same thing, millions of times."""
    groups = accounting_pb2.SummarizeSpendRequest(
        group_by=[accounting_pb2.SPEND_GROUP_MODEL] * _LARGE
    )

    def calls(channel: grpc.Channel) -> Iterator[Callable[[], Any]]:
        books = accounting_pb2_grpc.AccountingServiceStub(channel)  # type: ignore[no-untyped-call]
        yield lambda: books.SummarizeSpend(groups, timeout=target.seconds, metadata=target.metadata)

    return _told(target, calls)


@attack(seconds=30.0)
def many_biases(target: Target) -> str:
    """Biases of more tokens than any vocabulary has."""
    biases = dict.fromkeys(range(1_000_000), -1.0)
    return _generate(target, _small(sampling=inference_pb2.SamplingOptions(logit_bias=biases)))


@attack(seconds=60.0)
def large_prompts(target: Target) -> str:
    """Prompts and chats of 15 MB, and a prompt of 200 kB: none that a context holds."""

    def chat(*texts: str) -> inference_pb2.GenerateRequest:
        request = _small()
        request.chat.messages.extend(
            inference_pb2.ChatMessage(role="user", content=text) for text in texts
        )
        return request

    text, large = _small(), _small()
    text.prompt = "x" * 200_000
    large.prompt = "x" * _LARGE
    return _generate(target, large, chat("x" * _LARGE), chat(*["x" * 1000] * 15_000), text)


@attack(seconds=30.0, log_is_read=False)
def unread_log(target: Target) -> str:
    """Thousands of requests, while nobody reads what the server prints."""
    told: Counter[str] = Counter()
    until = time.monotonic() + target.seconds
    with target.channel() as channel:
        stub = models_pb2_grpc.ModelServiceStub(channel)  # type: ignore[no-untyped-call]
        request = models_pb2.GetModelRequest(model="no-such-model" * 9)
        for _ in range(3000):
            if time.monotonic() > until:
                break
            told[
                _answer(lambda: stub.GetModel(request, timeout=5.0, metadata=target.metadata))[:60]
            ] += 1
    return "; ".join(f"{count} x {answer}" for answer, count in told.most_common())


@attack(seconds=40.0)
def abandoned_prompts(target: Target) -> str:
    """Prompts of 4 MB whose callers leave at once, or a moment later."""
    request = _small()
    request.prompt = "word " * (_ALLOWED // 5)

    def calls(channel: grpc.Channel) -> Iterator[Callable[[], Any]]:
        stub = inference_pb2_grpc.InferenceServiceStub(channel)  # type: ignore[no-untyped-call]
        for seconds in (0.02, 0.05, 0.1, 0.2, 0.4) * 4:
            yield partial(
                _drained, stub.Generate, request, timeout=seconds, metadata=target.metadata
            )

    return _told(target, calls)
