"""Metrics in Prometheus' terms, named after the habits of vLLM and llama.cpp.

What happens is counted when an attempt is settled, never for a token, so that metrics cost a
request some microseconds. How the service stands is read when somebody scrapes. Labels hold only
names of the configuration: what callers write could be told in any number of series.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from quorate.request import Alignment
from quorate.telemetry.attempts import SettledAttempt, SettledRun
from quorate.telemetry.state import ServiceState

_PLAN = ("kind", "profile")
_FIRST_TOKEN = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_PER_TOKEN = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.5)
_LONG = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
_SHORT = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0)


class Metrics:
    """Counts what attempts and calls took; an ``AttemptObserver``.

    Args:
        state: How the service stands, asked from the thread that is scraped on.
        version: Of the product.

    Attributes:
        registry: What can be scraped.
    """

    def __init__(self, state: Callable[[], ServiceState], version: str) -> None:
        self.registry = registry = CollectorRegistry()
        registry.register(_StateCollector(state, version))

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"quorate_{name}", text, labels, registry=registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"quorate_{name}", text, labels, buckets=buckets, registry=registry)

        self._calls = histogram(
            "rpc_duration_seconds",
            "Time from the arrival of a call to its status.",
            _LONG,
            "method",
            "status",
        )
        self._attempts = counter(
            "attempts", "Attempts to answer a request with one plan.", *_PLAN, "outcome"
        )
        self._finished = counter("request_success", "Complete answers.", *_PLAN, "finished_reason")
        self._substituted = counter(
            "substitutions", "Attempts with another plan than was named.", *_PLAN
        )
        self._queue = histogram(
            "request_queue_time_seconds",
            "Time from the arrival of a request to its turn.",
            _SHORT,
            *_PLAN,
        )
        self._first_token = histogram(
            "time_to_first_token_seconds",
            "Time from the arrival of a request to its first token.",
            _FIRST_TOKEN,
            *_PLAN,
        )
        self._per_token = histogram(
            "time_per_output_token_seconds",
            "Time for each token after the first, on average over an answer.",
            _PER_TOKEN,
            *_PLAN,
        )
        self._latency = histogram(
            "e2e_request_latency_seconds",
            "Time from the arrival of a request to the end of its answer.",
            _LONG,
            *_PLAN,
        )
        self._prompt_tokens = counter(
            "prompt_tokens", "Tokens of prompts, as each model cuts them.", "model"
        )
        self._cached_tokens = counter(
            "prompt_tokens_cached", "Those whose KV entries were reused.", "model"
        )
        self._generated_tokens = counter(
            "generation_tokens", "Tokens that each model read or wrote behind prompts.", "model"
        )
        self._drafted = counter(
            "draft_tokens",
            "Tokens that each model guessed ahead of the choice, bytes where those are voted on; "
            "without a model, those that were taken from what was said before.",
            "model",
            "unit",
        )
        self._accepted = counter(
            "draft_tokens_accepted", "Those of them that were chosen.", "model", "unit"
        )
        self._lone_tokens = counter(
            "lone_tokens",
            "Tokens of answers for which one member of a vote computed alone, being drawn from it.",
            "model",
        )
        self._answer_tokens = counter("answer_tokens", "Tokens of answers.", *_PLAN)
        self._busy = counter("model_busy_seconds", "Time that each model was waited for.", "model")
        self._joules = counter("energy_joules", "Energy, by how it is known.", "model", "tier")
        self._usd = counter("cost_usd", "What remotes charge.", "remote")
        self._dropped_mass = counter(
            "dropped_mass", "Probability that byte-exact votes pruned, summed over bytes.", "model"
        )
        self._notices = counter("notices", "Notices that readers were given.", "kind")

    def called(self, method: str, status: str, seconds: float) -> None:
        """Takes note of a call that ended.

        Args:
            method: Full name, such as ``/quorate.v1.InferenceService/Generate``, of one of ours; or
                the verb and the path over HTTP, such as ``POST /v1/completions``.
            status: Name of its status, as gRPC calls it.
            seconds: What it took.
        """
        name = method.rpartition("/")[2] if method.startswith("/") else method
        self._calls.labels(name, status).observe(seconds)

    def settled(self, attempt: SettledAttempt) -> None:
        """See ``AttemptObserver``."""
        route, usage = attempt.decision.route, attempt.usage
        plan = (route.kind.value, attempt.decision.profile)
        self._attempts.labels(*plan, attempt.outcome).inc()
        self._queue.labels(*plan).observe(max(0.0, attempt.began_at - attempt.arrived_at))
        if route.instead_of:
            self._substituted.labels(*plan).inc()
        for kind, count in attempt.notices.items():
            self._notices.labels(kind.value).inc(count)
        self._answer_tokens.labels(*plan).inc(usage.generated_tokens)
        self._count_models(attempt)
        for run in attempt.runs:
            self._count_drafts(run)
        if attempt.reason is None or attempt.outcome != "finished":
            return
        self._finished.labels(*plan, attempt.reason.value).inc()
        self._latency.labels(*plan).observe(usage.duration_ms / 1e3)
        first_ms = usage.time_to_first_token_ms
        if first_ms is not None:
            self._first_token.labels(*plan).observe(first_ms / 1e3)
        if (token_ms := usage.time_per_token_ms) is not None:
            self._per_token.labels(*plan).observe(token_ms / 1e3)

    def _count_models(self, attempt: SettledAttempt) -> None:
        remote = attempt.decision.route.remote
        for one in attempt.usage.models:
            self._prompt_tokens.labels(one.model).inc(one.prompt_tokens)
            self._cached_tokens.labels(one.model).inc(one.cached_prompt_tokens)
            self._generated_tokens.labels(one.model).inc(one.generated_tokens)
            self._busy.labels(one.model).inc(one.busy_ms / 1e3)
            if one.lone_tokens:
                self._lone_tokens.labels(one.model).inc(one.lone_tokens)
            if one.energy.joules is not None:
                tier = one.energy.tier.value
                self._joules.labels(one.model, tier).inc(max(0.0, one.energy.joules))
            if one.dropped_mass is not None:
                self._dropped_mass.labels(one.model).inc(one.dropped_mass)
            if remote and one.usd is not None:
                self._usd.labels(remote).inc(max(0.0, one.usd))

    def _count_drafts(self, run: SettledRun) -> None:
        unit = "byte" if run.decision.alignment is Alignment.BYTE_EXACT else "token"
        drafted, accepted = run.drafted, run.accepted
        for one in run.models:
            if one.drafted_tokens:
                self._drafted.labels(one.model, unit).inc(one.drafted_tokens)
                self._accepted.labels(one.model, unit).inc(one.accepted_tokens)
            drafted -= one.drafted_tokens
            accepted -= one.accepted_tokens
        if drafted > 0:
            self._drafted.labels("", unit).inc(drafted)
            self._accepted.labels("", unit).inc(max(0, accepted))


class _StateCollector(Collector):
    """Reads how the service stands whenever somebody scrapes."""

    def __init__(self, state: Callable[[], ServiceState], version: str) -> None:
        self._state = state
        self._version = version

    def describe(self) -> Iterator[Metric]:
        """Nothing: registering must not ask the service, which may not listen yet."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Every gauge, as it stands now."""
        state = self._state()
        yield _gauge("build_info", "The version that runs.", {"version": self._version}, 1.0)
        yield _gauge("num_requests_running", "Requests that run here.", {}, state.running)
        yield _gauge(
            "num_requests_waiting", "Requests that wait for their turn.", {}, state.waiting
        )
        yield _gauge(
            "num_requests_aside", "Requests that wait for a member to return.", {}, state.aside
        )
        yield from _models(state)
        yield from _windows(state)
        ready = GaugeMetricFamily(
            "quorate_profile_ready", "Whether a profile can run now.", labels=["profile"]
        )
        for profile, is_ready in state.ready_profiles:
            ready.add_metric([profile], float(is_ready))
        yield ready


