"""The servicer of ``InferenceService``."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace
from typing import Any, TypeAlias, TypeVar

import grpc

from quorate.access import limits
from quorate.access.keys import GENERATE
from quorate.access.record import CURRENT, RequestRecord
from quorate.api.grpc.reading import RequestReader
from quorate.api.grpc.translation.ratings import rate_response, rating
from quorate.api.grpc.translation.requests import generate_request, score_request
from quorate.api.grpc.translation.responses import (
    explain_response,
    generate_response,
    score_response,
)
from quorate.dispatch import Dispatcher
from quorate.request import Request, ScoreRequest
from quorate.v1 import inference_pb2, inference_pb2_grpc

_Asked = TypeVar("_Asked", Request, ScoreRequest)
_Context: TypeAlias = "grpc.aio.ServicerContext[Any, inference_pb2.GenerateResponse]"


class InferenceServicer(inference_pb2_grpc.InferenceServiceServicer):
    """Hands requests to the dispatcher. Domain errors pass; the interceptor translates them."""

    def __init__(self, dispatcher: Dispatcher, reader: RequestReader) -> None:
        self._dispatcher = dispatcher
        self._reader = reader

    async def Generate(  # noqa: N802 - the name is the RPC's
        self, request: inference_pb2.GenerateRequest, context: _Context
    ) -> None:
        """Streams an answer.

        Each write waits until the transport takes the message, so a slow reader holds back its own
        request and no buffer grows; for how long, ``PatientContext`` says. Written and not yielded:
        a cancelled RPC is noticed here in either case, and the dispatcher's iterator is closed
        before anything else happens.
        """
        record = _identified(request.request_id)
        asked = await self._asked(request, record, context, context.time_remaining())
        del request
        async with aclosing(self._dispatcher.generate(asked)) as events:
            async for event in events:
                record.note(event)
                await context.write(generate_response(event))

    async def Score(  # noqa: N802 - the name is the RPC's
        self, request: inference_pb2.ScoreRequest, context: _Context
    ) -> inference_pb2.ScoreResponse:
        """Scores a continuation."""
        record = _identified(request.request_id)
        asked = await self._reader.run(
            request.ByteSize(),
            lambda: score_request(request, record.request_id, record.caller.key),
        )
        asked = _placed(asked, record, context)
        score = await self._dispatcher.score(asked)
        record.decide(score.decision)
        record.used(score.usage)
        return score_response(score)

    async def Explain(  # noqa: N802 - the name is the RPC's
        self, request: inference_pb2.ExplainRequest, context: _Context
    ) -> inference_pb2.ExplainResponse:
        """Tells what would happen to a request."""
        record = _identified(request.request.request_id)
        asked = await self._asked(request.request, record, context)
        decision = self._dispatcher.explain(asked)
        record.decide(decision)
        return explain_response(decision)

    async def Rate(  # noqa: N802 - the name is the RPC's
        self, request: inference_pb2.RateRequest, context: _Context
    ) -> inference_pb2.RateResponse:
        """Counts what the caller thought of an answer."""
        caller = CURRENT.get().caller
        caller.require(GENERATE)
        request_id, score = rating(request)
        return rate_response(await self._dispatcher.feedback.rate(caller.key, request_id, score))

    async def _asked(
        self,
        request: inference_pb2.GenerateRequest,
        record: RequestRecord,
        context: grpc.aio.ServicerContext[Any, Any],
        deadline_seconds: float | None = None,
    ) -> Request:
        asked = await self._reader.run(
            request.ByteSize(),
            lambda: generate_request(
                request, record.request_id, record.caller.key, deadline_seconds
            ),
        )
        return _placed(asked, record, context)


def _placed(
    asked: _Asked, record: RequestRecord, context: grpc.aio.ServicerContext[Any, Any]
) -> _Asked:
    """Notes what is asked for, and says with it where it comes from."""
    record.ask(asked.plan)
    return replace(asked, trace_parent=_trace_parent(context), origin=record.origin)


def _trace_parent(context: grpc.aio.ServicerContext[Any, Any]) -> str:
    headers = context.invocation_metadata() or ()
    found = (value for name, value in headers if name == "traceparent" and isinstance(value, str))
    return limits.trace_parent(next(found, None))


def _identified(request_id: str) -> RequestRecord:
    """The record of a call whose caller may ask, under the id that the caller chose."""
    record = CURRENT.get()
    record.caller.require(GENERATE)
    record.identify(request_id)
    return record
