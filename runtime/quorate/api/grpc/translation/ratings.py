"""Ratings of answers, between protobuf and the runtime."""

from __future__ import annotations

from quorate.access import limits
from quorate.dispatch.feedback import RatedVote
from quorate.v1 import inference_pb2


def rating(message: inference_pb2.RateRequest) -> tuple[str, float]:
    """Which request is rated, and how.

    Raises:
        InvalidRequest: It names none, or the score is missing or none.
    """
    request_id = limits.filled("request_id", message.request_id, "name the request that is rated")
    score = message.score if message.HasField("score") else None
    return limits.request_id("request_id", request_id), limits.score("score", score)


def rate_response(rated: RatedVote) -> inference_pb2.RateResponse:
    """What a rating did."""
    return inference_pb2.RateResponse(
        vote=rated.vote, task=rated.task, quality_before=rated.before, quality=rated.after
    )
