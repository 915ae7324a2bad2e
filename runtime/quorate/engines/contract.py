"""What the vote may ask of an engine.

An engine answers with log-probs and knows nothing of plans, weights or sampling.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from quorate.engines.byte_order import PrefixSums
from quorate.engines.generation import EngineSampling, SampledToken
from quorate.engines.template_facts import TemplateFacts
from quorate.engines.vocabulary import Vocabulary
from quorate.request import Prompt
from quorate.sampling.peaks import Maxima

LogProbs: TypeAlias = npt.NDArray[np.float32]
"""Normalised log-probs of the next token, natural log, shape (vocabulary,).

What no model may say (``Vocabulary.masked``: padding, the beginning of a text) is -inf, and the
rest is normalised without it. Control tokens that may be said are in it like any token.
"""

MaskedMass: TypeAlias = npt.NDArray[np.float32]
"""The probability that a row's masked tokens had before, shape (1,)."""

LogProbRows: TypeAlias = npt.NDArray[np.float32]
"""Log-probs behind several tokens in a row, shape (rows, vocabulary); each row as ``LogProbs``."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can do.

    Where it cannot rewind the caller replays the prefix instead.

    Attributes:
        fork: Whether a branch shares the KV entries of what it has in common with its parent;
            elsewhere the engine reads those tokens again.
        rewind: Whether a session can forget its last tokens.
        generate: Whether it can sample tokens by itself, see ``Session.generate``.
        own_sampler: Whether it does so with a sampler of its own: with other random numbers than a
            vote, without bias and penalties, and without waiting for a reader. Elsewhere our
            sampler draws, and gives the answer of a vote of one.
    """

    chat: bool
    fork: bool
    rewind: bool
    generate: bool = False
    own_sampler: bool = False


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What is known of a model once it is loaded.

    Attributes:
        description: One line for people, such as ``llama 135M Q4_1``.
        context_length: Most tokens one session can hold.
        sessions: Most sessions that can be open at once.
        kv_tokens: Tokens that the KV cache holds; the reservations of all sessions together never
            exceed it.
        shares_kv: Whether what branches have in common is held once.
        block_rows: Most rows that ``Session.feed_block`` gives at once, at least 1.
        space_prefix: Whether the tokenizer puts a space before text that begins a document, as
            SentencePiece's do.
        memory_bytes: Resident size estimate of weights and KV cache; 0 where unknown.
        warnings: What may make its answers worse, one line each.
        reasoning: Tokens that begin and end its reasoning, in pairs.
        template: What its chat template can do; ``capabilities.chat`` says whether it has one that
            can be used.
    """

    description: str
    context_length: int
    sessions: int
    kv_tokens: int
    capabilities: Capabilities
    memory_bytes: int = 0
    shares_kv: bool = False
    space_prefix: bool = False
    warnings: tuple[str, ...] = ()
    reasoning: tuple[tuple[int, int], ...] = ()
    template: TemplateFacts = field(default_factory=TemplateFacts)
    block_rows: int = 1


class Session(Protocol):
    """One sequence of tokens inside an engine. Not for concurrent use: one call at a time.

    After any call raised ``WorkerLost`` only ``close`` is allowed.
    """

    @property
    def position(self) -> int:
        """Number of tokens held."""
        ...

    @property
    def cached_tokens(self) -> int:
        """How many of the first feed's tokens were found in the prefix cache."""
        ...

    @property
    def busy_seconds(self) -> float:
        """Time between feeds and their answers so far, but for what other models computed in it."""
        ...

    @property
    def prefix_sums(self) -> PrefixSums:
        """Running sums of the last row's probabilities, in the byte order of the vocabulary.

        Only for sessions that were opened with branches, and valid as long as the row is.
        """
        ...

    @property
    def masked_mass(self) -> float:
        """The probability that the model gave to masked tokens in the last row, in [0, 1]."""
        ...

    @property
    def maxima(self) -> Maxima | None:
        """The largest log-probs of groups of the last row, see ``sampling.peaks``.

        Valid as long as the row is. None of small rows, and where the session has prefix sums.
        """
        ...

    @property
    def block_sums(self) -> npt.NDArray[np.float64]:
        """``prefix_sums`` of each row of the last block, shape (rows, vocabulary + 1).

        Valid as long as the block is.
        """
        ...

    @property
    def block_masked(self) -> npt.NDArray[np.float32]:
        """``masked_mass`` of each row of the last block, shape (rows,), valid as long as it is."""
        ...

    @property
    def block_maxima(self) -> npt.NDArray[np.float32] | None:
        """``maxima`` of the last block, float32 of shape (rows, maxima), valid as long as it is."""
        ...

    def feed(self, tokens: Sequence[int]) -> Awaitable[LogProbs]:
        """Appends tokens; the result is the log-probs of the one that would follow.

        The work starts at the call, not at the await (a plain method that returns a future), so
        that several members work at once and the caller can do other things meanwhile.

        Args:
            tokens: One or more token ids; the first feed of a session is its prompt.

        Returns:
            A read-only view, float32 of shape (vocabulary,), normalised, valid until the next call
            on this session or its closing; copy it to keep it.

        Raises:
            InvalidRequest: An id outside the vocabulary, or more tokens than were reserved.
            WorkerLost: The process behind the engine died.
        """
        ...

    def feed_block(self, tokens: Sequence[int], rows: int) -> Awaitable[LogProbRows]:
        """Appends tokens; the result is the log-probs behind each of the last ``rows`` of them.

        As ``feed`` in everything else. It costs one decode call where the engine can, which takes
        much less than as many feeds; elsewhere the engine decodes one token after the other, still
        in one round trip.

        Args:
            tokens: As those of ``feed``.
            rows: From 1 to the number of tokens, at most ``facts.block_rows``.

        Returns:
            A read-only view, float32 of shape (rows, vocabulary); the last row is what ``feed``
            gives. Valid until the next call on this session or its closing.

        Raises:
            InvalidRequest: What ``feed`` refuses, or another number of rows.
            WorkerLost: The process behind the engine died.
        """
        ...

    def score(self, tokens: Sequence[int]) -> Awaitable[Sequence[float]]:
        """Feeds the tokens of a whole text to an empty session and tells how probable each was.

        Nothing of it is taken from the prefix cache. Like ``feed``, the work starts at the call.

        Returns:
            The log-prob of every token but the first, in nats.

        Raises:
            InvalidRequest: The session is not empty, or what ``feed`` refuses.
            WorkerLost: The process behind the engine died.
        """
        ...

    def generate(
        self, tokens: Sequence[int], options: EngineSampling
    ) -> AsyncIterator[Sequence[SampledToken]]:
        """Feeds tokens and lets the engine sample what follows, without waiting for anyone.

        Like ``feed``, the work starts at the call; every error comes out of the iterator. From then
        on the session can only be closed, which ends the generation at once and the iterator with
        it. A slow reader holds nobody else up: what was sampled meanwhile waits for it. Where our
        sampler draws, the generation stands still while it is ``SAMPLED_AHEAD`` tokens ahead.

        Args:
            tokens: As those of ``feed``.
            options: How tokens are sampled.

        Returns:
            An iterator over the tokens that were sampled since it was last asked, at least one at
            a time. It ends behind a token that ends generation, which is the last, or behind
            ``options.max_tokens`` tokens; without either where bias and penalties leave no token.

        Raises:
            InvalidRequest: What ``feed`` refuses, or the tokens and ``options.max_tokens`` together
                are more than were reserved.
            UnsupportedPlan: ``capabilities.generate`` is false; or there are bias or penalties, and
                the engine has a sampler of its own.
            WorkerLost: The process behind the engine died.
        """
        ...

    def branch(self) -> Session:
        """Opens a session that holds the same tokens, in a slot reserved by ``Engine.open``.

        The KV entries are shared where the engine can fork; elsewhere the tokens are fed again
        with the branch's first feed. The branch has no row before that.

        Raises:
            InvalidRequest: Every reserved slot is taken.
            WorkerLost: The process behind the engine died.
        """
        ...

    def rewind(self, count: int) -> None:
        """Forgets the last ``count`` tokens; the next feed continues from there.

        It waits for nothing: the engine hears of it before it hears of the next feed. Until that
        the rows that were given stay valid.

        Raises:
            InvalidRequest: ``count`` is negative or exceeds ``position``.
            UnsupportedPlan: ``capabilities.rewind`` is false.
        """
        ...

    def close(self) -> None:
        """Frees the session at once, also in the middle of a feed. Idempotent, never raises."""
        ...


