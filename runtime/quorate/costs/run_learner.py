"""Learns what runs on one model cost, from the runs themselves. Pure."""

from __future__ import annotations

from quorate.costs.fit import TrackedFit
from quorate.costs.prediction import ENERGY_PRIOR, TIME_PRIOR, EnergyModel, RunModel, RunShape
from quorate.costs.residuals import RatioWindow
from quorate.costs.saved import Json, Table, number, table, text
from quorate.request import EnergyTier

_RANK = {EnergyTier.UNAVAILABLE: 0, EnergyTier.ESTIMATED: 1, EnergyTier.MEASURED: 2}
# A figure beyond these is a defect of whoever measured it, on any machine.
_LEAST, _MOST = 1e-9, 1e12
_MAX_TOKENS = 1e9


class RunLearner:
    """Owner of what is known of one model's costs; changes with each observation.

    Energy of one tier is never mixed with another's: a better tier replaces what was learned from
    a worse one, and a worse one is ignored, since what was measured stays the better prediction.
    """

    def __init__(self) -> None:
        self._time = TrackedFit(TIME_PRIOR)
        self._first_token = RatioWindow()
        self._energy = TrackedFit(ENERGY_PRIOR)
        self._tier = EnergyTier.UNAVAILABLE
        self._most_batch = 1.0
        self._model: RunModel | None = RunModel()

    def observe(
        self,
        shape: RunShape,
        duration_ms: float,
        first_token_ms: float | None = None,
        joules: float | None = None,
        tier: EnergyTier = EnergyTier.UNAVAILABLE,
    ) -> None:
        """Learns one run, see ``FinishedRun``; ignores each figure that cannot be true."""
        if not _possible(shape):
            return
        if _LEAST <= duration_ms <= _MOST:
            self._observe_time(shape, duration_ms, first_token_ms)
        if joules is not None and _LEAST <= joules <= _MOST:
            self._observe_energy(shape, joules, tier)

    def model(self) -> RunModel:
        """What is known now; the same object until something else was learned."""
        if self._model is None:
            self._model = self._built()
        return self._model

    def state(self) -> dict[str, Json]:
        """What ``restore`` takes."""
        return {
            "time": self._time.state(),
            "first_token": self._first_token.state(),
            "energy": self._energy.state(),
            "tier": self._tier.value,
            "most_batch": self._most_batch,
        }

    @classmethod
    def restore(cls, state: Table) -> RunLearner:
        """A learner that goes on from a saved state."""
        learner = cls()
        learner._time.restore(table(state, "time"))
        learner._first_token.restore(table(state, "first_token"))
        learner._energy.restore(table(state, "energy"))
        learner._tier = EnergyTier(text(state, "tier"))
        if "most_batch" in state:
            learner._most_batch = number(state, "most_batch", 1.0, _MAX_TOKENS)
        learner._model = None
        return learner

    def _observe_time(
        self, shape: RunShape, duration_ms: float, first_token_ms: float | None
    ) -> None:
        first = RunShape(shape.prompt_tokens, 1.0, shape.batch, shape.cached_tokens)
        features = first.time_features()
        expected_ms = self._time.predict(features) if self._time.samples else None
        self._time.observe(shape.time_features(), duration_ms)
        self._model = None
        if first_token_ms is None or not _LEAST <= first_token_ms <= duration_ms:
            return
        if expected_ms:
            self._first_token.observe(first_token_ms / expected_ms)
        # The first token tells the prompt's share of the time from the answer's.
        self._time.learn(features, first_token_ms)

    def _observe_energy(self, shape: RunShape, joules: float, tier: EnergyTier) -> None:
        if tier is EnergyTier.UNAVAILABLE or _RANK[tier] < _RANK[self._tier]:
            return
        if tier is not self._tier:
            self._energy = TrackedFit(ENERGY_PRIOR)
            self._tier = tier
            self._most_batch = 1.0
        self._most_batch = max(self._most_batch, shape.batch)
        self._energy.observe(shape.energy_features(), joules)
        self._model = None

    def _built(self) -> RunModel:
        if not self._time.samples:
            return RunModel(energy_model=self._built_energy())
        ratios = self._time.ratios()
        return RunModel(
            samples=self._time.samples,
            time_coefficients=_scaled(self._time.coefficients(), ratios.median),
            time_spread=ratios.upper / ratios.median,
            first_token_ratio=self._first_token.quantiles().median / ratios.median,
            energy_model=self._built_energy(),
        )

    def _built_energy(self) -> EnergyModel | None:
        if not self._energy.samples:
            return None
        ratios = self._energy.ratios()
        coefficients = _scaled(self._energy.coefficients(), ratios.median)
        spread = ratios.upper / ratios.median
        return EnergyModel(coefficients, spread, self._tier, self._most_batch)


def _scaled(coefficients: tuple[float, ...], factor: float) -> tuple[float, ...]:
    return tuple(factor * one for one in coefficients)


def _possible(shape: RunShape) -> bool:
    counts = (shape.prompt_tokens, shape.output_tokens, shape.cached_tokens)
    batch = shape.batch
    return all(0 <= one <= _MAX_TOKENS for one in counts) and 1 <= batch <= _MAX_TOKENS
