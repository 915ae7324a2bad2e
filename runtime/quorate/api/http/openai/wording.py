"""What the bodies of OpenAI's paths that answer have in common. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from quorate.access import limits
from quorate.api.http.asking import Context, Wording
from quorate.api.http.extension import NAME, read_extension
from quorate.api.http.fields import Fields
from quorate.api.http.forms import read_form
from quorate.api.http.tools import Tools
from quorate.api.http.unserved import refuse_not_served
from quorate.errors import InvalidRequest
from quorate.request import Prompt, SamplingOptions, StoppingOptions
from quorate.sampling.options import SEED_BITS

# Names of one field, the first of which counts that is there.
_LIMITS = ("max_tokens", "n_predict")
_REPETITION = ("repetition_penalty", "repeat_penalty")
_SEED_RANGE = 1 << 63


def worded(
    body: Fields,
    context: Context,
    prompts: tuple[Prompt, ...],
    top_logprobs: int | None,
    names: Mapping[str, str],
    limits_names: Sequence[str] = _LIMITS,
    tools: Tools | None = None,
) -> Wording:
    """What a body says beside its prompts.

    Args:
        body: The body.
        context: What it is read with.
        prompts: Read from it.
        top_logprobs: Candidates shown with each token; None shows no log-probs.
        names: What the caller calls what has another name elsewhere.
        limits_names: Names of the field that limits the tokens of an answer.
        tools: Read from it; None where there are none.

    Raises:
        InvalidRequest: A field that can never be served.
    """
    refuse_not_served(body)
    limit, repetition = body.first(*limits_names), body.first(*_REPETITION)
    options = body.object("stream_options")
    return Wording(
        name=body.text("model") or "",
        prompts=prompts,
        sampling=_sampling(body, repetition),
        stopping=StoppingOptions(max_tokens=_max_tokens(body, limit, context), stop=_stop(body)),
        extension=read_extension(body),
        count=_count(body),
        top_logprobs=top_logprobs,
        stream=body.flag("stream") or False,
        include_usage=bool(options and options.flag("include_usage")),
        form=read_form(body, body.object(NAME)),
        tools=tools or Tools(),
        names={**names, "max_tokens": limit, "repetition_penalty": repetition},
    )


def _count(body: Fields) -> int:
    count = body.integer("n", lowest=1) or 1
    best_of = body.integer("best_of", lowest=1)
    if best_of is not None and best_of != count:
        raise InvalidRequest("best_of", "is not served here; all answers are given")
    return count


def _sampling(body: Fields, repetition: str) -> SamplingOptions:
    # What stands for "none" elsewhere is none here: -1 for candidates, as for a seed.
    top_k = body.integer("top_k", lowest=-1)
    return SamplingOptions(
        temperature=body.number("temperature"),
        top_p=body.number("top_p"),
        top_k=None if top_k is None else max(0, top_k),
        min_p=body.number("min_p"),
        seed=_seed(body),
        repetition_penalty=body.number(repetition),
        presence_penalty=body.number("presence_penalty"),
        frequency_penalty=body.number("frequency_penalty"),
        logit_bias=_biases(body.object("logit_bias")),
    )


def _seed(body: Fields) -> int | None:
    """A seed, of which others have more than there are here: those stand for one another."""
    seed = body.integer("seed", lowest=-_SEED_RANGE)
    if seed is None or seed == -1:
        return None
    if seed >= _SEED_RANGE:
        raise InvalidRequest("seed", f"is {seed}; give less than 2^63")
    return seed % (1 << SEED_BITS)


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


def _max_tokens(body: Fields, name: str, context: Context) -> int | None:
    given = body.integer(name, lowest=-1)
    if given == -1:
        # As many as a context holds: an answer ends where its own has no more room.
        return context.context_length or None
    return limits.positive(name, given)


def _stop(body: Fields) -> tuple[str, ...]:
    given = body.any("stop")
    return limits.stop_strings("stop", [given] if isinstance(given, str) else body.texts("stop"))
