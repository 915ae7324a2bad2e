from __future__ import annotations

import socket

import pytest

from quorate.api.grpc.connections import Connections, _connected


@pytest.fixture
def now() -> list[float]:
    return [0.0]


def connections(now: list[float], most: int = 8, linger: float = 30.0) -> Connections:
    return Connections(most, linger, lambda: now[0])


def found(*peers: str) -> dict[str, int]:
    return {peer: number for number, peer in enumerate(peers)}


def test_while_there_are_few_nobody_is_closed(now: list[float]) -> None:
    some = connections(now)
    some.to_close(found("a", "b"))
    now[0] = 1e6
    assert some.to_close(found("a", "b")) == []


def test_where_there_are_many_those_that_were_idle_longest_go_first(now: list[float]) -> None:
    some = connections(now)
    some.to_close(found("a"))
    now[0] = 1.0
    some.to_close(found("a", "b"))
    now[0] = 2.0
    some.to_close(found("a", "b", "c"))
    now[0] = 3.0
    assert some.to_close(found("a", "b", "c", "new")) == ["a", "b"]


def test_who_has_a_call_stays_and_has_just_come_from_one_goes_last(now: list[float]) -> None:
    some = connections(now)
    peers = found("caller", "idle", "was", "other")
    with some.call("caller"):
        some.to_close(peers)
        now[0] = 5.0
        with some.call("was"):
            pass
        now[0] = 6.0
        assert some.to_close(peers) == ["idle", "other"]
        assert some.to_close(found(*"xyz", *peers)) == ["idle", "other", "was"]


def test_where_only_calls_are_left_that_were_given_up_it_is_closed_in_time(
    now: list[float],
) -> None:
    some = connections(now, linger=10.0)
    with some.call("stalled"):
        pass
    with some.given_up("stalled"):
        now[0] = 9.0
        assert some.to_close(found("stalled")) == []
        with some.call("stalled"):
            now[0] = 30.0
            assert some.to_close(found("stalled")) == []
        now[0] = 39.0
        assert some.to_close(found("stalled")) == []
        now[0] = 40.0
        assert some.to_close(found("stalled")) == ["stalled"]


def test_where_no_name_is_known_nobody_is_closed(now: list[float]) -> None:
    some = connections(now, most=4)
    with some.call("by another name"):
        some.to_close(found(*"abcdef"))
        now[0] = 100.0
        assert some.to_close(found(*"abcdef")) == []


@pytest.mark.parametrize(
    ("family", "host", "name"),
    [
        (socket.AF_INET, "127.0.0.1", "ipv4:127.0.0.1:{}"),
        (socket.AF_INET6, "::1", "ipv6:%5B::1%5D:{}"),
    ],
)
def test_sockets_are_found_by_the_names_that_grpc_has_for_their_peers(
    family: socket.AddressFamily, host: str, name: str
) -> None:
    with socket.create_server((host, 0), family=family) as listening:
        port = listening.getsockname()[1]
        with socket.create_connection((host, port)) as peer, listening.accept()[0] as accepted:
            expected = {name.format(peer.getsockname()[1]): accepted.fileno()}
            assert _connected(port) == expected
