"""What is asked for, whatever the words: one body is one request or several. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from quorate.access import limits
from quorate.api.http.extension import Extension
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


@dataclass(frozen=True, slots=True)
class Wording:
    """What a body says in the words of its protocol.

    Attributes:
        name: The model as the caller named it, "" for the default.
        prompts: One or several.
        count: Answers to each of them.
        top_logprobs: Candidates shown with each token; None shows no log-probs.
        stream: Whether the answer is to be streamed.
        include_usage: Whether a stream tells at its end what it took.
    """

    name: str
    prompts: tuple[Prompt, ...]
    sampling: SamplingOptions
    stopping: StoppingOptions
    extension: Extension
    count: int = 1
    top_logprobs: int | None = None
    stream: bool = False
    include_usage: bool = False


def asked_for(words: Wording, context: Context) -> Asked:
    """What is asked for.

    Raises:
        InvalidRequest: A model that can never answer, or too many answers.
        NotFound: Neither a model nor a profile is called so.
    """
    extension, shown = words.extension, words.top_logprobs
    request = Request(
        prompt=words.prompts[0],
        plan=plan_named("model", words.name, context.models, context.profiles),
        sampling=words.sampling,
        stopping=words.stopping,
        response=ResponseOptions(shown or 0, extension.votes, shown is None),
        budget=extension.budget,
        local_only=extension.local_only,
        task=extension.task,
        key=context.key,
        origin=context.origin,
        allow_substitution=extension.allow_substitution,
        trace_parent=context.trace_parent,
    )
    return Asked(
        name=words.name,
        requests=_choices(request, words, context),
        stream=words.stream,
        include_usage=words.include_usage,
        logprobs=shown is not None,
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


def _choices(request: Request, words: Wording, context: Context) -> tuple[Request, ...]:
    prompts, count = words.prompts, words.count
    request_id = words.extension.request_id or context.request_id
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
