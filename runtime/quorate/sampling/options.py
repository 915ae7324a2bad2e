"""Which sampling options can be served."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from quorate.errors import InvalidRequest, refuse_all
from quorate.request import SamplingOptions

SEED_BITS = 53
"""Readers of JSON keep numbers as 64-bit floats, and would round larger seeds without a word."""

# 2^53 divided by the golden ratio, and odd: multiples of it are far from each other.
_SEED_STEP = 0x13C6EF372FE94F

_NUMBERS = (
    "temperature",
    "top_p",
    "min_p",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
)


def another_seed(seed: int, index: int) -> int:
    """The seed of one of several samples with a seed; that of the first is the seed itself.

    Those of seeds that follow one another, as choices of one request have, are all different.
    """
    return (seed + index * _SEED_STEP) % (1 << SEED_BITS)


def validate(options: SamplingOptions) -> None:
    """Checks what a caller asks of the sampler; options that are not set are fine.

    Everything but the ids in ``logit_bias``, for which the vocabulary must be known; see
    ``validate_bias``.

    Raises:
        InvalidRequest: Names the fields of ``sampling`` whose values can never be served.
    """
    refuse_all(_problems(options))


def _problems(options: SamplingOptions) -> Iterator[InvalidRequest]:
    yield from _not_finite(options)
    if options.temperature is not None and options.temperature < 0:
        yield _invalid("temperature", options.temperature, "give 0 for greedy, or more")
    if options.top_p is not None and not 0 < options.top_p <= 1:
        yield _invalid("top_p", options.top_p, "give more than 0 and at most 1")
    if options.min_p is not None and not 0 <= options.min_p <= 1:
        yield _invalid("min_p", options.min_p, "give 0 to 1")
    if options.top_k is not None and options.top_k < 0:
        yield _invalid("top_k", options.top_k, "give 0 for no limit, or more")
    if options.seed is not None and not 0 <= options.seed < 1 << SEED_BITS:
        remedy = f"give 0 or more, and less than 2^{SEED_BITS}, which every reader of JSON keeps"
        yield _invalid("seed", options.seed, remedy)
    if options.repetition_penalty is not None and options.repetition_penalty <= 0:
        yield _invalid("repetition_penalty", options.repetition_penalty, "give 1 for none, or more")


def acting_on_tokens(options: SamplingOptions) -> Sequence[str]:
    """Names of the fields of ``sampling`` that are set and change single tokens' probabilities."""
    acting = {
        "logit_bias": bool(options.logit_bias),
        "repetition_penalty": options.repetition_penalty not in (None, 1.0),
        "presence_penalty": bool(options.presence_penalty),
        "frequency_penalty": bool(options.frequency_penalty),
    }
    return [name for name, is_set in acting.items() if is_set]


def takes_the_row_as_it_is(options: SamplingOptions) -> bool:
    """Whether tokens are drawn with the probabilities of the row, none of them left out."""
    whole = options.top_k == 0 and options.top_p == 1.0 and options.min_p == 0.0
    return whole and options.temperature == 1.0 and not acting_on_tokens(options)


def validate_for_bytes(options: SamplingOptions) -> None:
    """Checks that nothing is asked that needs tokens, where members share none.

    Raises:
        InvalidRequest: Names the first field of ``sampling`` that acts on tokens.
    """
    acting = acting_on_tokens(options)
    if acting:
        raise InvalidRequest(
            f"sampling.{acting[0]}",
            "acts on tokens, and members with different vocabularies share none; leave it out",
        )


def validate_bias(options: SamplingOptions, vocabulary_size: int) -> None:
    """Checks that every token with a bias exists.

    Raises:
        InvalidRequest: Names the first id outside the vocabulary.
    """
    # There may be tens of thousands: what is usual is found out without a loop over them.
    tokens = options.logit_bias
    if not tokens or (min(tokens) >= 0 and max(tokens) < vocabulary_size):
        return
    token = next(token for token in tokens if not 0 <= token < vocabulary_size)
    raise InvalidRequest(
        f"sampling.logit_bias[{token}]",
        f"no such token; the vocabulary's ids are 0 to {vocabulary_size - 1}",
    )


def _not_finite(options: SamplingOptions) -> Iterator[InvalidRequest]:
    for name in _NUMBERS:
        value = getattr(options, name)
        if value is not None and not math.isfinite(value):
            yield _invalid(name, value, "give a finite number")
    # There may be hundreds of thousands, which are looked at one by one only where one is wrong.
    if all(map(math.isfinite, options.logit_bias.values())):
        return
    for token, bias in options.logit_bias.items():
        if not math.isfinite(bias):
            yield _invalid(f"logit_bias[{token}]", bias, "give a finite number")


def _invalid(name: str, value: float, remedy: str) -> InvalidRequest:
    return InvalidRequest(f"sampling.{name}", f"is {value}; {remedy}")
