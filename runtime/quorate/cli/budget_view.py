"""Windows of a budget, and the energy of the machine, in lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from quorate.cli.quantities import bar, joules_text, span_text, tier_words, usd_text
from quorate.v1 import accounting_pb2


def window_lines(windows: Sequence[accounting_pb2.BudgetWindow]) -> Iterator[str]:
    """A line for each window: how full it is, what is spent and held, and when that ends."""
    width = max((len(window.name) for window in windows), default=0)
    for window in windows:
        words = usd_text if window.unit == accounting_pb2.BUDGET_UNIT_USD else joules_text
        taken = window.spent + window.held
        # A limit of 0 allows nothing, so that it is always reached.
        share = taken / window.limit if window.limit > 0 else 1.0
        held = f" + {words(window.held)} held" if window.held > 0 else ""
        line = (
            f"{window.name:<{width}}  {bar(share)}  "
            f"{words(window.spent)} spent{held} of {words(window.limit)}"
        )
        if window.HasField("resets_in_seconds"):
            line += f", all free in {span_text(window.resets_in_seconds)}"
        yield line


def machine_line(machine: accounting_pb2.MachineEnergy) -> Iterator[str]:
    """Where the machine's energy went since the server started; nothing where it is not known."""
    if not machine.HasField("counter_joules"):
        return
    parts = [
        f"{joules_text(getattr(machine, name))} {words}"
        for name, words in (
            ("request_joules", "for requests"),
            ("idle_joules", "idle"),
            ("unattributed_joules", "unattributed"),
        )
        if machine.HasField(name)
    ]
    total = " ".join([joules_text(machine.counter_joules), *tier_words(machine.tier)])
    yield f"machine since the server started: {total} = {' + '.join(parts)}"
