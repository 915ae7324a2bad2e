"""Reading the ledger: pages of charges, sums, and what was spent of late."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from quorate.clocks import Reading
from quorate.errors import InvalidRequest, Unavailable
from quorate.foreign_text import quoted
from quorate.ledger.charges import Charge
from quorate.ledger.clock_readings import latest_first
from quorate.ledger.ledger_file import open_for_reading
from quorate.ledger.money import from_nano_usd
from quorate.ledger.rows import CHARGE_COLUMNS, MODEL_COLUMNS, charge_of, model_charge_of
from quorate.ledger.schema import SUMS
from quorate.ledger.spending import ChargeFilter, Dimension, SpendEvent, SpendFilter, SpendRow
from quorate.request import EnergyTier

MAX_PER_PAGE = 1000
MAX_PAGE_BYTES = 2 * 1024 * 1024
"""Texts of one page: well below what a message may hold."""
_SCAN_PAGE = 200
_TIERS_BY_RANK = (EnergyTier.UNAVAILABLE, EnergyTier.MEASURED, EnergyTier.ESTIMATED)
_OF_CHARGES = {
    "since": "finished_at >= ?",
    "until": "finished_at < ?",
    "model": "EXISTS (SELECT 1 FROM model_charges WHERE charge_id = charges.id AND model = ?)",
}
_OF_SPENDING = {"since": "at >= ?", "until": "at < ?"}
_ALL_CHARGES = ChargeFilter()
_ALL_SPENDING = SpendFilter()


_ONE_CHARGE = f"SELECT {', '.join(CHARGE_COLUMNS)} FROM charges WHERE id = ?"
_ITS_PARTS = f"""
    SELECT {", ".join(MODEL_COLUMNS)} FROM model_charges
    WHERE charge_id = ? AND position >= 0 ORDER BY position"""


class LedgerReader:
    """Reads a ledger and cannot change it. Blocks; belongs to one thread at a time.

    Every question raises ``Unavailable`` where the file cannot be read.

    Args:
        connection: Closed together with the reader.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def list_charges(
        self, chosen: ChargeFilter = _ALL_CHARGES, page_size: int = 50, page_token: str = ""
    ) -> tuple[tuple[Charge, ...], str]:
        """One page of charges, the latest settled first.

        A page begins after a row and not after a number of rows, so that charges which are settled
        meanwhile shift nothing.

        Args:
            chosen: Which charges.
            page_size: Most charges, 1 or more; above 1000 is 1000. A page has fewer where their
                texts take more than ``MAX_PAGE_BYTES``, but one at least.
            page_token: "" for the first page, then what came with the one before.

        Returns:
            The charges, and the token of the next page or "" after the last one.

        Raises:
            InvalidRequest: No such page size or token.
        """
        if page_size < 1:
            raise InvalidRequest("page_size", f"must be at least 1, not {page_size}")
        size = min(page_size, MAX_PER_PAGE)
        condition, values = _condition(asdict(chosen), _OF_CHARGES)
        if page_token:
            condition += " AND id < ?"
            values.append(_row_id(page_token))
        rows = self._query(
            f"SELECT id FROM charges WHERE {condition} ORDER BY id DESC LIMIT ?",
            # One more than the page tells whether there is another.
            [*values, size + 1],
        )
        return self._page([row[0] for row in rows], size)

    def scan(self, chosen: ChargeFilter = _ALL_CHARGES) -> Iterator[Charge]:
        """All charges, the latest settled first, a page at a time."""
        token = ""
        while True:
            charges, token = self.list_charges(chosen, _SCAN_PAGE, token)
            yield from charges
            if not token:
                return

    def summarize(
        self,
        group_by: Collection[Dimension] = (),
        since: float | None = None,
        until: float | None = None,
        chosen: SpendFilter = _ALL_SPENDING,
    ) -> tuple[SpendRow, ...]:
        """Sums of what was spent, ordered by group.

        A day whose charges are no longer kept one by one counts as a whole, where it begins within
        the time asked for.

        Args:
            group_by: Dimensions to sum by; none gives one row, or none where nothing was spent.
            since: Counts what ended then or later, in UTC epoch seconds.
            until: Counts what ended before.
            chosen: Which spending counts.
        """
        dimensions = [dimension for dimension in Dimension if dimension in group_by]
        by_model = Dimension.MODEL in group_by or chosen.model is not None
        condition, values = _condition(
            {"since": since, "until": until, **asdict(chosen)}, _OF_SPENDING
        )
        columns = [dimension.value for dimension in dimensions]
        sums = [f"SUM({name})" for name in SUMS]
        grouping = f"GROUP BY {', '.join(columns)} ORDER BY {', '.join(columns)}" if columns else ""
        rows = self._query(
            f"""SELECT {", ".join([*columns, *sums, "MAX(tier_rank)"])}
            FROM {"model_spending" if by_model else "spending"}
            WHERE {condition} {grouping}""",
            values,
        )
        # A sum without groups has a row even where it has nothing to add up.
        return tuple(
            _spend_row(dimensions, row) for row in rows if row[len(dimensions)] is not None
        )

    def spent_since(self, since: float, now: Reading) -> tuple[SpendEvent, ...]:
        """What each charge since then took from the budgets, the earliest first.

        Each is dated by the present clock, whatever that of its own time said; see ``moments``.

        Args:
            since: In UTC epoch seconds, by the present clock.
            now: What the clocks say at present.
        """
        try:
            rows = list(latest_first(self._connection, "key, microjoules, nano_usd", now, since))
        except sqlite3.Error as error:
            raise _unreadable(error) from error
        events = [
            SpendEvent(
                at,
                key,
                None if microjoules is None else microjoules / 1e6,
                None if nano_usd is None else from_nano_usd(nano_usd),
            )
            for at, (key, microjoules, nano_usd) in rows
        ]
        return tuple(sorted(events, key=lambda event: event.at))

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()

    def _page(self, ids: Sequence[int], size: int) -> tuple[tuple[Charge, ...], str]:
        """As many of these charges as a page may hold, read one by one, and the next page's token.

        One that was rolled up meanwhile is left out.
        """
        page: list[Charge] = []
        taken, before = 0, 0
        for row_id in ids:
            if len(page) == size:
                return tuple(page), str(before)
            found = self._query(_ONE_CHARGE, [row_id])
            if not found:
                continue
            taken += sum(len(value) for value in found[0] if isinstance(value, str))
            if page and taken > MAX_PAGE_BYTES:
                return tuple(page), str(before)
            parts = self._query(_ITS_PARTS, [row_id])
            page.append(charge_of(found[0], tuple(map(model_charge_of, parts))))
            before = row_id
        return tuple(page), str(ids[-1]) if len(ids) > size else ""

    def _query(self, statement: str, values: list[Any]) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise _unreadable(error) from error


