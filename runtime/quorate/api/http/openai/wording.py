"""What the bodies of OpenAI's paths that answer have in common. Pure.

Fields that change nothing of an answer here are passed over, as other servers do; those that would
change it, and cannot be served, are refused.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from quorate.access import limits
from quorate.api.http.asking import Wording
from quorate.api.http.extension import read_extension
from quorate.api.http.fields import Fields, kind_of
from quorate.errors import InvalidRequest
from quorate.request import Prompt, SamplingOptions, StoppingOptions

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


def worded(
    body: Fields, prompts: tuple[Prompt, ...], top_logprobs: int | None, max_tokens: str
) -> Wording:
    """What a body says beside its prompts.

    Args:
        body: The body.
        prompts: Read from it.
        top_logprobs: Candidates shown with each token; None shows no log-probs.
        max_tokens: Name of the field that limits the tokens of an answer.

    Raises:
        InvalidRequest: A field that can never be served.
    """
    for name, harmless in _NOT_SERVED.items():
        if body.has(name) and body.any(name) not in harmless:
            raise InvalidRequest(name, "is not served here; leave it out")
    _check_format(body.object("response_format"))
    options = body.object("stream_options")
    return Wording(
        name=body.text("model") or "",
        prompts=prompts,
        sampling=_sampling(body),
        stopping=StoppingOptions(max_tokens=_max_tokens(body, max_tokens), stop=_stop(body)),
        extension=read_extension(body),
        count=_count(body),
        top_logprobs=top_logprobs,
        stream=body.flag("stream") or False,
        include_usage=bool(options and options.flag("include_usage")),
    )


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
