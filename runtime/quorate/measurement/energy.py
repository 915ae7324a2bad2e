"""Energy meters. A meter that is absent says so; it never says zero."""

from __future__ import annotations

from typing import Protocol

from quorate.generation import Energy, EnergyTier


class EnergyMeter(Protocol):
    """Attributes energy to the work of one model."""

    def attribute(self, model: str, busy_seconds: float) -> Energy:
        """Energy that ``model`` spent on ``busy_seconds`` of work."""
        ...


class NoMeter:
    """The meter of a machine without one: every figure is unavailable."""

    def attribute(self, model: str, busy_seconds: float) -> Energy:
        """Unavailable, whatever was done."""
        return Energy(None, EnergyTier.UNAVAILABLE)
