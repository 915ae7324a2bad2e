"""The file of a ledger under a running server: copied, removed, replaced, read where it is."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import shutil
import socket
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from quorate.errors import SettingsError, Unavailable
from quorate.ledger import writer as writers
from quorate.ledger.charges import Charge
from quorate.ledger.copying import back_up
from quorate.ledger.ledger import Ledger
from quorate.ledger.ledger_file import open_for_reading
from quorate.ledger.reader import MAX_PAGE_BYTES, open_read_only
from support.charges import full_charge, reservation

CHARGE = full_charge()
SECOND = replace(CHARGE, attempt_id="a2")


def kept(path: Path) -> list[Charge]:
    with contextlib.closing(open_read_only(path)) as reader:
        return list(reader.scan())


async def listed(ledger: Ledger) -> list[Charge]:
    charges, _ = await ledger.list_charges()
    return list(charges)


@pytest.fixture
def quick_rest(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """The writer rests at once; the event tells when it has done so the first time."""
    rested = threading.Event()
    rest = writers.Writer._rest

    def resting(writer: writers.Writer) -> None:
        rest(writer)
        rested.set()

    monkeypatch.setattr(writers, "_IDLE_SECONDS", 0.01)
    monkeypatch.setattr(writers.Writer, "_rest", resting)
    yield rested


async def test_a_plain_copy_of_a_running_ledger_is_a_backup(
    tmp_path: Path, quick_rest: threading.Event
) -> None:
    ledger = Ledger.open(tmp_path / "ledger")
    await ledger.settle(CHARGE)
    assert await asyncio.to_thread(quick_rest.wait, 30)
    shutil.copyfile(tmp_path / "ledger", tmp_path / "copy")
    assert kept(tmp_path / "copy") == [CHARGE]
    await ledger.close()


async def test_under_load_the_log_is_taken_over_too(
    tmp_path: Path, quick_rest: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writers, "_BUSY_SECONDS", 0.0)
    monkeypatch.setattr(writers, "_IDLE_SECONDS", 60.0)
    ledger = Ledger.open(tmp_path / "ledger")
    await ledger.settle(CHARGE)
    await ledger.settle(SECOND)
    assert await asyncio.to_thread(quick_rest.wait, 30)
    await ledger.close()


async def test_a_removed_ledger_is_written_anew_and_nothing_is_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    ledger = Ledger.open(tmp_path / "ledger")
    await ledger.settle(CHARGE)
    for file in tmp_path.iterdir():
        file.unlink()
    await ledger.settle(SECOND)
    assert await listed(ledger) == [SECOND, CHARGE]
    with pytest.raises(SettingsError, match="another server"):
        Ledger.open(tmp_path / "ledger")
    await ledger.close()
    assert kept(tmp_path / "ledger") == [SECOND, CHARGE]
    [line] = caplog.messages
    assert line.startswith(f"{tmp_path / 'ledger'}: was removed under the running server; ")
    assert ledger.problem == ""


async def test_a_ledger_whose_folder_was_removed_is_written_anew(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "kept" / "ledger")
    await ledger.reserve(reservation())
    shutil.rmtree(tmp_path / "kept")
    await ledger.settle(CHARGE)
    await ledger.close()
    assert kept(tmp_path / "kept" / "ledger") == [CHARGE]


@pytest.mark.parametrize("stranger", [b"", b"not a ledger"])
async def test_a_replaced_ledger_is_kept_beside_what_took_its_place(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, stranger: bytes
) -> None:
    caplog.set_level(logging.WARNING)
    ledger = Ledger.open(tmp_path / "ledger")
    await ledger.settle(CHARGE)
    (tmp_path / "new").write_bytes(stranger)
    os.replace(tmp_path / "new", tmp_path / "ledger")
    await ledger.settle(SECOND)
    assert await listed(ledger) == [SECOND, CHARGE]
    assert "was replaced" in ledger.problem
    await ledger.close()
    assert (tmp_path / "ledger").read_bytes() == stranger
    [beside] = tmp_path.glob("ledger.kept-*Z")
    assert ledger.path == beside
    assert kept(beside) == [SECOND, CHARGE]


async def test_a_removed_log_costs_no_charge(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "ledger")
    await ledger.settle(CHARGE)
    (tmp_path / "ledger-wal").unlink()
    await ledger.settle(SECOND)
    await ledger.close()
    assert kept(tmp_path / "ledger") == [SECOND, CHARGE]


async def test_a_removed_ledger_is_noticed_while_nobody_asks(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "ledger")
    await ledger.settle(CHARGE)
    (tmp_path / "ledger").unlink()
    await ledger.note_clock()
    assert kept(tmp_path / "ledger") == [CHARGE]
    await ledger.close()


async def test_a_removed_ledger_that_cannot_be_written_anew_is_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    (tmp_path / "a").mkdir()
    ledger = Ledger.open(tmp_path / "a" / "ledger")
    await ledger.settle(CHARGE)
    shutil.rmtree(tmp_path / "a")
    (tmp_path / "a").write_text("in the way")
    await ledger.settle(SECOND)
    assert "was removed under the running server" in ledger.problem
    assert await listed(ledger) == [SECOND, CHARGE]
    (tmp_path / "a").unlink()
    ledger._care._try_at = 0.0  # type: ignore[union-attr]
    await ledger.close()
    assert kept(tmp_path / "a" / "ledger") == [SECOND, CHARGE]


async def test_a_backup_is_one_file_with_all_charges(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "ledger")
    await ledger.settle(CHARGE)
    with contextlib.closing(open_for_reading(tmp_path / "ledger")) as connection:
        assert back_up(connection, tmp_path / "copy", replace=False) > 0
        with pytest.raises(SettingsError, match=r"copy: is there already; .*--force"):
            back_up(connection, tmp_path / "copy", replace=False)
        await ledger.settle(SECOND)
        back_up(connection, tmp_path / "copy", replace=True)
    await ledger.close()
    assert list(tmp_path.glob("copy?*")) == list(tmp_path.glob("*.part")) == []
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o600
    assert kept(tmp_path / "copy") == [SECOND, CHARGE]
    again = Ledger.open(tmp_path / "copy")
    await again.settle(replace(CHARGE, attempt_id="a3"))
    assert len(await listed(again)) == 3
    await again.close()


async def test_what_a_killed_process_left_of_a_backup_stops_no_later_one(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "ledger")
    await ledger.settle(CHARGE)
    # Whoever comes after it may have its number.
    (tmp_path / f".copy.{os.getpid()}.part").touch()
    with contextlib.closing(open_for_reading(tmp_path / "ledger")) as connection:
        assert back_up(connection, tmp_path / "copy", replace=False) > 0
    await ledger.close()
    assert kept(tmp_path / "copy") == [CHARGE]


async def test_a_backup_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    await Ledger.open(tmp_path / "ledger").close()
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with contextlib.closing(open_for_reading(tmp_path / "ledger")) as connection:
        for target, force in (("folder", True), ("pipe", True), ("none/copy", False)):
            with pytest.raises(SettingsError, match=r"name another"):
                back_up(connection, tmp_path / target, replace=force)
    assert list(tmp_path.rglob("*.part")) == list((tmp_path / "folder").iterdir()) == []


@pytest.mark.parametrize("closed", [True, False])
async def test_a_ledger_is_read_on_a_place_where_nothing_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed: bool
) -> None:
    ledger = Ledger.open(tmp_path / "ledger")
    await ledger.settle(CHARGE)
    if closed:
        await ledger.close()
    (tmp_path / "disc").mkdir()
    for file in tmp_path.glob("ledger*"):
        if not file.name.endswith(("-shm", ".lock")):
            shutil.copyfile(file, tmp_path / "disc" / file.name)
    before = sorted((tmp_path / "disc").iterdir())
    # The test may run as root, whom no mode keeps from writing.
    monkeypatch.setattr("quorate.ledger.ledger_file._is_writable", lambda folder: False)
    assert kept(tmp_path / "disc" / "ledger") == [CHARGE]
    assert sorted((tmp_path / "disc").iterdir()) == before
    await ledger.close()


async def test_a_page_ends_where_its_texts_are_too_long(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "ledger")
    long = "x" * (MAX_PAGE_BYTES // 4)
    for index in range(9):
        await ledger.settle(replace(CHARGE, attempt_id=f"a{index}", candidates=long))
    await ledger.settle(replace(CHARGE, attempt_id="huge", candidates=5 * long))
    token, sizes, seen = "", [], []
    while True:
        charges, token = await ledger.list_charges(page_size=1000, page_token=token)
        sizes.append(len(charges))
        seen += [charge.attempt_id for charge in charges]
        if not token:
            break
    assert sizes == [1, 3, 3, 3]
    assert seen == ["huge", *(f"a{index}" for index in range(8, -1, -1))]
    await ledger.close()


@pytest.mark.parametrize("kind", ["folder", "pipe", "socket", "device", "below a file"])
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "ledger"
    said = {"pipe": "is a named pipe", "below a file": "cannot be made"}.get(kind, f"is a {kind}")
    with contextlib.ExitStack() as stack:
        if kind == "folder":
            path.mkdir()
        elif kind == "pipe":
            os.mkfifo(path)
        elif kind == "socket":
            stack.enter_context(socket.socket(socket.AF_UNIX)).bind(str(path))
        elif kind == "device":
            path = Path("/dev/null")
        else:
            path.write_text("")
            path = path / "ledger"
        with pytest.raises(SettingsError, match=said) as refusal:
            Ledger.open(path)
        assert "\n" not in refusal.value.message
        if kind != "below a file":
            with pytest.raises(SettingsError, match=said):
                open_read_only(path)


async def test_a_lock_that_was_left_does_no_harm_and_goes_with_its_owner(tmp_path: Path) -> None:
    (tmp_path / "ledger.lock").write_text("left by a process that was killed")
    ledger = Ledger.open(tmp_path / "ledger")
    await ledger.close()
    assert [path.name for path in tmp_path.iterdir()] == ["ledger"]


async def test_a_full_disk_at_rest_is_told_of_by_the_next_charge_alone(
    tmp_path: Path, quick_rest: threading.Event
) -> None:
    ledger = Ledger.open(tmp_path / "ledger")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        with pytest.raises(Unavailable):
            await ledger.settle(CHARGE)
        assert await asyncio.to_thread(quick_rest.wait, 30)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    await ledger.settle(replace(CHARGE, usd=Decimal(1)))
    assert len(await listed(ledger)) == 1
    await ledger.close()
    assert sqlite3.connect(tmp_path / "ledger").execute("PRAGMA integrity_check").fetchone() == (
        "ok",
    )
