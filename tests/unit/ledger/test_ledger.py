from __future__ import annotations

import asyncio
import contextlib
import resource
import sqlite3
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from quorate.errors import Internal, SettingsError, Unavailable
from quorate.ledger.charges import LOST, Charge, ModelCharge
from quorate.ledger.ledger import Ledger
from quorate.ledger.ledger_file import open_for_reading
from quorate.ledger.reader import open_read_only
from quorate.request import EnergyTier
from support.charges import NOW, bare_charge, full_charge, reservation

CHARGE = full_charge()
RESERVATION = reservation()


async def all_charges(ledger: Ledger) -> list[Charge]:
    charges, token = await ledger.list_charges(page_size=1000)
    assert token == ""
    return list(charges)


async def settled(path: Path, *charges: Charge) -> None:
    ledger = Ledger.open(path)
    for charge in charges:
        await ledger.settle(charge)
    await ledger.close()


def kept(path: Path) -> list[Charge]:
    with contextlib.closing(open_read_only(path)) as reader:
        return list(reader.scan())


async def test_a_charge_comes_back_as_it_was_settled(tmp_path: Path) -> None:
    await settled(tmp_path / "ledger", CHARGE)
    assert kept(tmp_path / "ledger") == [CHARGE]


async def test_a_charge_of_which_little_is_known_keeps_its_gaps(ledger: Ledger) -> None:
    bare = bare_charge(outcome="failed", models=(ModelCharge("m"),))
    await ledger.settle(bare)
    assert await all_charges(ledger) == [bare]


async def test_settling_twice_keeps_the_first_charge(ledger: Ledger) -> None:
    await ledger.settle(CHARGE)
    await ledger.settle(replace(CHARGE, usd=Decimal(9)))
    assert await all_charges(ledger) == [CHARGE]
    [row] = await ledger.summarize()
    assert (row.attempts, row.usd) == (1, CHARGE.usd)


async def test_a_settled_reservation_leaves_nothing_behind(ledger: Ledger, tmp_path: Path) -> None:
    await ledger.reserve(RESERVATION)
    await ledger.settle(CHARGE)
    await ledger.close()
    again = Ledger.open(tmp_path / "ledger")
    assert again.lost == 0
    assert await all_charges(again) == [CHARGE]
    await again.close()


async def test_a_reservation_that_nobody_settled_becomes_a_lost_charge_once(
    ledger: Ledger, tmp_path: Path
) -> None:
    await ledger.reserve(RESERVATION)
    await ledger.close()
    for lost in (1, 0):
        again = Ledger.open(tmp_path / "ledger", clock=lambda: NOW + 60)
        assert again.lost == lost
        [charge] = await all_charges(again)
        await again.close()
    assert charge.outcome == LOST
    assert charge.usd == charge.reserved_usd == Decimal("0.5")
    assert (charge.joules, charge.duration_ms, charge.finished_at) == (None, None, NOW + 60)
    assert charge.models == (ModelCharge("far", usd=Decimal("0.5")),)
    assert (charge.key, charge.profile, charge.prompt_hash) == ("alice", "pair", "00ff")


async def test_totals_are_never_less_than_what_the_models_add_up_to(ledger: Ledger) -> None:
    unknown = replace(CHARGE, joules=None, usd=None, tier=EnergyTier.UNAVAILABLE)
    await ledger.settle(unknown)
    [charge] = await all_charges(ledger)
    assert (charge.joules, charge.tier) == (3.5, EnergyTier.ESTIMATED)
    assert charge.usd == Decimal("0.1")


@pytest.mark.parametrize(("store", "text"), [(False, None), (True, "secret")])
async def test_the_text_of_a_prompt_is_kept_only_if_the_operator_asks(
    tmp_path: Path, store: bool, text: str | None
) -> None:
    ledger = Ledger.open(tmp_path / "ledger", store_prompts=store)
    await ledger.settle(replace(CHARGE, prompt_text="secret"))
    [charge] = await all_charges(ledger)
    assert charge.prompt_text == text
    await ledger.close()
    assert (b"secret" in (tmp_path / "ledger").read_bytes()) is store


async def test_a_prompt_hashes_the_same_in_one_ledger_and_differently_in_another(
    tmp_path: Path,
) -> None:
    hashes = []
    for name in ("one", "one", "two"):
        ledger = Ledger.open(tmp_path / name)
        hashes.append(ledger.hash_prompt("yes \ud800"))
        assert ledger.hash_prompt("no") != hashes[-1]
        await ledger.close()
    assert hashes[0] == hashes[1] != hashes[2]
    assert len(hashes[0]) == 32


async def test_a_second_owner_is_told_whose_file_it_is(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "ledger")
    for path in (tmp_path / "ledger", tmp_path / "link"):
        with pytest.raises(SettingsError, match=r"ledger\.lock: another server .*\[ledger\]"):
            Ledger.open(path)
    await ledger.close()
    await Ledger.open(tmp_path / "ledger").close()


async def test_nobody_but_the_owner_may_read_a_ledger(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "new" / "ledger")
    await ledger.settle(CHARGE)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "new").iterdir()}
    assert set(modes.values()) == {0o600}
    assert len(modes) == 4
    await ledger.close()


