"""Members with different vocabularies compare the next byte: exact, whatever their tokens are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from quorate.engines.contract import Engine
from quorate.engines.vocabulary import BYTES, END, Vocabulary
from quorate.ensemble.alignments.bytes.beam import Opening, Pruning
from quorate.ensemble.alignments.bytes.predictor import BytePredictor
from quorate.ensemble.alignments.bytes.transcript import WordTranscript
from quorate.ensemble.alignments.bytes.utf8 import Utf8Constraint
from quorate.ensemble.alignments.contract import Limit, OwnIndex
from quorate.ensemble.member import Member, MemberPrompt
from quorate.request import (
    BeamOptions,
    ChatPrompt,
    FinishReason,
    Prompt,
    StoppingOptions,
    TextPrompt,
)
from quorate.request.plans import HEALING_KV_TOKENS, beam_margin


class ByteAlignment(OwnIndex):
    """``AlignmentStrategy`` over the 256 bytes and the end, constrained to valid UTF-8.

    Args:
        beam: How the members' beams prune.
    """

    has_token_ids = False
    vocabulary = BYTES
    pieces = BYTES.pieces

    def __init__(self, beam: BeamOptions) -> None:
        self.constraint = Utf8Constraint()
        self._epsilon = beam.epsilon or 0.0
        self._width = beam.width or 1

    def margin(self, left: int) -> int:
        """See ``AlignmentStrategy``.

        Where the prompt leaves little room a beam gets half of that, and what healing takes at
        least.
        """
        return min(beam_margin(self._width), max(HEALING_KV_TOKENS, left // 2))

    def predictor(
        self, engine: Engine, source: Prompt, prompt: MemberPrompt, max_tokens: int
    ) -> BytePredictor:
        """See ``AlignmentStrategy``."""
        kv_tokens = max_tokens + prompt.margin
        pruning = Pruning(self._epsilon, self._width, kv_tokens, max_tokens)
        opening = _opening(engine, source, prompt.tokens)
        return BytePredictor(engine, opening, pruning, len(prompt.tokens) + kv_tokens)

    def transcript(self, stopping: StoppingOptions) -> WordTranscript:
        """See ``AlignmentStrategy``."""
        return WordTranscript(stopping)

    def symbols(self, text: str, tokens: Sequence[int], vocabulary: Vocabulary) -> Sequence[int]:
        """See ``AlignmentStrategy``."""
        return text.encode()

    def ends_before(
        self, index: int, members: Sequence[Member[Any]], limit: Limit
    ) -> FinishReason | None:
        """See ``AlignmentStrategy``."""
        if index == END:
            return FinishReason.END_OF_GENERATION
        # Before the byte and not after it: the code point it may begin might not fit.
        longest = max(member.predictor.length for member in members)
        within = self.constraint.missing > 0
        return limit.reason if longest >= limit.max_tokens and not within else None

    def ends_behind(self, members: Sequence[Member[Any]], limit: Limit) -> FinishReason | None:
        """See ``AlignmentStrategy``."""
        return None


def _opening(engine: Engine, source: Prompt, tokens: Sequence[int]) -> Opening:
    """How a byte beam begins behind a prompt.

    A chat ends with what the template wrote, where every model expects a new token, or with a
    message that the answer goes on with. Text may go on in the middle of a token, so that its last
    token is given as bytes. Text from the very beginning stands behind the space that some
    tokenizers put there.
    """
    if isinstance(source, ChatPrompt) and not source.ends_within_text:
        return Opening(tokens)
    if isinstance(source, TextPrompt) and not source.text:
        return Opening(tokens, b" " if engine.facts.space_prefix else b"")
    last = engine.vocabulary.pieces[tokens[-1]]
    if len(tokens) < 2 or not last:
        return Opening(tokens)
    return Opening(tokens[:-1], last)