def open_read_only(path: Path) -> LedgerReader:
    """Opens a ledger for reading, whether or not a server writes to it meanwhile.

    Raises:
        SettingsError: There is none, or it is broken, newer or not a ledger.
    """
    return LedgerReader(open_for_reading(path.absolute()))


def _unreadable(error: sqlite3.Error) -> Unavailable:
    return Unavailable(f"the ledger cannot be read: {error}")


def _spend_row(dimensions: Sequence[Dimension], row: Sequence[Any]) -> SpendRow:
    width = len(dimensions)
    sums = dict(zip(SUMS, row[width:-1], strict=True))
    with_joules = sums["attempts_with_joules"]
    return SpendRow(
        group=dict(zip(dimensions, row[:width], strict=True)),
        attempts=sums["attempts"],
        prompt_tokens=sums["prompt_tokens"],
        cached_prompt_tokens=sums["cached_prompt_tokens"],
        generated_tokens=sums["generated_tokens"],
        joules=sums["microjoules"] / 1e6 if with_joules else None,
        attempts_without_joules=sums["attempts"] - with_joules,
        tier=_TIERS_BY_RANK[row[-1]],
        usd=from_nano_usd(sums["nano_usd"]) if sums["attempts_with_usd"] else None,
    )


def _condition(asked: Mapping[str, Any], written: Mapping[str, str]) -> tuple[str, list[Any]]:
    """What a row must meet, and the values for it; a name that is None asks for nothing."""
    given = {name: value for name, value in asked.items() if value is not None}
    conditions = [written.get(name, f"{name} = ?") for name in given]
    return " AND ".join(["1", *conditions]), list(given.values())


def _row_id(page_token: str) -> int:
    if not (page_token.isascii() and page_token.isdigit() and len(page_token) < 19):
        problem = f"{quoted(page_token)} did not come from an earlier page"
        raise InvalidRequest("page_token", problem)
    return int(page_token)
