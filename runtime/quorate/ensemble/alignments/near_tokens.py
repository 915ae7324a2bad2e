"""Members whose vocabularies are near-equal compare tokens, over the union of what they have."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from quorate.engines.contract import Engine, LogProbs
from quorate.engines.vocabulary import Vocabulary
from quorate.ensemble.alignments.contract import Limit, OwnIndex
from quorate.ensemble.alignments.token_union import MemberView, TokenUnion, unite_tokens
from quorate.ensemble.constraint import Constraint, Unconstrained
from quorate.ensemble.guesses import Later, Ready
from quorate.ensemble.member import Member, MemberPrompt
from quorate.ensemble.predictor import SessionPredictor, TopPiece
from quorate.ensemble.reasoning import Reasoning, transcript_of
from quorate.ensemble.transcript import Transcript
from quorate.request import FinishReason, Prompt, SamplingOptions, StoppingOptions
from quorate.sampling.options import validate_bias

# Tokens that one of another member may be for a member that lacks it: an added word or mark.
_LONGEST_TOKEN = 32


class NearTokenPredictor(SessionPredictor):
    """``Predictor`` whose symbols are those of a union of tokens.

    A token that the member lacks is fed as the fewest of its own that make up its text; a control
    token that it lacks, and a text that it cannot spell, leaves no trace.
    """

    def __init__(
        self, engine: Engine, prompt: Sequence[int], kv_tokens: int, union: TokenUnion
    ) -> None:
        super().__init__(engine, prompt, kv_tokens)
        self._union = union
        self._view = union.view(engine.vocabulary)
        self._row: LogProbs | None = None

    @property
    def view(self) -> MemberView:
        """How its tokens become symbols."""
        return self._view

    def start(self, ahead: Sequence[int] = ()) -> Awaitable[LogProbs]:
        """See ``Predictor``."""
        return Later(self._start(self._each(ahead)), self._keep)

    def feed(self, symbol: int, ahead: Sequence[int] = ()) -> Awaitable[LogProbs]:
        """See ``Predictor``; symbols are the union's."""
        return self._given(self.tokens(symbol), self._each(ahead))

    def owe(self, symbol: int) -> None:
        """See ``owing.OwesSymbols``."""
        self._owe(self.tokens(symbol))

    def catch_up(self) -> Awaitable[LogProbs]:
        """See ``owing.OwesSymbols``."""
        return self._given(())

    def guess(self, symbol: int) -> Awaitable[LogProbs]:
        """Starts on what follows a symbol that nobody has chosen yet, one that is its own token."""
        (token,) = self.tokens(symbol)
        return self._opened.guess(token)

    def tokens(self, symbol: int) -> Sequence[int]:
        """A symbol in the member's own tokens; none where it leaves no trace."""
        token = self._view.token(symbol)
        if token is not None:
            return (token,)
        piece = self._union.vocabulary.pieces[symbol]
        return self.vocabulary.byte_order.segment(piece) or () if piece else ()

    def top_piece(self, row: LogProbs) -> TopPiece:
        """See ``Predictor``; ``row`` is one over the symbols."""
        best = int(row.argmax())
        return TopPiece(self._union.vocabulary.pieces[best], float(row[best]))

    def fits(self, symbol: int) -> bool:
        """Whether there is room for a symbol."""
        held = self._held + len(self._owed)
        return held + len(self.tokens(symbol)) <= self._kv_tokens

    def _each(self, symbols: Sequence[int]) -> Iterator[int]:
        """Its own tokens of several symbols, one after the other."""
        return (token for symbol in symbols for token in self.tokens(symbol))

    def _given(self, tokens: Sequence[int], ahead: Iterable[int] = ()) -> Awaitable[LogProbs]:
        """Feeds tokens, of which there may be none: then the last row stays in force."""
        if not tokens and not self._owed and self._row is not None:
            return Ready(self._row)
        return Later(self._append(tokens, ahead), self._keep)

    def _keep(self, row: LogProbs) -> LogProbs:
        """Remembers a row, which a symbol that leaves no trace leaves in force."""
        self._row = row
        return row


