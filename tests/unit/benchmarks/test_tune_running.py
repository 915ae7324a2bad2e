"""Servers of variants, and what a measurement comes to."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from quorate_bench.cases import Case, Setting
from quorate_bench.serving import BenchServer
from quorate_bench.tuning import servers as servers_module
from quorate_bench.tuning.running import joules_of, seconds_of
from quorate_bench.tuning.servers import Servers
from quorate_bench.tuning.variants import Variant

from quorate.errors import CannotRun

BASE, SLOW, OTHER = (
    Variant(((("models", "a", "cores"), cores),)) if cores else Variant() for cores in (0, 1, 2)
)


class Machine:
    """Counts which servers run."""

    def __init__(self) -> None:
        self.running: list[Variant] = []
        self.started = 0

    @asynccontextmanager
    async def start(self, variant: Variant) -> AsyncIterator[BenchServer]:
        self.started += 1
        self.running.append(variant)
        yield BenchServer("127.0.0.1:1", 0, {})
        self.running.remove(variant)

    def servers(self, gigabytes: float, most: int = 9, *, pins: bool = False) -> Servers:
        return Servers(
            self.start, lambda variant: 1e9, gigabytes * 1e9, most, lambda variant: pins,
            lambda: None,
        )  # fmt: skip


async def test_servers_stay_as_long_as_there_is_memory_for_them() -> None:
    machine = Machine()
    async with machine.servers(2.5) as servers:
        for variant in (BASE, SLOW, BASE, SLOW):
            await servers.use(variant)
        assert (machine.running, machine.started) == ([BASE, SLOW], 2)
        await servers.use(BASE)
        # The one that was longest not used has to go.
        await servers.use(OTHER)
        assert machine.running == [BASE, OTHER]
    assert machine.running == []


async def test_where_two_cannot_be_loaded_each_takes_the_place_of_the_last() -> None:
    machine = Machine()
    async with machine.servers(100, most=1) as servers:
        found = [(await servers.use(variant))[1] for variant in (BASE, BASE, SLOW)]
        assert machine.running == [SLOW]
    assert found == [False, False, True]


async def test_a_server_is_asked_once_another_has_given_its_cores_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(servers_module, "_REST_SECONDS", 0.1)
    async with Machine().servers(9, pins=True) as servers:
        await servers.use(BASE)
        await servers.use(SLOW)
        began = time.monotonic()
        await servers.use(BASE)
        assert time.monotonic() - began >= 0.1


def test_an_answer_that_ended_early_counts_as_if_it_had_not() -> None:
    case = Case("p", Setting(0, 0, ""), 2, 64, 5)
    whole = {"tokens": 10, "seconds": 3.0, "first_ms": [100.0, 400.0], "gaps_ms": [50.0] * 8,
             "joules": 40.0}  # fmt: skip
    assert seconds_of(whole, case) == 3.0
    assert seconds_of({**whole, "tokens": 6}, case) == pytest.approx(0.6)
    assert joules_of(whole, case) == pytest.approx(20.0)
    with pytest.raises(CannotRun, match="energy of answers is not known"):
        joules_of({**whole, "joules": None}, case)
