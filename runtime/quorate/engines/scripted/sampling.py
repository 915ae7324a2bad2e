"""The scripted model's own sampler.

Greedy at temperature 0; elsewhere any token of the whole distribution by its probability. It looks
at the temperature and the seed; truncation belongs to real engines.
"""

from __future__ import annotations

import numpy as np

from quorate.engines.contract import LogProbs
from quorate.engines.generation import EngineSampling, SampledToken


class Sampler:
    """Samples the tokens of one generation.

    The uniform numbers come straight from the Philox counter generator, which is specified, so that
    a seed gives the same tokens on every machine.
    """

    def __init__(self, options: EngineSampling) -> None:
        self._options = options
        self._bits = np.random.Philox(key=options.seed)

    def __call__(self, row: LogProbs) -> SampledToken:
        """Samples the next token by its log-probs, float32 of shape (vocabulary,)."""
        token = self._choose(row)
        best = np.argsort(-row, kind="stable")[: self._options.top_logprobs]
        top = [(int(other), float(row[other])) for other in best if np.isfinite(row[other])]
        return SampledToken(token, float(row[token]), top)

    def _choose(self, row: LogProbs) -> int:
        if self._options.temperature == 0:
            return int(row.argmax())
        logits = row.astype(np.float64)
        share = int(self._bits.random_raw()) / 2.0**64
        mass = np.cumsum(np.exp((logits - logits.max()) / self._options.temperature))
        return int(np.searchsorted(mass, share * mass[-1], side="right"))