def _gauge(name: str, text: str, labels: dict[str, str], value: float) -> Metric:
    family = GaugeMetricFamily(f"quorate_{name}", text, labels=list(labels))
    family.add_metric(list(labels.values()), value)
    return family


def _models(state: ServiceState) -> Iterator[Metric]:
    def of_models(name: str, text: str) -> GaugeMetricFamily:
        return GaugeMetricFamily(f"quorate_{name}", text, labels=["model"])

    states = GaugeMetricFamily(
        "quorate_model_state", "The state of each model is 1.", labels=["model", "state"]
    )
    requests = of_models("model_requests_running", "Requests that use each model.")
    kv_usage = of_models("kv_cache_usage_ratio", "Share of the KV cache that sessions hold.")
    memory = of_models("model_memory_bytes", "Resident memory of each model's processes.")
    restarts = CounterMetricFamily(
        "quorate_worker_restarts", "Workers started again since a load.", labels=["model"]
    )
    for model in state.models:
        states.add_metric([model.id, model.state], 1.0)
        requests.add_metric([model.id], model.requests)
        memory.add_metric([model.id], model.memory_bytes)
        restarts.add_metric([model.id], model.restarts)
        if model.kv_usage is not None:
            kv_usage.add_metric([model.id], model.kv_usage)
    yield from (states, requests, kv_usage, memory, restarts)


def _windows(state: ServiceState) -> Iterator[Metric]:
    limits = GaugeMetricFamily(
        "quorate_budget_limit", "What a window of a budget allows.", labels=["window", "unit"]
    )
    remaining = GaugeMetricFamily(
        "quorate_budget_remaining", "What it still allows.", labels=["window", "unit"]
    )
    for window in state.windows:
        limits.add_metric([window.name, window.unit], window.limit)
        remaining.add_metric([window.name, window.unit], window.remaining)
    yield from (limits, remaining)
