"""Requests to the services of text and of accounting, from keyword arguments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Unpack

from quorate.client.arguments import ChargeOptions, GenerateOptions, Message, PlanOptions
from quorate.client.chats import fill_chat, fill_tool_choice
from quorate.client.filling import enum_of, fill, given_of, json_text, list_of, refusing
from quorate.client.plans import fill_plan
from quorate.errors import InvalidRequest
from quorate.v1 import accounting_pb2, inference_pb2, models_pb2

_SAMPLING = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "seed",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
)
_BUDGET = ("latency_ms", "energy_joules", "usd")
_CONSTRAINTS = ("json_schema", "regex", "grammar")
_GENERATE = (*PlanOptions.__annotations__, *GenerateOptions.__annotations__)
_SCORE = tuple(PlanOptions.__annotations__)
_FILTER = tuple(accounting_pb2.ChargeFilter.DESCRIPTOR.fields_by_name)


def generate_request(
    prompt: str | None = None, **options: Unpack[GenerateOptions]
) -> inference_pb2.GenerateRequest:
    """Builds a request for text.

    Raises:
        InvalidRequest: Not exactly one of prompt and messages, more than one choice of a plan or
            constraint, or a value that no message can hold.
    """
    given = given_of(options, _GENERATE)
    request = inference_pb2.GenerateRequest()
    _fill_input(request, prompt, given)
    fill_plan(request, given)
    fill(request.sampling, given, _SAMPLING)
    fill(request.stopping, given, ("max_tokens", "max_bytes"))
    fill(request.response, given, ("top_logprobs", "omit_logprobs"))
    fill(request.budget, given, _BUDGET)
    fill(request, given, ("local_only", "task", "allow_substitution"))
    _fill_constraint(request, given)
    if {"tool_choice", "parallel_calls"} & given.keys():
        fill_tool_choice(request.tool_choice, given)
    with refusing("votes"):
        request.response.member_votes = given.get("votes", False)
    with refusing("stop"):
        request.stopping.stop.extend(list_of(given, "stop"))
    with refusing("logit_bias"):
        request.sampling.logit_bias.update(given.get("logit_bias", {}))
    return request


def score_request(
    prompt: str | None, continuation: str, **options: Unpack[PlanOptions]
) -> inference_pb2.ScoreRequest:
    """Builds a request for a score.

    Raises:
        InvalidRequest: As for ``generate_request``.
    """
    given = given_of(options, _SCORE)
    request = inference_pb2.ScoreRequest()
    with refusing("continuation"):
        request.continuation = continuation
    _fill_input(request, prompt, given)
    fill_plan(request, given)
    return request


def tokenize_request(
    model: str,
    text: str | None,
    messages: Iterable[Message] | None,
    tools: Iterable[Mapping[str, object]] | None,
    parse_special: bool,
    continuation: bool,
) -> models_pb2.TokenizeRequest:
    """Builds a request for tokens.

    Raises:
        InvalidRequest: Not exactly one of text and messages, or a value that no message can hold.
    """
    if (text is None) == (messages is None):
        raise InvalidRequest("text", "give either a text or messages")
    request = models_pb2.TokenizeRequest()
    given = {"model": model, "parse_special": parse_special, "continuation": continuation}
    fill(request, given, given)
    if text is None:
        chat = {"messages": messages, "tools": tools}
        fill_chat(request.chat, given_of(chat, chat))
        return request
    _refuse_tools(tools)
    fill(request, {"text": text}, ("text",))
    return request


def charges_request(
    page_size: int, **filters: Unpack[ChargeOptions]
) -> accounting_pb2.ListChargesRequest:
    """Builds a request for the first page of charges.

    Raises:
        InvalidRequest: A value that no message can hold.
    """
    request = accounting_pb2.ListChargesRequest()
    with refusing("page_size"):
        request.page_size = page_size
    _fill_filter(request.filter, filters)
    return request


def spend_request(
    group_by: Iterable[str], **filters: Unpack[ChargeOptions]
) -> accounting_pb2.SummarizeSpendRequest:
    """Builds a request for sums; arguments as for ``Client.spend``.

    Raises:
        InvalidRequest: An unknown group, or a value that no message can hold.
    """
    request = accounting_pb2.SummarizeSpendRequest()
    for group in list_of({"group_by": group_by}, "group_by"):
        request.group_by.append(enum_of("group_by", group, accounting_pb2.SpendGroup))
    _fill_filter(request.filter, filters)
    return request


def _fill_input(request: Any, prompt: str | None, given: Mapping[str, Any]) -> None:
    if (prompt is None) == ("messages" not in given):
        raise InvalidRequest("prompt", "give either a prompt or messages")
    fill(request, given, ("request_id", "parse_special"))
    if prompt is not None:
        _refuse_tools(given.get("tools"))
        fill(request, {"prompt": prompt}, ("prompt",))
        return
    fill(request.chat, given, ("allow_text",))
    fill_chat(request.chat, given)


def _refuse_tools(tools: object) -> None:
    if tools is not None:
        raise InvalidRequest("tools", "belong to messages; a text shows none")


def _fill_constraint(request: inference_pb2.GenerateRequest, given: Mapping[str, Any]) -> None:
    chosen = [name for name in _CONSTRAINTS if name in given]
    if len(chosen) > 1:
        raise InvalidRequest(chosen[0], f"and {chosen[1]} exclude each other; give one of them")
    with refusing("json_schema"):
        texts = {name: json_text(given[name]) for name in chosen}
    fill(request, texts, _CONSTRAINTS)


def _fill_filter(target: accounting_pb2.ChargeFilter, filters: Mapping[str, Any]) -> None:
    target.SetInParent()
    fill(target, given_of(filters, _FILTER), _FILTER)
