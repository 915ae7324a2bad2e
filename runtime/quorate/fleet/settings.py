"""Settings of the fleet."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FleetSettings:
    """How models share the processor.

    Attributes:
        pin_cores: Whether models keep to the processor cores that they are given. Where cores are
            given out by quota, and while other servers of this machine have them all, none does.
    """

    pin_cores: bool = True
