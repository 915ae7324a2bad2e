"""What vLLM is asked for, as its sampling parameters."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache

from vllm.sampling_params import SamplingParams

from quorate.engines.generation import EngineSampling
from quorate.engines.vllm.logits_capture import CaptureRow, Narrow, to_extra_args

_SEEDS = 2**63


@lru_cache(maxsize=4096)
def row_params(slot: int, sums: bool) -> SamplingParams:
    """For tokens after which the row is wanted; the token that vLLM samples is thrown away.

    Made once for each slot: they do not change, and making them takes longer than feeding a token.
    """
    return SamplingParams(
        temperature=0.0,
        max_tokens=1,
        ignore_eos=True,
        detokenize=False,
        extra_args=to_extra_args(CaptureRow(slot, sums)),
    )


@lru_cache(maxsize=4096)
def uncached_row_params(slot: int, sums: bool) -> SamplingParams:
    """As ``row_params``, for a request of which every token is to be computed."""
    params = row_params(slot, sums).clone()
    params.skip_reading_prefix_cache = True
    return params


@lru_cache(maxsize=4096)
def scoring_params(slot: int) -> SamplingParams:
    """As ``row_params``, for tokens that are scored themselves."""
    # The cache has no scores.
    params = uncached_row_params(slot, False).clone()
    params.prompt_logprobs = 0
    return params


def sampling_params(options: EngineSampling, ending: Collection[int]) -> SamplingParams:
    """For a generation that vLLM samples by itself.

    The candidates are narrowed by the logits capture, in the order of our own sampler.
    """
    greedy = options.temperature == 0
    narrowed = Narrow(options.top_k, options.top_p, options.min_p)
    return SamplingParams(
        temperature=options.temperature,
        seed=options.seed % _SEEDS,
        max_tokens=options.max_tokens,
        logprobs=options.top_logprobs,
        stop_token_ids=sorted(ending),
        ignore_eos=True,
        detokenize=False,
        extra_args=None if greedy else to_extra_args(narrowed),
    )
