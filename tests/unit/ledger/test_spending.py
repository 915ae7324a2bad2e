from __future__ import annotations

import tempfile
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.errors import InvalidRequest
from quorate.ledger.charges import Charge, ModelCharge
from quorate.ledger.ledger import Ledger
from quorate.ledger.spending import ChargeFilter, Dimension, SpendEvent, SpendFilter, SpendRow
from quorate.request import EnergyTier
from support.charges import bare_charge

DAY = 86_400.0
MIDNIGHT = 20_000 * DAY
BARE = bare_charge(finished_at=MIDNIGHT)


async def settle(ledger: Ledger, *charges: Charge) -> None:
    for number, charge in enumerate(charges):
        await ledger.settle(replace(charge, attempt_id=f"a{number}"))


async def attempts(ledger: Ledger, chosen: ChargeFilter) -> list[str]:
    charges, _ = await ledger.list_charges(chosen)
    return [charge.attempt_id for charge in charges]


async def test_pages_hold_every_charge_once_while_others_are_settled(ledger: Ledger) -> None:
    await settle(ledger, *[BARE] * 7)
    seen, token = [], ""
    for turn in range(4):
        charges, token = await ledger.list_charges(page_size=2, page_token=token)
        seen.extend(charge.attempt_id for charge in charges)
        await ledger.settle(replace(BARE, attempt_id=f"late {turn}"))
    assert seen == ["a6", "a5", "a4", "a3", "a2", "a1", "a0"]
    assert token == ""


async def test_a_page_that_holds_all_is_the_last(ledger: Ledger) -> None:
    await settle(ledger, BARE, BARE)
    charges, token = await ledger.list_charges(page_size=2)
    assert (len(charges), token) == (2, "")


@pytest.mark.parametrize("token", ["x", "-1", "1.5", "٣", "9" * 30])
async def test_a_page_token_of_ones_own_making_is_refused(ledger: Ledger, token: str) -> None:
    with pytest.raises(InvalidRequest, match=r"page_token: .* did not come from an earlier page"):
        await ledger.list_charges(page_token=token)


async def test_a_page_holds_at_least_one_charge(ledger: Ledger) -> None:
    with pytest.raises(InvalidRequest, match="page_size: must be at least 1, not 0"):
        await ledger.list_charges(page_size=0)


async def test_charges_are_listed_by_what_they_are(ledger: Ledger) -> None:
    await settle(
        ledger,
        replace(BARE, key="k", models=(ModelCharge("m"), ModelCharge("n"))),
        replace(BARE, profile="p", finished_at=MIDNIGHT + 5, models=(ModelCharge("n"),)),
        replace(BARE, task="t", plan_kind="remote", outcome="failed", request_id="other"),
    )
    assert await attempts(ledger, ChargeFilter(key="k")) == ["a0"]
    assert await attempts(ledger, ChargeFilter(key="")) == ["a2", "a1"]
    assert await attempts(ledger, ChargeFilter(model="n")) == ["a1", "a0"]
    assert await attempts(ledger, ChargeFilter(profile="p")) == ["a1"]
    assert await attempts(ledger, ChargeFilter(task="t", plan_kind="remote")) == ["a2"]
    assert await attempts(ledger, ChargeFilter(task="t", plan_kind="single")) == []
    assert await attempts(ledger, ChargeFilter(outcome="failed")) == ["a2"]
    assert await attempts(ledger, ChargeFilter(request_id="r")) == ["a1", "a0"]
    assert await attempts(ledger, ChargeFilter(since=MIDNIGHT + 5)) == ["a1"]
    assert await attempts(ledger, ChargeFilter(until=MIDNIGHT + 5)) == ["a2", "a0"]
    assert await attempts(ledger, ChargeFilter(key="' OR 1 --")) == []


async def test_an_empty_ledger_has_no_sums(ledger: Ledger) -> None:
    assert await ledger.summarize() == ()
    assert await ledger.summarize(Dimension) == ()


