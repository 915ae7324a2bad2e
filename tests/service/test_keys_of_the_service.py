"""Who may call what: keys over real gRPC."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from quorate.client import Client
from support.command_line import quorate
from support.ledgers import charges
from support.streams import answer, joules_of, refused
from support.whole_service import scripted, whole_service

SAY = "the quick brown fox jumps over the lazy dog and runs away"
RIGHTS = {
    "alice": ["generate"],
    "bob": ["generate"],
    "boss": ["generate", "models", "accounting"],
    "loader": ["models"],
}
TOKENS = {name: f"token-of-{name}-5f1c" for name in RIGHTS}
WRONG = "token-of-nobody-77aa"


def keys() -> dict[str, Any]:
    """A ``[keys]`` section that knows the tokens by their hashes."""
    return {
        name: {"sha256": hashlib.sha256(TOKENS[name].encode()).hexdigest(), "rights": rights}
        for name, rights in RIGHTS.items()
    }


@asynccontextmanager
async def guarded(
    home: Path, open_services: Sequence[str] = ("health", "reflection"), **sections: Any
) -> AsyncIterator[Callable[[str | None], Client]]:
    """A service with keys; gives a way to make clients by token, which it closes."""
    routing = {"routing": {"probe": False, "exploration": 0.0}}
    model = scripted("a", say=SAY)
    every = {"keys": keys(), **routing, **sections}
    async with whole_service(
        home, model, sections=every, token=TOKENS["boss"], open_services=list(open_services)
    ) as (service, _):
        yield lambda token: Client(service.address, token=token)


async def watch(client: Client) -> None:
    async for _ in client.watch_models():
        return


CALLS: dict[str, Callable[[Client], Awaitable[Any]]] = {
    "Generate": lambda client: client.complete("", model="a", max_tokens=2),
    "Score": lambda client: client.score("", "the", model="a"),
    "Explain": lambda client: client.explain(""),
    "Tokenize": lambda client: client.tokenize("a", "the"),
    "Detokenize": lambda client: client.detokenize("a", [5]),
    "GetServer": lambda client: client.server(),
    "ListProfiles": lambda client: client.profiles(),
    "ListModels": lambda client: client.models(),
    "GetModel": lambda client: client.model("a"),
    "WatchModels": watch,
    "LoadModel": lambda client: client.load("a"),
    "UnloadModel": lambda client: client.unload("a"),
    "GetBudget": lambda client: client.budget(),
    "GetBudget of another": lambda client: client.budget("bob"),
    "ListCharges": charges,
    "ListCharges of another": lambda client: charges(client, key="bob"),
    "ListCharges of nobody": lambda client: charges(client, key=""),
    "SummarizeSpend": lambda client: client.spend(["key"]),
    "SummarizeSpend of another": lambda client: client.spend(["key"], key="bob"),
}
OF_OTHERS = {name for name in CALLS if " of " in name}
GENERATING = {"Generate", "Score", "Explain", "Tokenize", "Detokenize"}
LOADING = {"LoadModel", "UnloadModel"}


@pytest.mark.parametrize("token", [None, WRONG])
async def test_without_a_token_that_somebody_has_nothing_can_be_called(
    tmp_path: Path, token: str | None
) -> None:
    async with guarded(tmp_path) as client_of, client_of(token) as client:
        for call in CALLS.values():
            refusal = await refused(call(client))
            assert (refusal.status, refusal.reason) == ("UNAUTHENTICATED", "UNAUTHENTICATED")
            # Only an ErrorInfo carries it.
            assert refusal.metadata["request_id"]
            assert WRONG not in refusal.message


@pytest.mark.parametrize(
    ("who", "denied"),
    [
        ("alice", LOADING | OF_OTHERS),
        ("loader", GENERATING | OF_OTHERS),
        ("boss", set()),
    ],
)
async def test_a_key_may_do_what_its_rights_say_and_no_more(
    tmp_path: Path, who: str, denied: set[str]
) -> None:
    async with guarded(tmp_path) as client_of, client_of(TOKENS[who]) as client:
        for name, call in CALLS.items():
            if name not in denied:
                await call(client)
                continue
            refusal = await refused(call(client))
            assert (refusal.status, refusal.reason) == (
                "PERMISSION_DENIED",
                "PERMISSION_DENIED",
            ), name
            assert refusal.metadata["request_id"]
            assert refusal.message.startswith(f"key {who} does not have the right")


async def test_everybody_sees_what_they_spent_and_only_who_may_what_others_did(
    tmp_path: Path,
) -> None:
    async with guarded(tmp_path) as client_of:
        for name, count in {"alice": 2, "bob": 1, "boss": 1}.items():
            async with client_of(TOKENS[name]) as client:
                for number in range(count):
                    await client.complete("", model="a", request_id=f"{name}-{number}")
        async with client_of(TOKENS["alice"]) as alice, client_of(TOKENS["boss"]) as boss:
            own = await charges(alice)
            asked_for = await charges(alice, key="alice")
            others_request = await charges(alice, request_id="bob-0")
            own_answer = await alice.spend(["key"])
            own_sums = own_answer.spends
            everything = await charges(boss)
            of_bob = await charges(boss, key="bob")
            whole_answer = await boss.spend(["key"])
            all_sums = whole_answer.spends
    # What all of the machine took is mostly what others did.
    assert (own_answer.HasField("machine"), whole_answer.HasField("machine")) == (False, True)
    assert [row.request_id for row in own] == ["alice-1", "alice-0"]
    assert [row.attempt_id for row in asked_for] == [row.attempt_id for row in own]
    assert others_request == []
    assert [(dict(row.group), row.requests) for row in own_sums] == [({"key": "alice"}, 2)]
    assert [row.key for row in everything] == ["boss", "bob", "alice", "alice"]
    assert [row.request_id for row in of_bob] == ["bob-0"]
    assert {row.group["key"]: row.requests for row in all_sums} == {
        "alice": 2,
        "bob": 1,
        "boss": 1,
    }


async def test_health_and_reflection_stay_open(tmp_path: Path) -> None:
    async with guarded(tmp_path) as client_of, client_of(None) as client:
        assert await client.healthy()
        assert await client.healthy("a")
        async with grpc.aio.insecure_channel(client.target) as channel:
            stub = reflection_pb2_grpc.ServerReflectionStub(channel)
            asked = reflection_pb2.ServerReflectionRequest(list_services="")
            response = await anext(aiter(stub.ServerReflectionInfo(iter([asked]), timeout=30)))
    names = {service.name for service in response.list_services_response.service}
    assert "quorate.v1.AccountingService" in names


async def standard(address: str, token: str | None) -> dict[str, grpc.StatusCode]:
    """How gRPC's own services answer."""
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    told = {}
    async with grpc.aio.insecure_channel(address) as channel:
        calls = {
            "health": health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(), metadata=metadata, timeout=30
            ),
            "channelz": channelz_pb2_grpc.ChannelzStub(channel).GetServers(
                channelz_pb2.GetServersRequest(), metadata=metadata, timeout=30
            ),
        }
        for name, call in calls.items():
            told[name] = await call.code()
        asked = reflection_pb2.ServerReflectionRequest(list_services="")
        streams = {
            "watch": health_pb2_grpc.HealthStub(channel).Watch(
                health_pb2.HealthCheckRequest(), metadata=metadata, timeout=30
            ),
            "reflection": reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(
                iter([asked]), metadata=metadata, timeout=30
            ),
        }
        for name, stream in streams.items():
            told[name] = grpc.StatusCode.OK
            try:
                await anext(aiter(stream))
            except grpc.aio.AioRpcError as error:
                told[name] = error.code()
            stream.cancel()
    return told


