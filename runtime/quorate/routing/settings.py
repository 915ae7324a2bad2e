"""How plans are chosen."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from quorate.options import option

_ALGORITHM = "1"


@dataclass(frozen=True, slots=True)
class RoutingSettings:
    """What a plan is worth, and what may be considered.

    A plan costs ``joule_weight * joules + usd_weight * usd + quality_weight * (1 - quality)``, and
    of those that meet a request's limits the one that costs least runs.

    Attributes:
        policy: What happens where nothing meets the limits that a request sets: ``best_effort``
            runs the local plan that comes nearest, ``reject`` refuses the request.
        local_only: Whether nothing may leave this machine, whatever else is configured.
        joule_weight: What a joule is worth.
        usd_weight: What a dollar is worth.
        quality_weight: What it is worth to be right for sure instead of never.
        candidates: Models and profiles that the server may choose from; none stands for all.
        exploration: Share of the requests that may be answered by a plan that was never measured,
            in order to measure it; only where it may be as good, and never with a deadline.
        confidence: A cascade keeps an answer from this confidence on where its plan says nothing.
        probe: Whether models that were never measured here are measured when nothing else runs.
        calibration: Path of what ``quorate calibrate`` found out; "" is in the data folder.
        feedback: Whether callers may rate answers, which moves what is expected of plans for them.
        allow_substitution: Whether another plan may answer where a named one cannot, or exceeds the
            request's limits, unless the request itself says.
    """

    policy: str = option("best_effort", choices=("best_effort", "reject"))
    local_only: bool = False
    joule_weight: float = option(1e-4, lowest=0, highest=1e6)
    usd_weight: float = option(10.0, lowest=0, highest=1e9)
    quality_weight: float = option(1.0, lowest=0, highest=1e6)
    candidates: tuple[str, ...] = option((), texts=True)
    exploration: float = option(0.02, lowest=0, highest=0.5)
    confidence: float = option(0.6, lowest=0, highest=1)
    probe: bool = True
    calibration: str = ""
    feedback: bool = True
    allow_substitution: bool = False

    @property
    def version(self) -> str:
        """Changes with the policy, so that the ledger tells what chose a plan."""
        digest = hashlib.blake2b(repr(self).encode(), digest_size=4).hexdigest()
        return f"{_ALGORITHM}-{digest}"