async def test_sums_say_how_much_of_the_energy_is_not_known(ledger: Ledger) -> None:
    measured = replace(BARE, joules=2.0, tier=EnergyTier.MEASURED, usd=Decimal("0.25"))
    await settle(ledger, measured, measured, BARE)
    assert await ledger.summarize() == (
        SpendRow({}, 3, 0, 0, 0, 4.0, 1, EnergyTier.MEASURED, Decimal("0.5")),
    )


async def test_one_estimate_makes_a_sum_an_estimate(ledger: Ledger) -> None:
    await settle(
        ledger,
        replace(BARE, joules=2.0, tier=EnergyTier.ESTIMATED),
        replace(BARE, joules=2.0, tier=EnergyTier.MEASURED),
    )
    [row] = await ledger.summarize()
    assert row.tier is EnergyTier.ESTIMATED


async def test_what_is_not_known_at_all_has_no_sum(ledger: Ledger) -> None:
    await settle(ledger, BARE)
    [row] = await ledger.summarize([Dimension.MODEL])
    assert (row.group, row.joules, row.attempts_without_joules, row.usd) == (
        {Dimension.MODEL: ""},
        None,
        1,
        None,
    )
    assert row.tier is EnergyTier.UNAVAILABLE


async def test_sums_are_grouped_by_day_in_utc_and_limited_in_time(ledger: Ledger) -> None:
    times = (MIDNIGHT - 0.5, MIDNIGHT, MIDNIGHT + DAY - 0.5)
    await settle(ledger, *(replace(BARE, finished_at=time, prompt_tokens=3) for time in times))
    rows = await ledger.summarize([Dimension.DAY])
    assert [(row.group[Dimension.DAY], row.prompt_tokens) for row in rows] == [
        ("2024-10-03", 3),
        ("2024-10-04", 6),
    ]
    [row] = await ledger.summarize(since=MIDNIGHT, until=MIDNIGHT + DAY - 0.5)
    assert row.attempts == 1


async def test_an_ensemble_counts_once_as_a_whole_and_once_for_each_model(ledger: Ledger) -> None:
    ensemble = replace(
        BARE,
        prompt_tokens=7,
        generated_tokens=5,
        joules=4.0,
        tier=EnergyTier.MEASURED,
        models=(
            ModelCharge("a", 7, 2, 5, 1.0, 1.0, EnergyTier.MEASURED),
            ModelCharge("b", 9, 0, 6, 1.0, 2.5, EnergyTier.MEASURED),
        ),
    )
    await settle(ledger, ensemble)
    [whole] = await ledger.summarize()
    assert (whole.attempts, whole.prompt_tokens, whole.generated_tokens) == (1, 7, 5)
    overhead, first, second = await ledger.summarize([Dimension.MODEL])
    assert [row.joules for row in (overhead, first, second)] == [0.5, 1.0, 2.5]
    assert (first.prompt_tokens, first.cached_prompt_tokens, second.prompt_tokens) == (7, 2, 9)
    [chosen] = await ledger.summarize(chosen=SpendFilter(model="b"))
    assert replace(chosen, group=second.group) == second


async def test_recent_spending_is_told_in_the_order_it_ended(ledger: Ledger) -> None:
    await settle(
        ledger,
        replace(BARE, finished_at=MIDNIGHT + 2, key="k", usd=Decimal("0.1")),
        replace(BARE, finished_at=MIDNIGHT + 1, joules=1.5),
        replace(BARE, finished_at=MIDNIGHT),
    )
    assert await ledger.spent_since(MIDNIGHT + 1) == (
        SpendEvent(MIDNIGHT + 1, "", 1.5, None),
        SpendEvent(MIDNIGHT + 2, "k", None, Decimal("0.1")),
    )


