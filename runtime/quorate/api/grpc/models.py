"""The servicer of ``ModelService``."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any, TypeAlias

import grpc

from quorate.access import limits
from quorate.access.keys import GENERATE, MODELS
from quorate.access.record import CURRENT
from quorate.api.grpc.translation.responses import model_message
from quorate.api.grpc.translation.tokens import (
    detokenize_response,
    prompt_to_tokenize,
    tokenize_response,
)
from quorate.api.tokenizing import Tokenizing
from quorate.fleet.fleet import Fleet
from quorate.v1 import models_pb2, models_pb2_grpc

_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class ModelServicer(models_pb2_grpc.ModelServiceServicer):
    """Hands requests to the fleet. Domain errors pass; the interceptor translates them."""

    def __init__(self, fleet: Fleet, unload_seconds: float) -> None:
        self._fleet = fleet
        self._tokenizing = Tokenizing(fleet)
        self._unload_seconds = unload_seconds

    async def ListModels(  # noqa: N802 - the name is the RPC's
        self, request: models_pb2.ListModelsRequest, context: _Context
    ) -> models_pb2.ListModelsResponse:
        """Lists every model."""
        return models_pb2.ListModelsResponse(models=map(model_message, self._fleet.list()))

    async def GetModel(  # noqa: N802 - the name is the RPC's
        self, request: models_pb2.GetModelRequest, context: _Context
    ) -> models_pb2.GetModelResponse:
        """Tells of one model."""
        status = self._fleet.get(_named(request.model))
        return models_pb2.GetModelResponse(model=model_message(status))

    async def LoadModel(  # noqa: N802 - the name is the RPC's
        self, request: models_pb2.LoadModelRequest, context: _Context
    ) -> models_pb2.LoadModelResponse:
        """Loads a model; loading goes on when the caller leaves."""
        CURRENT.get().caller.require(MODELS)
        status = await self._fleet.load(_named(request.model))
        return models_pb2.LoadModelResponse(model=model_message(status))

    async def UnloadModel(  # noqa: N802 - the name is the RPC's
        self, request: models_pb2.UnloadModelRequest, context: _Context
    ) -> models_pb2.UnloadModelResponse:
        """Unloads a model once its requests have ended, or at a deadline."""
        CURRENT.get().caller.require(MODELS)
        model, patience_seconds = _named(request.model), self._unload_seconds
        if request.HasField("deadline_ms"):
            patience_seconds = request.deadline_ms / 1e3
        status = await self._fleet.unload(model, patience_seconds, force=request.force)
        return models_pb2.UnloadModelResponse(model=model_message(status))

    async def WatchModels(  # noqa: N802 - the name is the RPC's
        self, request: models_pb2.WatchModelsRequest, context: _Context
    ) -> None:
        """Streams every model's state, then each change, until the caller leaves."""
        async with aclosing(self._fleet.watch()) as changes:
            async for status in changes:
                await context.write(models_pb2.WatchModelsResponse(model=model_message(status)))

    async def Tokenize(  # noqa: N802 - the name is the RPC's
        self, request: models_pb2.TokenizeRequest, context: _Context
    ) -> models_pb2.TokenizeResponse:
        """Turns a text or a chat into tokens."""
        CURRENT.get().caller.require(GENERATE)
        model, prompt = _named(request.model), prompt_to_tokenize(request)
        return tokenize_response(
            await self._tokenizing.tokenize(model, prompt, continuation=request.continuation)
        )

    async def Detokenize(  # noqa: N802 - the name is the RPC's
        self, request: models_pb2.DetokenizeRequest, context: _Context
    ) -> models_pb2.DetokenizeResponse:
        """Turns tokens into text."""
        CURRENT.get().caller.require(GENERATE)
        model = _named(request.model)
        return detokenize_response(await self._tokenizing.detokenize(model, request.tokens))


def _named(model: str) -> str:
    CURRENT.get().name([limits.filled("model", model, "name a model")])
    return model
