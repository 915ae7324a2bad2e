"""What ``score`` asks: one piece of the text after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from quorate.cli.cutting import Limits, next_piece
from quorate.cli.members import name_members
from quorate.cli.text_scores import TextScores
from quorate.cli.views.progress import Progress
from quorate.client import Client, PlanOptions, ServiceError
from quorate.files import default_id
from quorate.request import WeightedModel
from quorate.request.plans import DEFAULT_WIDTH
from quorate.v1 import inference_pb2

# Where no model is ready the first piece is refused, whatever its size.
_ANY_CONTEXT = 512


@dataclass(frozen=True, slots=True)
class Text:
    """A text to score, and by whom.

    Attributes:
        data: Valid UTF-8, not empty.
        options: Everything of the plan but its members.
        timeout: Deadline for the whole text in seconds, or None.
    """

    data: bytes
    members: tuple[WeightedModel, ...] = ()
    options: PlanOptions = field(default_factory=PlanOptions)
    timeout: float | None = None


async def score_text(client: Client, text: Text, progress: Progress) -> TextScores:
    """Scores a text piece by piece; one that fits the contexts is one piece.

    Raises:
        ServiceError: What the server refuses, or a lost connection.
    """
    options = text.options.copy()
    name_members(options, text.members)
    now = asyncio.get_running_loop().time
    deadline = None if text.timeout is None else now() + text.timeout
    limits = await _limits(client, text)
    scores = TextScores()
    done, total = 0, len(text.data)
    halved = False
    progress(done, total)
    while done < total:
        piece = next_piece(text.data, done, limits)
        if deadline is not None:
            options["timeout"] = max(0.0, deadline - now())
        try:
            score = await client.score(piece.prompt, piece.text, **options)
        except ServiceError as error:
            if error.reason != "PROMPT_TOO_LONG" or limits.exhausted:
                raise
            limits, halved = limits.halved(), True
            continue
        if not halved:
            limits = _decided_limits(score, limits)
        scores.add(score)
        done = piece.end
        progress(done, total)
    return scores


async def _limits(client: Client, text: Text) -> Limits:
    """From the members' contexts, or from all models where only the server knows the members."""
    names: Sequence[str] = [default_id(member.model) for member in text.members]
    contexts = [
        model.context_length
        for model in await client.models()
        if model.context_length and (not names or model.id in names)
    ]
    return Limits(
        min(contexts, default=_ANY_CONTEXT), text.options.get("beam_width") or DEFAULT_WIDTH
    )


def _decided_limits(score: inference_pb2.ScoreResponse, limits: Limits) -> Limits:
    """What the plan that ran says of its members."""
    decision = score.decision
    return Limits(decision.context_tokens or limits.context, decision.beam.width or limits.width)