async def test_a_ledger_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    await settled(path, CHARGE)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 2")
    connection.close()
    for opened in (Ledger.open, open_read_only):
        with pytest.raises(SettingsError, match=r"newer release \(schema 2, this one knows 1\)"):
            opened(path)


def test_another_programs_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE songs (name)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(SettingsError, match="another program's database"):
        Ledger.open(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("at", [0, 4096, 12_288])
async def test_a_broken_file_is_refused_and_left_as_it_is(tmp_path: Path, at: int) -> None:
    path = tmp_path / "ledger"
    await settled(path, *(replace(CHARGE, attempt_id=f"a{i}") for i in range(100)))
    data = bytearray(path.read_bytes())
    data[at : at + 512] = b"\xa5" * 512
    path.write_bytes(data)
    with pytest.raises(SettingsError, match=r"is damaged or no ledger .*left as it is.*\[ledger\]"):
        Ledger.open(path)
    assert path.read_bytes() == bytes(data)


def test_a_folder_where_nothing_can_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"cannot be made.*\[ledger\]"):
        Ledger.open(tmp_path / "file" / "ledger")
    with pytest.raises(SettingsError, match=r"is a folder, not a file; .*\[ledger\]"):
        Ledger.open(tmp_path)


def test_there_is_nothing_to_read_before_a_server_wrote_it(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="there is no ledger"):
        open_read_only(tmp_path / "ledger")
    (tmp_path / "empty").touch()
    with pytest.raises(SettingsError, match="the ledger is empty"):
        open_read_only(tmp_path / "empty")


async def test_a_ledger_is_read_while_a_server_writes_it(ledger: Ledger, tmp_path: Path) -> None:
    with contextlib.closing(open_read_only(tmp_path / "ledger")) as reader:
        assert list(reader.scan()) == []
        await ledger.settle(CHARGE)
        assert list(reader.scan()) == [CHARGE]


async def test_nothing_can_be_changed_through_a_connection_for_reading(tmp_path: Path) -> None:
    await settled(tmp_path / "ledger", CHARGE)
    with (
        contextlib.closing(open_for_reading(tmp_path / "ledger")) as connection,
        pytest.raises(sqlite3.OperationalError, match="readonly"),
    ):
        connection.execute("DELETE FROM charges")


async def test_a_caller_that_is_cancelled_leaves_its_charge_behind(
    ledger: Ledger, tmp_path: Path
) -> None:
    task = asyncio.create_task(ledger.settle(CHARGE))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await ledger.close()
    assert kept(tmp_path / "ledger") == [CHARGE]


async def test_a_full_disk_is_reported_and_the_ledger_goes_on_when_there_is_room(
    ledger: Ledger, tmp_path: Path
) -> None:
    await ledger.reserve(RESERVATION)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Nothing may grow: the system refuses each write to the end of a file, as on a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        for _ in range(2):
            with pytest.raises(Unavailable, match=r"cannot be written: .*; free some space"):
                await ledger.settle(CHARGE)
        assert await all_charges(ledger) == []
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    await ledger.settle(CHARGE)
    assert await all_charges(ledger) == [CHARGE]
    await ledger.close()
    again = Ledger.open(tmp_path / "ledger")
    assert again.lost == 0
    await again.close()


async def test_one_charge_that_cannot_be_kept_costs_the_others_nothing(ledger: Ledger) -> None:
    charges = [replace(CHARGE, attempt_id=f"a{i}", prompt_tokens=i) for i in range(9)]
    charges[4] = replace(charges[4], prompt_tokens=2**63)
    outcomes = await asyncio.gather(*map(ledger.settle, charges), return_exceptions=True)
    assert [outcome is None for outcome in outcomes] == [True] * 4 + [False] + [True] * 4
    assert isinstance(outcomes[4], Internal)
    kept = [charge.prompt_tokens for charge in await all_charges(ledger)]
    assert kept == [8, 7, 6, 5, 3, 2, 1, 0]
    with pytest.raises(Internal, match="nan joules"):
        await ledger.settle(replace(CHARGE, joules=float("nan")))


async def test_a_closed_ledger_takes_nothing_more(ledger: Ledger) -> None:
    await ledger.close()
    await ledger.close()
    with pytest.raises(Unavailable, match="is closed"):
        await ledger.settle(CHARGE)
    with pytest.raises(Unavailable, match="is closed"):
        await ledger.list_charges()


async def test_a_ledger_in_memory_keeps_the_newest_charges_and_the_sums_of_all() -> None:
    ledger = Ledger.open(None)
    for turn in range(101):
        await asyncio.gather(
            *(ledger.settle(replace(CHARGE, attempt_id=f"{turn}-{i}")) for i in range(100))
        )
    [row] = await ledger.summarize()
    assert row.attempts == 10_100
    assert row.usd == 10_100 * Decimal("0.123456789")
    token, listed = "", 0
    while True:
        charges, token = await ledger.list_charges(page_size=1000, page_token=token)
        listed += len(charges)
        if not token:
            break
    assert listed == 10_000
    await ledger.close()