class NearTokenAlignment(OwnIndex):
    """``AlignmentStrategy`` over the union of near-equal vocabularies.

    Args:
        reasoning: Where the answer reasons, by the members' own ids, if anywhere.
    """

    has_token_ids = True

    def __init__(
        self, vocabularies: Sequence[Vocabulary], reasoning: Reasoning | None = None
    ) -> None:
        self._union = unite_tokens(vocabularies)
        self._vocabularies = vocabularies
        self.vocabulary = self._union.vocabulary
        self.pieces = self.vocabulary.pieces
        self.constraint: Constraint = Unconstrained()
        self.reasoning = reasoning
        self._buffers: list[LogProbs] = []

    def margin(self, left: int) -> int:
        """See ``AlignmentStrategy``; at most half of what the prompt leaves."""
        return min(_LONGEST_TOKEN, left // 2)

    def predictor(
        self, engine: Engine, source: Prompt, prompt: MemberPrompt, max_tokens: int
    ) -> NearTokenPredictor:
        """See ``AlignmentStrategy``."""
        kv_tokens = len(prompt.tokens) + max_tokens + prompt.margin
        return NearTokenPredictor(engine, prompt.tokens, kv_tokens, self._union)

    def transcript(self, stopping: StoppingOptions) -> Transcript:
        """See ``AlignmentStrategy``."""
        return transcript_of(stopping, self.reasoning)

    def compare(
        self, members: Sequence[Member[int]], rows: Sequence[LogProbs], given: int | None = None
    ) -> Sequence[LogProbs]:
        """See ``AlignmentStrategy``; the rows are overwritten by the next call."""
        while len(self._buffers) < len(rows):
            self._buffers.append(np.empty(len(self.pieces), np.float32))
        compared = self._buffers[: len(rows)]
        for member, row, out in zip(members, rows, compared, strict=True):
            self._union.view(member.engine.vocabulary).write(row, out)
        return compared

    def token_id(self, index: int) -> int | None:
        """See ``AlignmentStrategy``; what is another token under its id elsewhere has none."""
        return index if index < self._union.longest else None

    def biased(self, options: SamplingOptions) -> SamplingOptions:
        """See ``AlignmentStrategy``; of several ends the last one counts."""
        validate_bias(options, self._union.longest)
        symbol_of = self._union.symbol_of_id
        bias = {symbol_of(token): bias for token, bias in options.logit_bias.items()}
        return replace(options, logit_bias=bias)

    def symbols(self, text: str, tokens: Sequence[int], vocabulary: Vocabulary) -> Sequence[int]:
        """See ``AlignmentStrategy``.

        What some member lacks is cut as that member would cut it, so that no member finds a text
        impossible that another has a token for.
        """
        view = self._union.view(vocabulary)
        return [part for token in tokens for part in self._known_to_all(view.symbol(token))]

    def fits(self, members: Sequence[Member[Any]], symbol: int) -> bool:
        """See ``AlignmentStrategy``."""
        predictors = (member.predictor for member in members)
        return all(one.fits(symbol) for one in predictors if isinstance(one, NearTokenPredictor))

    def ends_before(
        self, index: int, members: Sequence[Member[Any]], limit: Limit
    ) -> FinishReason | None:
        """See ``AlignmentStrategy``."""
        if index in self.vocabulary.end_of_generation:
            return FinishReason.END_OF_GENERATION
        return None if self.fits(members, index) else FinishReason.CONTEXT_FULL

    def ends_behind(self, members: Sequence[Member[Any]], limit: Limit) -> FinishReason | None:
        """See ``AlignmentStrategy``."""
        length = max(member.predictor.length for member in members)
        return limit.reason if length + 1 >= limit.max_tokens else None

    def _known_to_all(self, symbol: int) -> Sequence[int]:
        for vocabulary in self._vocabularies:
            view = self._union.view(vocabulary)
            if view.token(symbol) is None:
                parts = vocabulary.byte_order.segment(self.pieces[symbol])
                return [view.symbol(part) for part in parts] if parts else (symbol,)
        return (symbol,)