amounts = st.none() | st.integers(0, 10**12).map(lambda nano: Decimal(nano).scaleb(-9))
energies = st.none() | st.floats(0, 1e6)
names = st.sampled_from(["", "x", "y"])
tiers = st.sampled_from([EnergyTier.MEASURED, EnergyTier.ESTIMATED])
counts = st.integers(0, 10_000)
parts = st.builds(
    ModelCharge,
    model=st.sampled_from(["m", "n", "o"]),
    prompt_tokens=counts,
    cached_prompt_tokens=counts,
    generated_tokens=counts,
    joules=energies,
    tier=tiers,
    usd=amounts,
)
charges = st.builds(
    Charge,
    attempt_id=st.uuids().map(str),
    request_id=st.just("r"),
    started_at=st.just(0.0),
    finished_at=st.floats(MIDNIGHT, MIDNIGHT + 4 * DAY),
    plan_kind=st.sampled_from(["single", "remote"]),
    outcome=st.just("finished"),
    key=names,
    profile=names,
    task=names,
    prompt_tokens=counts,
    cached_prompt_tokens=counts,
    generated_tokens=counts,
    joules=energies,
    tier=tiers,
    usd=amounts,
    models=st.lists(parts, max_size=3, unique_by=lambda part: part.model).map(tuple),
)


@settings(max_examples=40)
@given(st.lists(charges, max_size=12))
async def test_joules_and_dollars_of_the_models_add_up_to_the_whole(settled: list[Charge]) -> None:
    ledger = Ledger.open(None)
    for charge in settled:
        await ledger.settle(charge)
    for whole in await ledger.summarize([Dimension.KEY]):
        chosen = SpendFilter(key=whole.group[Dimension.KEY])
        rows = await ledger.summarize([Dimension.MODEL], chosen=chosen)
        in_whole = [round((row.joules or 0) * 1e6) for row in rows]
        assert sum(in_whole) == round((whole.joules or 0) * 1e6)
        assert sum((row.usd or 0) for row in rows) == (whole.usd or 0)
    await ledger.close()


async def figures(ledger: Ledger) -> list[tuple[SpendRow, ...]]:
    groups = [[], list(Dimension), *([dimension] for dimension in Dimension)]
    filters = [SpendFilter(), SpendFilter(model="m"), SpendFilter(key="", plan_kind="remote")]
    times = [(None, None), (MIDNIGHT + DAY, MIDNIGHT + 3 * DAY)]
    return [
        await ledger.summarize(group, since, until, chosen)
        for group in groups
        for chosen in filters
        for since, until in times
    ]


@settings(max_examples=30)
@given(st.lists(charges, max_size=12), st.lists(st.floats(0, 5 * DAY), min_size=1, max_size=3))
async def test_sums_are_the_same_before_and_after_compaction(
    settled: list[Charge], ages: list[float]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger.open(Path(folder) / "ledger")
        for charge in settled:
            await ledger.settle(charge)
        before = await figures(ledger)
        for age in ages:
            await ledger.compact(MIDNIGHT + age)
            assert await figures(ledger) == before
        midnight = (MIDNIGHT + max(ages)) // DAY * DAY
        kept, _ = await ledger.list_charges()
        assert {charge.attempt_id for charge in kept} == {
            charge.attempt_id for charge in settled if charge.finished_at >= midnight
        }
        await ledger.close()


async def test_compaction_goes_in_chunks_and_gives_the_space_back(
    ledger: Ledger, tmp_path: Path
) -> None:
    await settle(ledger, *[replace(BARE, plan="x" * 2000)] * 1200)
    assert await ledger.compact(MIDNIGHT + DAY - 1) == 0
    assert await ledger.compact(MIDNIGHT + DAY) == 1200
    assert await ledger.list_charges() == ((), "")
    [row] = await ledger.summarize()
    assert row.attempts == 1200
    await ledger.close()
    assert (tmp_path / "ledger").stat().st_size < 200_000