class Engine(Protocol):
    """One loaded model."""

    @property
    def facts(self) -> ModelFacts:
        """Facts of the loaded model."""
        ...

    @property
    def vocabulary(self) -> Vocabulary:
        """The model's tokens."""
        ...

    @property
    def worked_seconds(self) -> float:
        """For how long its decode calls have taken so far, with their waits for other models'.

        It begins anew where the process behind the engine does.
        """
        ...

    async def encode(self, prompt: Prompt) -> list[int]:
        """Turns a prompt into this model's tokens, with BOS where the model wants one.

        Special tokens written in user text stay text, but in a text that asks for them. A chat that
        ends with a message of the assistant ends with its text.

        Raises:
            UnsupportedPlan: A chat, and the model has no template.
            InvalidRequest: The template refuses these messages, or it takes too long.
            PromptTooLong: It has more tokens than the context holds.
            PromptQuarantined: Processes died of it.
            Unavailable: There is nothing to encode with now.
            TemplateRefused: The template refuses these messages, or leaves some of them out.
        """
        ...

    async def encode_continuation(self, text: str) -> list[int]:
        """Turns text into tokens as it would continue a prompt: no BOS, no dummy prefix."""
        ...

    async def open(self, tokens: int, branches: int = 0) -> Session:
        """Opens a session that may grow to ``tokens`` tokens.

        Waits in order of arrival until enough slots and KV tokens are free. Cancelling the task
        that waits gives up its turn.

        Args:
            tokens: Most tokens of the session, and of each branch. Where branches share KV entries
                they are also the most that all of them together may take.
            branches: Slots for branches that live beside the session; they are freed with the
                last of the fork group. Where there are any, rows come with their prefix sums.

        Raises:
            PromptTooLong: More than the context length, so that it could never be admitted.
            UnsupportedPlan: More branches than the engine has sessions, or than its KV cache holds.
            WorkerLost: The process behind the engine died while waiting.
            Unavailable: The engine is closed or restarting.
        """
        ...

    async def wait_ready(self) -> None:
        """Returns once ``open`` can work again after a ``WorkerLost``.

        Raises:
            Unavailable: The engine is closed or has given up.
        """
        ...

    async def close(self) -> None:
        """Closes every session and frees the memory. Idempotent."""
        ...
