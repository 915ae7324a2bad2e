"""What a run on a model will take: time and energy, priced in about a microsecond. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from quorate.costs.residuals import UNTRIED_RATIO
from quorate.request import EnergyTier
from quorate.request.work import WorkCosts

TIME_PRIOR = (20.0, 1.0, 8.0, 2.0, 0.002)
"""Proportions of the time coefficients, as of a small model on a CPU, in milliseconds: for a run,
a prompt token, an output token, that times the batch, and an output token times a KV entry."""

ENERGY_PRIOR = (0.5, 0.03, 0.1, 2e-5, 1e-5, 0.2)
"""Proportions of the energy coefficients in joules; see ``RunShape.energy_features``."""


@dataclass(frozen=True, slots=True)
class RunShape:
    """What makes one run longer than another.

    Attributes:
        prompt_tokens: Tokens of the prompt that must be computed, without the cached ones.
        output_tokens: Tokens of the answer.
        batch: Mean number of sequences decoded together, this one included; at least 1.
        cached_tokens: Tokens of the prompt whose KV entries are reused.
    """

    prompt_tokens: float
    output_tokens: float
    batch: float = 1.0
    cached_tokens: float = 0.0

    @property
    def kv_entries(self) -> float:
        """KV entries that a token of the answer reads, on average."""
        return self.prompt_tokens + self.cached_tokens + 0.5 * self.output_tokens

    def time_features(self) -> tuple[float, ...]:
        """{1, prompt, out, out · batch, out · KV entries}.

        The last is there because every step reads all KV entries of its sequence: without it a
        long context would look like a machine that has become slower.
        """
        out = self.output_tokens
        return (1.0, self.prompt_tokens, out, out * self.batch, out * self.kv_entries)

    def energy_features(self) -> tuple[float, ...]:
        """{1, prompt, out, whole prompt · out, out², out / batch}."""
        prompt, out = self.prompt_tokens, self.output_tokens
        return (
            1.0,
            prompt,
            out,
            (prompt + self.cached_tokens) * out,
            out * out,
            out / max(self.batch, 1.0),
        )


@dataclass(frozen=True, slots=True)
class TimePrediction:
    """Time of a run from its start on the engine, queueing excluded.

    Attributes:
        mean_ms: Expected; of requests like this, half were faster.
        q90_ms: Nine of ten were faster.
    """

    mean_ms: float
    q90_ms: float


@dataclass(frozen=True, slots=True)
class EnergyPrediction:
    """Energy of a run.

    Attributes:
        joules: Expected.
        q90_joules: Nine of ten took less.
        tier: How the figures were come by from which it was learned.
    """

    joules: float
    q90_joules: float
    tier: EnergyTier


@dataclass(frozen=True, slots=True)
class EnergyModel:
    """A learned energy model.

    Attributes:
        coefficients: Of ``RunShape.energy_features``, in joules, corrected.
        spread: q90 / expected.
        tier: Of what it was learned from.
        most_batch: The largest batch that was seen. What larger ones save is not known, and who
            counts on it overspends a budget.
    """

    coefficients: tuple[float, ...]
    spread: float
    tier: EnergyTier
    most_batch: float = math.inf


@dataclass(frozen=True, slots=True)
class RunModel:
    """What runs on one model cost, as known at one moment.

    Attributes:
        samples: Runs it was learned from.
        time_coefficients: Of ``RunShape.time_features``, in milliseconds, corrected.
        time_spread: q90 / expected.
        first_token_ratio: Corrects the time to the first token.
        energy_model: None where no run's energy was known.
    """

    samples: int = 0
    time_coefficients: tuple[float, ...] = TIME_PRIOR
    time_spread: float = UNTRIED_RATIO
    first_token_ratio: float = 1.0
    energy_model: EnergyModel | None = None

    @property
    def cold(self) -> bool:
        """Whether nothing was seen, so that the predictions are a guess about any machine."""
        return self.samples == 0

    def time(self, shape: RunShape) -> TimePrediction:
        """Time of a run."""
        run, prefill, decode, batched, kv_entry = self.time_coefficients
        prompt, out = shape.prompt_tokens, shape.output_tokens
        context = prompt + shape.cached_tokens + 0.5 * out
        step = decode + batched * shape.batch + kv_entry * context
        mean = run + prefill * prompt + out * step
        return TimePrediction(mean, mean * self.time_spread)

    def first_token_ms(self, shape: RunShape) -> float:
        """Expected time to the first token of a run."""
        run, prefill, decode, batched, kv_entry = self.time_coefficients
        prompt = shape.prompt_tokens
        step = decode + batched * shape.batch + kv_entry * (prompt + shape.cached_tokens + 0.5)
        return self.first_token_ratio * (run + prefill * prompt + step)

    def energy(self, shape: RunShape) -> EnergyPrediction | None:
        """Energy of a run, or None where none was ever known."""
        model = self.energy_model
        if model is None:
            return None
        run, prefill, decode, pair, square, shared = model.coefficients
        prompt, out = shape.prompt_tokens, shape.output_tokens
        token = decode + pair * (prompt + shape.cached_tokens) + square * out
        token += shared / max(min(shape.batch, model.most_batch), 1.0)
        joules = run + prefill * prompt + out * token
        return EnergyPrediction(joules, joules * model.spread, model.tier)

    def tokens_per_second(self, batch: float, kv_entries: float = 0.0) -> float | None:
        """Tokens that the engine decodes in a second, over all sequences of a batch.

        Args:
            batch: Sequences decoded together.
            kv_entries: That each of them reads for a token.

        Returns:
            None where no run decoded enough for a step to be told from the rest.
        """
        _, _, decode, batched, kv_entry = self.time_coefficients
        step_ms = decode + batched * batch + kv_entry * kv_entries
        return 1000.0 * batch / step_ms if step_ms > 0 else None

    def work_costs(self) -> WorkCosts:
        """Seconds of each kind of work, done alone, to split among requests what they shared."""
        _, prefill, decode, batched, kv_entry = self.time_coefficients
        return WorkCosts(
            prefill=prefill / 1000.0,
            decode=(decode + batched) / 1000.0,
            kv=kv_entry / 1000.0,
        )
