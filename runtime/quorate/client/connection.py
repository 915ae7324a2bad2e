"""The connection to one server, with a method for each thing that can be asked of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Self, Unpack

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from quorate.client.errors import service_errors
from quorate.client.requests import (
    GenerateOptions,
    PlanOptions,
    generate_request,
    score_request,
)
from quorate.v1 import inference_pb2, inference_pb2_grpc, models_pb2, models_pb2_grpc

DEFAULT_TARGET = "127.0.0.1:50051"

_CHANNEL_OPTIONS = [
    ("grpc.max_receive_message_length", 16 * 2**20),
    # A server on this machine is never behind the proxy that the environment may name.
    ("grpc.enable_http_proxy", 0),
]


class Client:
    """A connection to one server, to be used as an async context manager.

    Every method raises ``ServiceError`` for what the server refuses, and ``InvalidRequest`` for
    arguments that no request can be built from.

    Args:
        target: ``HOST:PORT`` of the server.
        credentials: TLS credentials; None speaks plain text.
    """

    def __init__(
        self, target: str = DEFAULT_TARGET, *, credentials: grpc.ChannelCredentials | None = None
    ) -> None:
        self.target = target
        self._credentials = credentials
        self._channel: grpc.aio.Channel | None = None

    async def __aenter__(self) -> Self:
        if self._credentials is None:
            self._channel = grpc.aio.insecure_channel(self.target, _CHANNEL_OPTIONS)
        else:
            self._channel = grpc.aio.secure_channel(
                self.target, self._credentials, _CHANNEL_OPTIONS
            )
        return self

    async def __aexit__(self, *_: object) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    async def generate(
        self, prompt: str | None = None, **options: Unpack[GenerateOptions]
    ) -> AsyncIterator[inference_pb2.GenerateResponse]:
        """Streams an answer to a prompt or to ``messages``.

        Closing the iterator ends the request at the server.

        Yields:
            ``accepted``, then ``delta`` and ``notice``, at last ``finished``.
        """
        call = self._inference.Generate(
            generate_request(prompt, **options), timeout=options.get("timeout")
        )
        try:
            with service_errors(self.target):
                async for response in call:
                    yield response
        finally:
            call.cancel()

    async def complete(self, prompt: str | None = None, **options: Unpack[GenerateOptions]) -> str:
        """Returns the text of an answer; arguments as for ``generate``."""
        pieces = [event.delta.text async for event in self.generate(prompt, **options)]
        return "".join(pieces)

    async def score(
        self, prompt: str | None, continuation: str, **options: Unpack[PlanOptions]
    ) -> inference_pb2.ScoreResponse:
        """Returns the log-probability of a continuation, in nats."""
        request = score_request(prompt, continuation, **options)
        return await self._ask(self._inference.Score, request, options.get("timeout"))  # type: ignore[no-any-return]

    async def models(self) -> list[models_pb2.Model]:
        """Returns every model of the server, in the order of its configuration."""
        response = await self._ask(self._models.ListModels, models_pb2.ListModelsRequest())
        return list(response.models)

    async def model(self, model: str) -> models_pb2.Model:
        """Returns one model."""
        request = models_pb2.GetModelRequest(model=model)
        return (await self._ask(self._models.GetModel, request)).model  # type: ignore[no-any-return]

    async def load(self, model: str) -> models_pb2.Model:
        """Loads a model and returns when it is ready."""
        request = models_pb2.LoadModelRequest(model=model)
        return (await self._ask(self._models.LoadModel, request)).model  # type: ignore[no-any-return]

    async def unload(self, model: str) -> models_pb2.Model:
        """Unloads a model once the requests that use it have ended."""
        request = models_pb2.UnloadModelRequest(model=model)
        return (await self._ask(self._models.UnloadModel, request)).model  # type: ignore[no-any-return]

    async def watch_models(self) -> AsyncIterator[models_pb2.Model]:
        """Yields every model as it is now, then each one that changes."""
        call = self._models.WatchModels(models_pb2.WatchModelsRequest())
        try:
            with service_errors(self.target):
                async for response in call:
                    yield response.model
        finally:
            call.cancel()

    async def healthy(self, model: str | None = None) -> bool:
        """Whether the server, or one of its models, serves requests now."""
        service = "" if model is None else f"quorate.model/{model}"
        stub = health_pb2_grpc.HealthStub(self._open_channel)
        response = await self._ask(stub.Check, health_pb2.HealthCheckRequest(service=service))
        return bool(response.status == health_pb2.HealthCheckResponse.SERVING)

    async def _ask(self, method: Any, request: Any, timeout: float | None = None) -> Any:
        with service_errors(self.target):
            return await method(request, timeout=timeout)

    @property
    def _open_channel(self) -> grpc.aio.Channel:
        if self._channel is None:
            raise RuntimeError("use the client inside `async with Client(...) as client:`")
        return self._channel

    @property
    def _inference(self) -> Any:
        return inference_pb2_grpc.InferenceServiceStub(self._open_channel)  # type: ignore[no-untyped-call]

    @property
    def _models(self) -> Any:
        return models_pb2_grpc.ModelServiceStub(self._open_channel)  # type: ignore[no-untyped-call]
