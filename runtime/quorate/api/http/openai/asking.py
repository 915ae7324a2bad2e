"""From the body of a request to what is asked for: what all paths that answer have in common. Pure.

Fields that change nothing of an answer here are passed over, as other servers do; those that would
change it, and cannot be served, are refused.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from quorate.access import limits
from quorate.api.http.extension import Extension, read_extension
from quorate.api.http.fields import Fields, kind_of
from quorate.api.http.names import plan_named
from quorate.errors import InvalidRequest, PromptTooLong
from quorate.request import (
    PlanChoice,
    Prompt,
    Request,
    ResponseOptions,
    SamplingOptions,
    StoppingOptions,
)

MAX_CHOICES = 16
"""Answers to one request."""

# Text is all that is answered, and nothing is called or looked up.
_NOT_SERVED: Mapping[str, Collection[Any]] = {
    "tools": ([],),
    "functions": ([],),
    "tool_choice": ("none", "auto"),
    "function_call": ("none", "auto"),
    "audio": (),
    "modalities": (["text"],),
    "web_search_options": (),
    "suffix": ("",),
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What one body asks for.

    Attributes:
        name: The model as the caller named it, "" for the default.
        requests: One for each choice of the answer.
        stream: Whether the answer is to be streamed.
        include_usage: Whether a stream tells at its end what it took.
        logprobs: Whether log-probs are told.
        votes: Whether each member's votes are.
    """

    name: str
    requests: tuple[Request, ...]
    stream: bool
    include_usage: bool
    logprobs: bool
    votes: bool


@dataclass(frozen=True, slots=True)
class Context:
    """What reading a body takes beside it.

    Attributes:
        models: Ids of the models there are.
        profiles: Names of the profiles there are.
        request_id: Of a request whose caller chose none.
        key: Name of the caller's key.
        origin: Where the request comes from.
        trace_parent: The caller's trace, or "".
    """

    models: Collection[str]
    profiles: Collection[str]
    request_id: str
    key: str = ""
    origin: str = ""
    trace_parent: str = ""


def asked(
    body: Fields,
    prompts: tuple[Prompt, ...],
    top_logprobs: int | None,
    max_tokens: str,
    context: Context,
) -> Asked:
    """What is asked for with these prompts, each of them ``n`` times.

    Args:
        body: The body.
        prompts: Read from it.
        top_logprobs: Candidates shown with each token; None shows no log-probs.
        max_tokens: Name of the field that limits the tokens of an answer.
        context: What else it takes.

    Raises:
        InvalidRequest: A field that can never be served.
    """
    for name, harmless in _NOT_SERVED.items():
        if body.has(name) and body.any(name) not in harmless:
            raise InvalidRequest(name, "is not served here; leave it out")
    _check_format(body.object("response_format"))
    extension = read_extension(body)
    plan = plan_named("model", body.text("model"), context.models, context.profiles)
    request = Request(
        prompt=prompts[0],
        plan=plan,
        sampling=_sampling(body),
        stopping=StoppingOptions(max_tokens=_max_tokens(body, max_tokens), stop=_stop(body)),
        response=ResponseOptions(top_logprobs or 0, extension.votes, top_logprobs is None),
        budget=extension.budget,
        local_only=extension.local_only,
        task=extension.task,
        key=context.key,
        origin=context.origin,
        allow_substitution=extension.allow_substitution,
        trace_parent=context.trace_parent,
    )
    options = body.object("stream_options")
    return Asked(
        name=body.text("model") or "",
        requests=_choices(request, prompts, _count(body), extension, context),
        stream=body.flag("stream") or False,
        include_usage=bool(options and options.flag("include_usage")),
        logprobs=top_logprobs is not None,
        votes=extension.votes,
    )


def plan_of(found: Asked) -> PlanChoice | None:
    """The plan that all its requests name."""
    return found.requests[0].plan


def check_size(field: str, prompt: Prompt) -> Prompt:
    """A prompt that some context may hold.

    Raises:
        PromptTooLong: No context does.
    """
    if prompt.size_bytes > limits.MAX_PROMPT_BYTES:
        problem = f"has {prompt.size_bytes} bytes; at most {limits.MAX_PROMPT_BYTES} are allowed"
        raise PromptTooLong(field, problem)
    return prompt


def _choices(
    request: Request,
    prompts: tuple[Prompt, ...],
    count: int,
    extension: Extension,
    context: Context,
) -> tuple[Request, ...]:
    request_id = extension.request_id or context.request_id
    if len(prompts) * count > MAX_CHOICES:
        raise InvalidRequest("n", f"asks for more than {MAX_CHOICES} answers at once; ask again")
    if len(prompts) * count == 1:
        return (replace(request, request_id=request_id),)
    seed = request.sampling.seed
    found = []
    for at, prompt in enumerate(prompts):
        for choice in range(count):
            # With one seed all of them would be the same.
            own = replace(request.sampling, seed=None if seed is None else seed + choice)
            own_id = f"{request_id[: limits.MAX_REQUEST_ID_CHARACTERS - 4]}-{at * count + choice}"
            found.append(replace(request, prompt=prompt, sampling=own, request_id=own_id))
    return tuple(found)


def _count(body: Fields) -> int:
    count = body.integer("n", lowest=1) or 1
    best_of = body.integer("best_of", lowest=1)
    if best_of is not None and best_of != count:
        raise InvalidRequest("best_of", "is not served here; all answers are given")
    return count


def _check_format(wanted: Fields | None) -> None:
    if wanted is not None and wanted.text("type") not in (None, "text"):
        raise InvalidRequest(wanted.path("type"), "is not served here; give text")


def _sampling(body: Fields) -> SamplingOptions:
    # What stands for "none" elsewhere is none here: -1 for a seed and for candidates.
    seed, top_k = body.integer("seed", lowest=-1), body.integer("top_k", lowest=-1)
    return SamplingOptions(
        temperature=body.number("temperature"),
        top_p=body.number("top_p"),
        top_k=None if top_k is None else max(0, top_k),
        min_p=body.number("min_p"),
        seed=None if seed == -1 else seed,
        repetition_penalty=body.number("repetition_penalty"),
        presence_penalty=body.number("presence_penalty"),
        frequency_penalty=body.number("frequency_penalty"),
        logit_bias=_biases(body.object("logit_bias")),
    )


def _biases(given: Fields | None) -> Mapping[int, float]:
    if given is None:
        return {}
    names = given.names()
    if len(names) > limits.MAX_BIASES:
        problem = f"has {len(names)} entries; at most {limits.MAX_BIASES} are allowed"
        raise InvalidRequest("logit_bias", problem)
    found = {}
    for name in names:
        if not (name.isascii() and name.isdecimal() and len(name) <= 10):
            raise InvalidRequest("logit_bias", "has a name that is no token id")
        found[int(name)] = given.number(name) or 0.0
    return found


def _max_tokens(body: Fields, name: str) -> int | None:
    given = body.integer(name, lowest=-1)
    return None if given == -1 else limits.positive(name, given)


def _stop(body: Fields) -> tuple[str, ...]:
    given = body.any("stop")
    if given is None:
        return ()
    strings = [given] if isinstance(given, str) else body.items("stop")
    for index, stop in enumerate(strings or ()):
        if not isinstance(stop, str):
            raise InvalidRequest(f"stop[{index}]", f"is {kind_of(stop)}; give a text")
    return limits.stop_strings("stop", strings or ())
