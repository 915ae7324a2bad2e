"""The connection to one server, with a method for each thing that can be asked of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Self, Unpack

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from quorate.client.answers import Answer, AnswerReader
from quorate.client.arguments import ChargeOptions, GenerateOptions, Message, PlanOptions
from quorate.client.channel import authorization, open_channel, refuse_open_token
from quorate.client.errors import service_errors
from quorate.client.filling import refusing
from quorate.client.requests import (
    charges_request,
    generate_request,
    score_request,
    spend_request,
    tokenize_request,
)
from quorate.errors import InvalidRequest
from quorate.v1 import (
    accounting_pb2,
    accounting_pb2_grpc,
    inference_pb2,
    inference_pb2_grpc,
    models_pb2,
    models_pb2_grpc,
    plan_pb2,
    server_pb2,
    server_pb2_grpc,
)

DEFAULT_TARGET = "127.0.0.1:50051"


class Client:
    """A connection to one server, to be used as an async context manager.

    Every method raises ``ServiceError`` for what the server refuses, and ``InvalidRequest`` for
    arguments that no request can be built from.

    Args:
        target: ``HOST:PORT`` of the server.
        credentials: TLS credentials; None speaks plain text.
        token: Tells the server who calls; None or "" sends none.
        insecure: Whether the token may go over the network in plain text.

    Raises:
        InvalidRequest: A target without a port, or a token that cannot be sent, or that would leave
            this machine in plain text without ``insecure``.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        token: str | None = None,
        insecure: bool = False,
    ) -> None:
        if ":" not in target:
            raise InvalidRequest("target", f"is {target!r} without a port; give HOST:PORT")
        if token and credentials is None and not insecure:
            refuse_open_token(target)
        self.target = target
        self._credentials = credentials
        self._metadata = authorization(token)
        self._channel: grpc.aio.Channel | None = None

    async def __aenter__(self) -> Self:
        self._channel = open_channel(self.target, self._credentials)
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
            generate_request(prompt, **options),
            timeout=options.get("timeout"),
            metadata=self._metadata,
        )
        try:
            async with self._errors():
                async for response in call:
                    yield response
        finally:
            call.cancel()

    async def answer(self, prompt: str | None = None, **options: Unpack[GenerateOptions]) -> Answer:
        """Returns a whole answer with the calls that it makes; arguments as for ``generate``.

        What of a cascade was streamed early and then replaced is left out.
        """
        reader = AnswerReader()
        async for event in self.generate(prompt, **options):
            reader.read(event)
        return reader.answer()

    async def complete(self, prompt: str | None = None, **options: Unpack[GenerateOptions]) -> str:
        """Returns the text of an answer, as ``answer`` does; arguments as for ``generate``."""
        return (await self.answer(prompt, **options)).text

    async def explain(
        self, prompt: str | None = None, **options: Unpack[GenerateOptions]
    ) -> plan_pb2.Decision:
        """Returns the plan that would answer and all that was considered; nothing is run.

        Arguments are those of ``generate``.
        """
        request = inference_pb2.ExplainRequest(request=generate_request(prompt, **options))
        response = await self._ask(self._inference.Explain, request, options.get("timeout"))
        return response.decision  # type: ignore[no-any-return]

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

    async def unload(
        self, model: str, *, deadline_seconds: float | None = None, force: bool = False
    ) -> models_pb2.Model:
        """Unloads a model once the requests that use it have ended.

        Args:
            model: Its id.
            deadline_seconds: How long they are waited for; None takes what the server is set to.
            force: Ends those that are left by then, instead of keeping the model.
        """
        request = models_pb2.UnloadModelRequest(model=model, force=force)
        if deadline_seconds is not None:
            request.deadline_ms = round(deadline_seconds * 1e3)
        return (await self._ask(self._models.UnloadModel, request)).model  # type: ignore[no-any-return]

    async def tokenize(
        self,
        model: str,
        text: str | None = None,
        *,
        messages: Iterable[Message] | None = None,
        tools: Iterable[Mapping[str, object]] | None = None,
        parse_special: bool = False,
        continuation: bool = False,
    ) -> models_pb2.TokenizeResponse:
        """Returns the tokens of a text, or of a chat, with the bytes of each.

        Args:
            model: Whose tokenizer and template are asked.
            text: Taken as it is.
            messages: A chat instead, as for ``generate``.
            tools: Shown to the model in it.
            parse_special: Whether special tokens written in the text are special.
            continuation: Whether the text goes on with another, so that nothing begins it.
        """
        request = tokenize_request(model, text, messages, tools, parse_special, continuation)
        return await self._ask(self._models.Tokenize, request)  # type: ignore[no-any-return]

    async def detokenize(self, model: str, tokens: Iterable[int]) -> models_pb2.DetokenizeResponse:
        """Returns the text of tokens, and the bytes of each."""
        request = models_pb2.DetokenizeRequest(model=model)
        with refusing("tokens"):
            request.tokens.extend(tokens)
        return await self._ask(self._models.Detokenize, request)  # type: ignore[no-any-return]

    async def rate(self, request_id: str, score: float) -> inference_pb2.RateResponse:
        """Says what an answer was worth, from 0 to 1; plans are chosen by it from then on."""
        request = inference_pb2.RateRequest(request_id=request_id)
        with refusing("score"):
            request.score = score
        return await self._ask(self._inference.Rate, request)  # type: ignore[no-any-return]

    async def server(self) -> server_pb2.Server:
        """Returns what the server is: version, engines, machine, limits of fields."""
        return (await self._ask(self._server.GetServer, server_pb2.GetServerRequest())).server  # type: ignore[no-any-return]

    async def profiles(self) -> list[server_pb2.Profile]:
        """Returns every profile with its plan, whether it can run, and why not."""
        response = await self._ask(self._server.ListProfiles, server_pb2.ListProfilesRequest())
        return list(response.profiles)

    async def watch_models(self) -> AsyncIterator[models_pb2.Model]:
        """Yields every model as it is now, then each one that changes."""
        call = self._models.WatchModels(models_pb2.WatchModelsRequest(), metadata=self._metadata)
        try:
            async with self._errors():
                async for response in call:
                    yield response.model
        finally:
            call.cancel()

    async def budget(self, key: str = "") -> list[accounting_pb2.BudgetWindow]:
        """Returns the windows that bind a key, by default the caller's own; none is no limit."""
        request = accounting_pb2.GetBudgetRequest(key=key)
        return list((await self._ask(self._accounting.GetBudget, request)).windows)

    async def charges(
        self, *, page_size: int = 100, **filters: Unpack[ChargeOptions]
    ) -> AsyncIterator[accounting_pb2.Charge]:
        """Yields rows of the ledger, newest first, and asks for page after page.

        Args:
            page_size: Rows asked for at a time, at most 1000.
            **filters: Which rows.
        """
        request = charges_request(page_size, **filters)
        while True:
            page = await self._ask(self._accounting.ListCharges, request)
            for charge in page.charges:
                yield charge
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def spend(
        self, group_by: Iterable[str] = (), **filters: Unpack[ChargeOptions]
    ) -> accounting_pb2.SummarizeSpendResponse:
        """Returns sums of the ledger, and what the machine took that no request did.

        Args:
            group_by: Any of ``model``, ``profile``, ``key``, ``day``, ``plan_kind`` and ``task``;
                none makes one sum of all.
            **filters: Which rows.
        """
        request = spend_request(group_by, **filters)
        return await self._ask(self._accounting.SummarizeSpend, request)  # type: ignore[no-any-return]

    async def healthy(self, model: str | None = None, profile: str | None = None) -> bool:
        """Whether the server, one of its models, or one of its profiles, serves requests now."""
        service = "" if model is None else f"quorate.model/{model}"
        if profile is not None:
            service = f"quorate.profile/{profile}"
        stub = health_pb2_grpc.HealthStub(self._open_channel)
        response = await self._ask(stub.Check, health_pb2.HealthCheckRequest(service=service))
        return bool(response.status == health_pb2.HealthCheckResponse.SERVING)

    async def _ask(self, method: Any, request: Any, timeout: float | None = None) -> Any:
        async with self._errors():
            return await method(request, timeout=timeout, metadata=self._metadata)

    def _errors(self) -> AbstractAsyncContextManager[None]:
        return service_errors(self.target, tls=self._credentials is not None)

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

    @property
    def _server(self) -> Any:
        return server_pb2_grpc.ServerServiceStub(self._open_channel)  # type: ignore[no-untyped-call]

    @property
    def _accounting(self) -> Any:
        return accounting_pb2_grpc.AccountingServiceStub(self._open_channel)  # type: ignore[no-untyped-call]
