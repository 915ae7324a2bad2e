from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from quorate.ledger import ratings as module
from quorate.ledger.ledger import Ledger
from quorate.ledger.ratings import Rating


def rating(request_id: str, at: float, score: float = 1.0, key: str = "alice") -> Rating:
    return Rating(key, request_id, "single:a", ("a", "b+c"), "sums", score, at)


async def test_the_last_rating_of_an_answer_is_kept_by_key_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger = Ledger.open(path)
    for one in (rating("x", 1.0, 0.0), rating("x", 2.0, 0.5, "bob"), rating("x", 3.0)):
        await ledger.rate(one)
    await ledger.close()
    again = Ledger.open(path)
    assert await again.ratings() == [rating("x", 2.0, 0.5, "bob"), rating("x", 3.0)]
    await again.close()


@pytest.mark.parametrize("in_memory", [True, False])
async def test_the_newest_are_kept_and_the_others_taken_away_now_and_then(
    tmp_path: Path, in_memory: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_KEPT", 3)
    path = None if in_memory else tmp_path / "ledger.db"
    ledger = Ledger.open(path)
    for number in range(5):
        await ledger.rate(rating(f"{number}", float(number)))
    newest = [rating(f"{number}", float(number)) for number in (2, 3, 4)]
    assert await ledger.ratings() == newest
    await ledger.compact(0.0)
    assert await ledger.ratings() == newest
    await ledger.close()
    if path is not None:
        with sqlite3.connect(path) as connection:
            assert connection.execute("SELECT COUNT(*) FROM ratings").fetchone() == (3,)
        connection.close()


async def test_a_ledger_of_before_there_were_ratings_takes_them(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    await Ledger.open(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE ratings")
    connection.close()
    ledger = Ledger.open(path)
    await ledger.rate(rating("x", 1.0))
    assert await ledger.ratings() == [rating("x", 1.0)]
    await ledger.close()
