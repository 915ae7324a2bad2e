"""What only a process that is killed can show."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from quorate.errors import SettingsError
from quorate.ledger.charges import LOST
from quorate.ledger.ledger import Ledger
from quorate.ledger.reader import open_read_only

SETTLE_FOR_EVER = """
import asyncio, sys
from decimal import Decimal
from pathlib import Path
from quorate.ledger.charges import Charge, ModelCharge, Reservation
from quorate.ledger.ledger import Ledger

async def attempt(ledger, number):
    name = f"{sys.argv[2]}-{number}"
    entry = dict(attempt_id=name, request_id=name, started_at=0.0, plan_kind="remote")
    await ledger.reserve(Reservation(**entry, model="far", reserved_usd=Decimal("0.002")))
    print("reserved", name, flush=True)
    part = ModelCharge("far", usd=Decimal("0.001"))
    await ledger.settle(Charge(**entry, finished_at=0.0, outcome="finished", models=(part,)))
    print("settled", name, flush=True)

async def worker(ledger, first):
    for number in range(first, 10**9, 8):
        await attempt(ledger, number)

async def main():
    synchronous = ("FULL", "NORMAL")[int(sys.argv[2]) % 2]
    ledger = Ledger.open(Path(sys.argv[1]), synchronous=synchronous)
    await asyncio.gather(*(worker(ledger, first) for first in range(8)))

asyncio.run(main())
"""


def killed_after(path: Path, turn: int, lines: int) -> list[list[str]]:
    """What a process said until it was killed, after it said so many lines."""
    with subprocess.Popen(
        [sys.executable, "-c", SETTLE_FOR_EVER, str(path), str(turn)],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(lines)]
        os.kill(process.pid, signal.SIGKILL)
        said += process.stdout.readlines()
    assert process.returncode == -signal.SIGKILL
    return [line.split() for line in said if line.endswith("\n")]


async def test_nothing_that_was_settled_is_lost_and_nothing_that_was_reserved_leaks(
    tmp_path: Path,
) -> None:
    luck = random.Random(7)
    path = tmp_path / "ledger"
    said = [
        line for turn in range(10) for line in killed_after(path, turn, luck.randrange(1, 2000))
    ]
    ledger = Ledger.open(path)
    await ledger.close()
    reader = open_read_only(path)
    charges = list(reader.scan())
    reader.close()
    outcomes = {charge.attempt_id: charge.outcome for charge in charges}
    assert len(outcomes) == len(charges)
    settled = [name for what, name in said if what == "settled"]
    assert len(settled) == len(set(settled)) > 100
    assert {outcomes.get(name) for name in settled} == {"finished"}
    reserved = {name for what, name in said if what == "reserved"}
    assert reserved <= outcomes.keys()
    lost = [charge for charge in charges if charge.outcome == LOST]
    assert all(charge.usd == charge.reserved_usd is not None for charge in lost)
    # Eight attempts run at once, so that a death leaves no more than eight behind.
    assert len(lost) <= 10 * 8


async def test_the_lock_of_a_killed_owner_is_free(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    with subprocess.Popen(
        [sys.executable, "-c", SETTLE_FOR_EVER, str(path), "0"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "reserved 0-0\n"
        with pytest.raises(SettingsError, match="another server"):
            Ledger.open(path)
        os.kill(process.pid, signal.SIGKILL)
    ledger = Ledger.open(path)
    assert ledger.lost <= 8
    await ledger.close()
