"""Draws tokens from one row after the other: of a mixture, or of a model that goes on alone.

The order is that of llama.cpp's default chain: logit bias, penalties, top-k, top-p, min-p,
temperature, draw; so are the defaults.

Each position of an answer has random numbers of its own, so that nobody who guesses what will be
drawn there changes it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple, TypeVar

import numpy as np

from quorate.errors import Internal, InvalidRequest
from quorate.request import SamplingOptions
from quorate.sampling.coupling import Distribution, Numbers, Proposal, Truncation, couple
from quorate.sampling.options import validate_bias
from quorate.sampling.peaks import Logits
from quorate.sampling.penalties import Penalties
from quorate.sampling.shortlist import Choosable, Ranked, Shortlist, ranked

DEFAULT_TEMPERATURE = 0.8
DEFAULT_TOP_K = 40
DEFAULT_TOP_P = 0.95
DEFAULT_MIN_P = 0.05

# Below it, differences between float32 log-probs overflow when divided; the draw is greedy long
# before.
_LEAST_TEMPERATURE = 1e-30
# Among more than so many it is no faster to look at the most probable tokens only.
_MOST_LISTED = 1024

_Number = TypeVar("_Number", int, float)


class Sampler:
    """Draws the tokens of one answer and remembers them for the penalties.

    Each step with a temperature takes one uniform number from PCG64 and inverts the distribution of
    the kept candidates in descending order, ids deciding among equals: equal mixtures, options and
    seed give equal tokens. Temperature 0 is greedy: the best token, the lowest id among equals.

    Where a member proposes at every step, its own distribution goes through the same steps, and the
    token is drawn so that it is the proposal as often as can be (``coupling``). That depends on
    who proposes, and not on whether the proposal was guessed before.

    Args:
        options: Valid ones, see ``options.validate``. What is not set gets llama.cpp's
            default; penalties are then off. The seed in it is not looked at.
        vocabulary_size: Length of every mixture.
        seed: Seed of the generator, not negative.
        prompt: Tokens of the prompt, which count for the repetition penalty.

    Attributes:
        proposal: What was proposed for the last token; None where nobody proposed anything.

    Raises:
        InvalidRequest: Names the first id of ``logit_bias`` outside the vocabulary.
    """

    def __init__(
        self, options: SamplingOptions, vocabulary_size: int, seed: int, prompt: Sequence[int] = ()
    ) -> None:
        validate_bias(options, vocabulary_size)
        temperature = given(options.temperature, DEFAULT_TEMPERATURE)
        self._greedy = temperature == 0
        self._how = Truncation(
            max(temperature, _LEAST_TEMPERATURE),
            given(options.top_k, DEFAULT_TOP_K),
            given(options.top_p, DEFAULT_TOP_P),
            given(options.min_p, DEFAULT_MIN_P),
        )
        self._truncates = self._how.cuts(vocabulary_size)
        self._penalties = Penalties(options, prompt)
        self._numbers = _NumbersByPosition(seed)
        self._guessed: list[_Guessed] = []
        self.proposal: Proposal | None = None

    def sample(self, mixture: Choosable, proposed: Choosable | None = None) -> int:
        """Chooses the next token and adds it to the history.

        Args:
            mixture: Normalised log-probs, float32 of shape (vocabulary,), not modified, or what
                gives as much of them as is needed. The log-prob to report is the one of these:
                before bias, temperature and truncation.
            proposed: Those of the member that proposes, likewise.

        Raises:
            InvalidRequest: Bias and penalties leave no token.
            Internal: The mixture has no token of any probability, or is not a number.
        """
        target = ranked(mixture)
        logits = self._contenders(target, self._penalties)
        best = logits.best()
        if best is None:
            raise _nothing_left(target.row)
        self.proposal = None
        if self._greedy:
            token = best
            if proposed is not None:
                self.proposal = self.guess(proposed)
        else:
            token = self._drawn(logits, proposed)
        self._penalties.accept(token)
        return token

    @property
    def draws(self) -> bool:
        """Whether tokens are drawn, and the best one is not simply taken."""
        return not self._greedy

    def guess(self, proposed: Choosable, ahead: Sequence[int] = ()) -> Proposal | None:
        """What the member that proposes will propose, at a position that is not there yet.

        Args:
            proposed: Its log-probs there, the same that ``sample`` is given for that position.
            ahead: The tokens guessed for the positions before that one, from the next on.

        Returns:
            The proposal; None where bias and penalties leave it none.
        """
        logits = self._contenders(ranked(proposed), self._penalties.after(ahead))
        best = logits.best()
        if best is None:
            return None
        ids, listed = logits
        if self._greedy:
            # Behind penalties it is no probability any more, but as good a measure.
            return Proposal(best, math.exp(min(0.0, listed.max())))
        # The row may be overwritten before its position is there.
        kept = listed if ids is not None or self._truncates else listed.copy()
        guessed = Distribution(kept, self._how, ids)
        self._guessed[len(ahead) :] = [_Guessed(tuple(ahead), guessed)]
        token = guessed.draw(self._numbers.peek(len(ahead)).proposing)
        return Proposal(token, guessed.probability(token))

    def accept(self, token: int) -> None:
        """Takes a token that another sampler drew with the same options, as if it were from here.

        Whoever goes on afterwards draws what the other one would have drawn.
        """
        if not self._greedy:
            self._numbers.take()
        self._penalties.accept(token)

    def _contenders(self, distribution: Ranked, penalties: Penalties) -> Shortlist:
        """All tokens that can be chosen, with some that cannot, behind the penalties."""
        if self._greedy and penalties.idle:
            listed = distribution.best()
        else:
            count, touched = 1 if self._greedy else self._how.top_k, penalties.touched
            if count and count + len(touched) <= _MOST_LISTED:
                listed = distribution.shortlist(count, touched)
            else:
                listed = Shortlist(None, distribution.row)
        return Shortlist(listed.ids, penalties.apply(listed.logprobs, listed.ids))

    def _drawn(self, logits: Shortlist, proposed: Choosable | None) -> int:
        numbers = self._numbers.take()
        proposal = None if proposed is None else self._proposal(proposed)
        target = Distribution(logits.logprobs, self._how, logits.ids)
        if proposal is None:
            token = target.draw(numbers.proposing)
        else:
            drawn = couple(target, proposal, numbers)
            token, self.proposal = drawn.token, drawn.proposal
        # What was guessed behind this position holds while it is what was guessed for it.
        self._guessed = [
            _Guessed(one.ahead[1:], one.distribution)
            for one in self._guessed[1:]
            if one.ahead[0] == token
        ]
        return token

    def _proposal(self, proposed: Choosable) -> Distribution | None:
        """What the member that proposes draws from now; None where that is nothing."""
        if self._guessed and not self._guessed[0].ahead:
            return self._guessed[0].distribution
        logits = self._contenders(ranked(proposed), self._penalties)
        if logits.best() is None:
            return None
        return Distribution(logits.logprobs, self._how, logits.ids)


class _Guessed(NamedTuple):
    """What the member that proposes draws from, behind the tokens ``ahead``."""

    ahead: tuple[int, ...]
    distribution: Distribution


class _NumbersByPosition:
    """The random numbers of the positions of one answer, from PCG64.

    What a draw without a proposal takes is a stream of its own.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._ahead: deque[Numbers] = deque()

    def peek(self, ahead: int) -> Numbers:
        """Those of a position so far behind the next one; they stay there."""
        proposing, coupling = self._streams
        while len(self._ahead) <= ahead:
            numbers = Numbers(proposing.random(), coupling.random(), coupling.random())
            self._ahead.append(numbers)
        return self._ahead[ahead]

    def take(self) -> Numbers:
        """Those of the next position, which is then past."""
        numbers = self.peek(0)
        self._ahead.popleft()
        return numbers

    @cached_property
    def _streams(self) -> tuple[np.random.Generator, np.random.Generator]:
        """Made when they are needed: a greedy answer takes none."""
        bits = np.random.PCG64(self._seed)
        return np.random.Generator(bits), np.random.Generator(bits.jumped())


def given(value: _Number | None, default: _Number) -> _Number:
    """What a caller set, or else the default."""
    return default if value is None else value


def nothing_left() -> InvalidRequest:
    """What is said where bias and penalties leave nothing of a row."""
    return InvalidRequest(
        "sampling.logit_bias", "bias and penalties rule out every token; lower them"
    )


def _nothing_left(mixture: Logits) -> InvalidRequest | Internal:
    if mixture.max() > -np.inf:
        return nothing_left()
    return Internal("the mixture of the members' distributions holds no probable token")
