"""Members that share a vocabulary compare tokens."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import Any

from quorate.engines.contract import Engine, LogProbs
from quorate.engines.generation import EngineSampling, SampledToken
from quorate.engines.vocabulary import Vocabulary
from quorate.ensemble.alignments.contract import Limit, OwnIndex
from quorate.ensemble.constraint import Constraint, Unconstrained
from quorate.ensemble.member import Member, MemberPrompt
from quorate.ensemble.predictor import SessionPredictor, TopPiece
from quorate.ensemble.reasoning import Reasoning, transcript_of
from quorate.ensemble.transcript import Transcript
from quorate.request import FinishReason, Prompt, StoppingOptions
from quorate.sampling.peaks import Maxima, best_of


class TokenPredictor(SessionPredictor):
    """``Predictor`` whose symbols are tokens of a vocabulary that all members share."""

    def start(self, ahead: Sequence[int] = ()) -> Awaitable[LogProbs]:
        """See ``Predictor``."""
        return self._start(ahead)

    def feed(self, symbol: int, ahead: Sequence[int] = ()) -> Awaitable[LogProbs]:
        """See ``Predictor``; symbols are token ids."""
        return self._append((symbol,), ahead)

    def guess(self, symbol: int) -> Awaitable[LogProbs]:
        """Starts on what follows a symbol that nobody has chosen yet, see ``GuessingSession``."""
        return self._opened.guess(symbol)

    def owe(self, symbol: int) -> None:
        """See ``owing.OwesSymbols``."""
        self._owe((symbol,))

    def catch_up(self) -> Awaitable[LogProbs]:
        """See ``owing.OwesSymbols``."""
        return self._append(())

    def top_piece(self, row: LogProbs) -> TopPiece:
        """See ``Predictor``."""
        best = best_of(row, self.maxima)
        return TopPiece(self.vocabulary.pieces[best], float(row[best]))

    def generate(self, options: EngineSampling) -> AsyncIterator[Sequence[SampledToken]]:
        """Starts on the prompt and lets the engine go on alone; see ``Session.generate``."""
        return self._opened.session.generate(self._prompt, options)

    def keep(self, token: int) -> None:
        """Takes a token that the engine sampled by itself into the answer."""
        self._answer.append(token)


class TokenAlignment(OwnIndex):
    """``AlignmentStrategy`` over the token ids of a vocabulary that all members share.

    Args:
        reasoning: Where the answer reasons, if anywhere.
    """

    has_token_ids = True

    def __init__(self, vocabulary: Vocabulary, reasoning: Reasoning | None = None) -> None:
        self.vocabulary = vocabulary
        self.pieces = vocabulary.pieces
        self.constraint: Constraint = Unconstrained()
        self.reasoning = reasoning

    def token_id(self, index: int) -> int | None:
        """See ``AlignmentStrategy``."""
        return index

    def maxima(self, members: Sequence[Member[Any]]) -> Sequence[Maxima | None]:
        """See ``AlignmentStrategy``; rows are compared as they came."""
        predictors = [member.predictor for member in members]
        return [one.maxima if isinstance(one, TokenPredictor) else None for one in predictors]

    def margin(self, left: int) -> int:
        """See ``AlignmentStrategy``."""
        return 0

    def predictor(
        self, engine: Engine, source: Prompt, prompt: MemberPrompt, max_tokens: int
    ) -> TokenPredictor:
        """See ``AlignmentStrategy``."""
        return TokenPredictor(engine, prompt.tokens, len(prompt.tokens) + max_tokens)

    def transcript(self, stopping: StoppingOptions) -> Transcript:
        """See ``AlignmentStrategy``."""
        return transcript_of(stopping, self.reasoning)

    def symbols(self, text: str, tokens: Sequence[int], vocabulary: Vocabulary) -> Sequence[int]:
        """See ``AlignmentStrategy``."""
        return tokens

    def ends_before(
        self, index: int, members: Sequence[Member[Any]], limit: Limit
    ) -> FinishReason | None:
        """See ``AlignmentStrategy``."""
        if index in self.vocabulary.end_of_generation:
            return FinishReason.END_OF_GENERATION
        return None

    def ends_behind(self, members: Sequence[Member[Any]], limit: Limit) -> FinishReason | None:
        """See ``AlignmentStrategy``; so the last token is never fed for a row that nobody reads."""
        length = members[0].predictor.length
        return limit.reason if length + 1 >= limit.max_tokens else None
