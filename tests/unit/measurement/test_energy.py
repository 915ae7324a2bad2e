from __future__ import annotations

import pytest

from quorate.generation import EnergyTier
from quorate.measurement.energy import NoMeter


@pytest.mark.parametrize("busy_seconds", [0.0, 0.001, 3600.0])
def test_energy_without_a_meter_is_absent_and_never_zero(busy_seconds: float) -> None:
    energy = NoMeter().attribute("a", busy_seconds)
    assert energy.joules is None
    assert energy.tier is EnergyTier.UNAVAILABLE
