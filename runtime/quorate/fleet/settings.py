"""Settings of the fleet."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FleetSettings:
    """How models share the processor.

    Attributes:
        pin_cores: Whether each model keeps to processor cores of its own. Where cores are given
            out by quota, and where other servers of this machine have them all, none does.
    """

    pin_cores: bool = True
