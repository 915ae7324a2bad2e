from __future__ import annotations

import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from quorate.client import Client
from support.fake_dispatch import FakeDispatcher, answer
from support.service import Service, fake_service


async def ask(target: str, **request: str) -> reflection_pb2.ServerReflectionResponse:
    async with grpc.aio.insecure_channel(target) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        call = stub.ServerReflectionInfo(
            iter([reflection_pb2.ServerReflectionRequest(**request)]), timeout=30
        )
        return await anext(aiter(call))


async def test_reflection_lists_the_services(service: Service) -> None:
    response = await ask(service.target, list_services="")
    assert {each.name for each in response.list_services_response.service} == {
        "quorate.v1.AccountingService",
        "quorate.v1.InferenceService",
        "quorate.v1.ModelService",
        "quorate.v1.ServerService",
        "grpc.health.v1.Health",
        "grpc.channelz.v1.Channelz",
        "grpc.reflection.v1alpha.ServerReflection",
    }


async def test_reflection_shows_the_proto_file_of_a_service(service: Service) -> None:
    response = await ask(service.target, file_containing_symbol="quorate.v1.InferenceService")
    files = [
        descriptor_pb2.FileDescriptorProto.FromString(each)
        for each in response.file_descriptor_response.file_descriptor_proto
    ]
    assert files[0].name == "quorate/v1/inference.proto"
    methods = [method.name for method in files[0].service[0].method]
    assert methods == ["Generate", "Score", "Explain", "Rate"]


async def test_reflection_and_channelz_can_be_turned_off() -> None:
    async with (
        fake_service(FakeDispatcher(answer), reflection=False, channelz=False) as service,
        grpc.aio.insecure_channel(service.target) as channel,
    ):
        stub = channelz_pb2_grpc.ChannelzStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await stub.GetServers(channelz_pb2.GetServersRequest())
    assert refusal.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_channelz_counts_the_calls(service: Service, client: Client) -> None:
    await client.complete("x", model="alpha")
    async with grpc.aio.insecure_channel(service.target) as channel:
        stub = channelz_pb2_grpc.ChannelzStub(channel)
        servers = await stub.GetServers(channelz_pb2.GetServersRequest())
    assert max(server.data.calls_started for server in servers.server) >= 1
