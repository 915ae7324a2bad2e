"""What is asked for, whatever the words: one body is one request or several. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from quorate.access import limits
from quorate.access.tools import check_form
from quorate.api.http.extension import AnswersOptions, Extension
from quorate.api.http.forms import Form
from quorate.api.http.names import ANSWERS, plan_named
from quorate.api.http.tools import Tools
from quorate.errors import InvalidRequest, PromptTooLong
from quorate.request import (
    AnswersPlan,
    Budget,
    PlanChoice,
    Prompt,
    Request,
    ResponseOptions,
    SamplingOptions,
    StoppingOptions,
    ToolChoice,
)
from quorate.routing.answers import answers_problems
from quorate.sampling.options import SEED_BITS

MAX_CHOICES = 16
"""Answers to one request."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What one body asks for.

    Attributes:
        name: The model as the caller named it, "" for the default.
        request_id: By which the whole is known; each of several requests has one of its own.
        requests: One for each choice of the answer.
        stream: Whether the answer is to be streamed.
        include_usage: Whether a stream tells at its end what it took.
        logprobs: Whether log-probs are told.
        votes: Whether each member's votes are.
        candidates: Whether the plans are that were considered.
        echo: Whether the prompt is told before its answer.
        answers: Whether there is an answer, and not the prompt alone.
        prompts: How many prompts there are, each with as many requests.
        names: What the caller calls a field that has another name elsewhere.
        repeated: What the answer repeats of the body.
    """

    name: str
    request_id: str
    requests: tuple[Request, ...]
    stream: bool
    include_usage: bool
    logprobs: bool
    votes: bool
    candidates: bool
    names: Mapping[str, str]
    repeated: Mapping[str, Any] = field(default_factory=dict)
    echo: bool = False
    answers: bool = True
    prompts: int = 1

    def names_of(self, index: int) -> Mapping[str, str]:
        """``names`` for one of the requests, of several with the place of its prompt."""
        if self.prompts == 1:
            return self.names
        place = index * self.prompts // len(self.requests)
        return {**self.names, "prompt": f"prompt[{place}]"}


@dataclass(frozen=True, slots=True)
class Context:
    """What reading a body takes beside it.

    Attributes:
        models: Ids of the models there are.
        profiles: Names of the profiles there are.
        context_length: Most tokens that a model's context holds; 0 where there is none.
        request_id: Of a request whose caller chose none.
        key: Name of the caller's key.
        origin: Where the request comes from.
        trace_parent: The caller's trace, or "".
    """

    models: Collection[str]
    profiles: Collection[str]
    request_id: str
    context_length: int = 0
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
        form: What an answer must be; None where it may be any text.
        tools: What it may call.
        echo: Whether the prompt is told before its answer.
        answers: Whether there is an answer, and not the prompt alone.
        names: What the caller calls a field that has another name elsewhere.
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
    form: Form | None = None
    tools: Tools = field(default_factory=Tools)
    echo: bool = False
    answers: bool = True
    names: Mapping[str, str] = field(default_factory=dict)


def _with_defaults(given: SamplingOptions) -> SamplingOptions:
    """With what others' protocols say of options that a caller leaves out: nothing is cut away."""
    return replace(
        given,
        temperature=1.0 if given.temperature is None else given.temperature,
        top_p=1.0 if given.top_p is None else given.top_p,
        top_k=given.top_k or 0,
        min_p=given.min_p or 0.0,
    )


def asked_for(words: Wording, context: Context) -> Asked:
    """What is asked for.

    Raises:
        InvalidRequest: A model that can never answer, too many answers, or a form beside tools.
        NotFound: Neither a model nor a profile is called so.
    """
    extension, shown = words.extension, words.top_logprobs
    request_id = extension.request_id or context.request_id
    form, tools = words.form, words.tools
    if form is not None and tools.shown:
        check_form(form.path, form.constraint.kind)
    named = {} if form is None else {form.constraint.kind.value: form.path}
    plan = plan_named("model", words.name, context.models, context.profiles)
    request = Request(
        prompt=words.prompts[0],
        plan=plan if extension.answers is None else _of_answers(plan, extension.answers),
        sampling=_with_defaults(words.sampling),
        stopping=words.stopping,
        response=ResponseOptions(shown or 0, extension.votes, shown is None),
        budget=extension.budget,
        local_only=extension.local_only,
        task=extension.task,
        key=context.key,
        origin=context.origin,
        allow_substitution=extension.allow_substitution,
        trace_parent=context.trace_parent,
        constraint=None if form is None else form.constraint,
        tool_choice=tools.choice if tools.given else ToolChoice(),
        # None of these protocols can take back what was streamed.
        takes_replacements=False,
    )
    return Asked(
        name=words.name,
        request_id=request_id,
        requests=_choices(replace(request, request_id=request_id), words),
        stream=words.stream,
        include_usage=words.include_usage,
        logprobs=shown is not None,
        votes=extension.votes,
        candidates=extension.candidates,
        names={**words.names, **named, **tools.names},
        echo=words.echo,
        answers=words.answers,
        prompts=len(words.prompts),
    )


def _of_answers(plan: PlanChoice | None, options: AnswersOptions) -> AnswersPlan:
    if not isinstance(plan, AnswersPlan):
        problem = f"is for votes of whole answers; ask for a model such as {ANSWERS}a+b"
        raise InvalidRequest(options.path, problem)
    found = replace(
        plan,
        samples=options.samples,
        select=options.select,
        compare=options.compare,
        weighting=options.weighting,
    )
    for one in answers_problems(found):
        path = one.field.removeprefix("plan.answers")
        raise InvalidRequest(f"{options.path}{path}", one.problem)
    return found


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


def _choices(request: Request, words: Wording) -> tuple[Request, ...]:
    prompts, count = words.prompts, words.count
    together = len(prompts) * count
    if together > MAX_CHOICES:
        raise InvalidRequest("n", f"asks for more than {MAX_CHOICES} answers at once; ask again")
    if together == 1:
        return (request,)
    prefix = request.request_id[: limits.MAX_REQUEST_ID_CHARACTERS - 3]
    return tuple(
        replace(
            request,
            prompt=prompt,
            sampling=_with_seed(request.sampling, choice),
            budget=_share(request.budget, together),
            request_id=f"{prefix}-{at * count + choice}",
        )
        for at, prompt in enumerate(prompts)
        for choice in range(count)
    )


def _with_seed(sampling: SamplingOptions, choice: int) -> SamplingOptions:
    """With one seed all choices would be the same."""
    seed = sampling.seed
    if not choice or seed is None:
        return sampling
    return replace(sampling, seed=(seed + choice) % (1 << SEED_BITS))


def _share(budget: Budget, count: int) -> Budget:
    """What each of so many answers may cost, which take their time beside each other."""
    joules, usd = budget.energy_joules, budget.usd
    return replace(
        budget,
        energy_joules=None if joules is None else joules / count,
        usd=None if usd is None else usd / count,
    )
