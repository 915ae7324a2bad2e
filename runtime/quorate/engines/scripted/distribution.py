"""The scripted model's next-token distribution: a pure function of options and token context."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from quorate.engines.contract import LogProbs
from quorate.engines.scripted.options import ScriptedOptions
from quorate.engines.scripted.tokenizer import EOS, Tokenizer
from quorate.engines.vocabulary import Vocabulary

_ORDINARY = frozenset(b"abcdefghijklmnopqrstuvwxyz \n.,!?'-" + "é€".encode())
_RARE_LOGIT = -6.0


class Distribution:
    """Pseudo-random logits seeded by a hash of the whole context, or the next token of ``say``.

    The hash is BLAKE2b and the bits come straight from the Philox counter generator, both of which
    are specified, so that the numbers are the same on every machine and with every numpy.
    """

    def __init__(
        self, options: ScriptedOptions, vocabulary: Vocabulary, tokenizer: Tokenizer
    ) -> None:
        self._key = f"{options.seed}".encode()
        self._sharpness = options.sharpness
        self._confidence = options.confidence
        encode = tokenizer.encode_marked if options.marks else tokenizer.encode_text
        self._script = [*encode(options.say), EOS] if options.say else []
        self._offsets = _offsets(vocabulary)
        self._control = options.control
        self._sayable = sorted(vocabulary.sayable_control)

    def write(self, context: Sequence[int], output: LogProbs) -> None:
        """Writes what follows ``context``: normalised log-probs, float32 of shape (vocabulary,)."""
        digest = blake2b(array("i", context).tobytes(), key=self._key, digest_size=16).digest()
        bits = np.random.Philox(key=int.from_bytes(digest, "little"))
        uniform = bits.random_raw(len(self._offsets)) / 2.0**64
        logits = self._sharpness * uniform + self._offsets
        logprobs = logits - np.logaddexp.reduce(logits)
        if self._control and self._sayable:
            marks = self._sharpness * uniform[self._sayable]
            logprobs += math.log1p(-self._control)
            logprobs[self._sayable] = marks - np.logaddexp.reduce(marks) + math.log(self._control)
        scripted = self._scripted(context)
        if scripted is not None:
            logprobs += math.log1p(-self._confidence)
            probability = self._confidence + math.exp(logprobs[scripted])
            logprobs[scripted] = math.log(probability)
        output[:] = logprobs

    def _scripted(self, context: Sequence[int]) -> int | None:
        # Where the script stands follows from the context alone: at the longest beginning of it
        # that the context ends with.
        if not self._script:
            return None
        for length in range(min(len(self._script) - 1, len(context)), 0, -1):
            if list(context[-length:]) == self._script[:length]:
                return self._script[length]
        return self._script[0]


def _offsets(vocabulary: Vocabulary) -> npt.NDArray[np.float64]:
    """Makes the end and unusual bytes rare, so that samples look like text.

    What no model may say is impossible, and so is a control token, where no option says otherwise.
    """
    ordinary = [bool(piece) and _ORDINARY.issuperset(piece) for piece in vocabulary.pieces]
    offsets = np.where(ordinary, 0.0, _RARE_LOGIT)
    offsets[list(vocabulary.masked | vocabulary.sayable_control)] = -np.inf
    return offsets