@pytest.mark.parametrize(
    ("opened", "closed"),
    [
        (None, {"channelz"}),
        (["channelz"], {"health", "watch", "reflection"}),
        ([], {"channelz", "health", "watch", "reflection"}),
    ],
)
async def test_what_of_grpcs_own_services_is_not_open_needs_a_key(
    tmp_path: Path, opened: list[str] | None, closed: set[str]
) -> None:
    server = {} if opened is None else {"open_services": opened}
    async with guarded(tmp_path, **server) as client_of:
        address = client_of(None).target
        without, wrong = await standard(address, None), await standard(address, WRONG)
        known = await standard(address, TOKENS["alice"])
    assert {name for name, code in without.items() if code is not grpc.StatusCode.OK} == closed
    assert {without[name] for name in closed} == {grpc.StatusCode.UNAUTHENTICATED}
    assert wrong == without
    assert set(known.values()) == {grpc.StatusCode.OK}


async def test_no_token_gets_into_the_log_or_onto_the_disk(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with guarded(tmp_path) as client_of:
        for token in [*TOKENS.values(), WRONG, None]:
            async with client_of(token) as client:
                for call in (CALLS["Generate"], CALLS["ListCharges"]):
                    await asyncio.gather(call(client), return_exceptions=True)
    lines = [record.getMessage() for record in caplog.records]
    assert sum("method=quorate.v1.InferenceService/Generate" in line for line in lines) == 6
    assert sum("status=UNAUTHENTICATED" in line for line in lines) == 4
    written = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert any(b"alice" in data for data in written.values())
    for token in [*TOKENS.values(), WRONG]:
        assert not [line for line in lines if token in line]
        assert not [path for path, data in written.items() if token.encode() in data]


async def test_the_budget_of_a_key_binds_that_key_alone(tmp_path: Path) -> None:
    budgets = {"keys": {"alice": {"joules_per_day": 1e-6}}}
    async with (
        guarded(tmp_path, budgets=budgets) as client_of,
        client_of(TOKENS["alice"]) as alice,
        client_of(TOKENS["bob"]) as bob,
        client_of(TOKENS["boss"]) as boss,
    ):
        async with asyncio.timeout(60):
            while not joules_of((first := await answer(alice, "", model="a")).usage):
                assert first.error is None
        over = await answer(alice, "", model="a")
        for client in (bob, boss):
            assert (await answer(client, "", model="a")).finished is not None
        (window,) = await alice.budget()
        (seen,) = await boss.budget("alice")
        assert await bob.budget() == []
    assert over.error is not None
    assert (over.error.status, over.error.reason) == ("RESOURCE_EXHAUSTED", "BUDGET_SPENT")
    assert over.error.metadata["window"] == "joules per day of key alice"
    assert window.spent > window.limit
    assert (window.left, window.spent) == (0.0, seen.spent)


def test_a_variable_that_is_not_set_is_one_line_and_the_code_of_a_wrong_configuration(
    tmp_path: Path,
) -> None:
    (tmp_path / "quorate.toml").write_text(
        """
[server]
listen = "127.0.0.1:0"
[[models]]
id = "a"
engine = "scripted"
[keys.alice]
token_env = "TOKEN_OF_ALICE"
"""
    )
    missing = quorate(tmp_path, "serve")
    empty = quorate(tmp_path, "serve", TOKEN_OF_ALICE=" ")
    for ended in (missing, empty):
        assert ended.returncode == 2
        assert ended.stdout == ""
        assert ended.stderr == (
            "quorate: quorate.toml: keys.alice.token_env: "
            "the environment variable TOKEN_OF_ALICE is not set\n"
        )
