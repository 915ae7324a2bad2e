"""What the tokens of one session are drawn with, and how far it may go."""

from __future__ import annotations

from collections.abc import Sequence

from quorate.engines.generation import SAMPLED_AHEAD, EngineSampling
from quorate.request import SamplingOptions
from quorate.sampling.penalties import REPETITION_WINDOW
from quorate.sampling.sampler import Sampler


class Drawing:
    """What one of them draws with, and how far it may go.

    Args:
        read: What the session has read with this prompt, for the repetition penalty.

    Attributes:
        shown: Alternatives told beside each token.
        left: Tokens that it may still draw.
        ahead: Tokens that it may draw before its reader takes some.
        unfed: The token that was drawn last, where it waits for the reader.
    """

    def __init__(self, options: EngineSampling, vocabulary_size: int, read: Sequence[int]) -> None:
        asked = SamplingOptions(
            temperature=options.temperature,
            top_p=options.top_p,
            top_k=options.top_k,
            min_p=options.min_p,
            repetition_penalty=options.repetition_penalty,
            presence_penalty=options.presence_penalty,
            frequency_penalty=options.frequency_penalty,
            logit_bias=dict(options.logit_bias),
        )
        recent = read[-REPETITION_WINDOW:]
        self.sample = Sampler(asked, vocabulary_size, options.seed, recent).sample
        self.shown = options.top_logprobs
        self.left = options.max_tokens
        self.ahead = SAMPLED_AHEAD
        self.unfed: int | None = None
