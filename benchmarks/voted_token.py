"""What one voted token costs the coordinator: two members of 151,936 tokens, rows in memory.

    .venv/bin/python benchmarks/voted_token.py [--json] [--rounds 9]

No model runs: rows are taken from more memory than a cache holds, as they come from other
processes, and futures are resolved by the event loop, as an answer of a worker resolves them.
Beside each row stand its maxima, as a worker writes them, for which there is a figure of its own.
Counted is CPU time of this thread, so that others on the machine disturb little. "Whole rows" mixes
the whole vocabulary first and chooses then, which the service did before: the ratios say what it
gains by mixing only what may be chosen. Fusion, choice, attribution and the message are in it; the
transport, which is gRPC's, is not.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import numpy as np
from figures import Figure, figure, report, say, side_by_side

from quorate.api.grpc.translation.responses import generate_response
from quorate.engines.contract import LogProbs
from quorate.engines.vocabulary import Vocabulary
from quorate.ensemble.alignments.contract import Limit
from quorate.ensemble.alignments.tokens import TokenAlignment, TokenPredictor
from quorate.ensemble.decode import DecodeParams, Step, decode
from quorate.ensemble.ensemble import Ensemble
from quorate.ensemble.fusion import Fuser
from quorate.ensemble.losses import Losses
from quorate.ensemble.member import Member, MemberPrompt
from quorate.ensemble.mixture import Mixture
from quorate.ensemble.sharing import ahead_of_laggards
from quorate.ensemble.weighting import BayesianWeights, ConfidentWeights, StaticWeights, Weigher
from quorate.request import (
    CombinationRule,
    Delta,
    FailurePolicy,
    FinishReason,
    ResponseOptions,
    SamplingOptions,
    StoppingOptions,
    Token,
    Vote,
)
from quorate.sampling.peaks import Maxima, count_of_maxima, write_maxima
from quorate.sampling.sampler import Sampler

_VOCABULARY = 151_936
_ROWS = 64
_STREAMS = 32
_STEPS = 60
_GREEDY = SamplingOptions(temperature=0.0)
_NOTHING_SHOWN = ResponseOptions()
_VOTES = ResponseOptions(top_logprobs=1, member_votes=True)
# What a reader takes for a message that does not keep up.
_LAG_SECONDS = 0.2
_OPTIONS = {
    "greedy": _GREEDY,
    "temperature 0.8, top-k 40, top-p 0.95, min-p 0.05": SamplingOptions(),
    "the same with a repetition penalty": SamplingOptions(repetition_penalty=1.1),
    "min-p 0.05 alone": SamplingOptions(top_k=0, top_p=1.0),
    "top-p 0.95 alone": SamplingOptions(top_k=0, min_p=0.0),
    "all of the distribution": SamplingOptions(top_k=0, top_p=1.0, min_p=0.0),
}


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description="What a voted token costs the coordinator.")
    parser.add_argument("--json", action="store_true", help="one JSON line per figure")
    parser.add_argument("--rounds", type=int, default=9, help="rounds of each figure")
    arguments = parser.parse_args()
    say("rows are made")
    bench = Bench(arguments.rounds)
    figures = [*bench.choices(), *bench.rules(), *bench.parts(), *bench.steps()]
    report(figures, "json" if arguments.json else "table")


class Bench:
    """The figures, over one set of rows."""

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds
        self.rows = [_row(seed) for seed in range(_ROWS)]
        self.maxima = [_maxima(row) for row in self.rows]
        self.vocabulary = Vocabulary(
            pieces=tuple(b" %d" % token for token in range(_VOCABULARY)),
            control=frozenset({_VOCABULARY - 1}),
            end_of_generation=frozenset({_VOCABULARY - 1}),
        )

    def choices(self) -> list[Figure]:
        """Fusing and choosing by the linear rule, against mixing whole rows first."""
        found = []
        for name, options in _OPTIONS.items():
            say(name)
            few = self._choose(CombinationRule.LINEAR, options, lambda mixture: mixture)
            whole = self._choose(
                CombinationRule.LINEAR, options, lambda mixture: Mixture.of(mixture.row)
            )
            ours, theirs, ratio = self._in_turn(few, whole)
            detail = f"{ours:.3f} against {theirs:.3f} ms"
            found.append(figure(f"linear, {name} / whole rows", ratio, "x", detail))
        return found

    def rules(self) -> list[Figure]:
        """Fusing and choosing greedily, by rule."""
        return [
            self._figure(f"{rule.value}, greedy", self._choose(rule, _GREEDY, lambda it: it))
            for rule in CombinationRule
        ]

    def parts(self) -> list[Figure]:
        """What else a step does, one by one."""
        priors = [0.5, 0.5]
        weighers: dict[str, Weigher] = {
            "static": StaticWeights(priors),
            "bayesian": BayesianWeights(priors, 0.9),
            "confidence": ConfidentWeights(priors),
        }
        figures = [
            self._figure(f"weights: {name}", self._weigh(one)) for name, one in weighers.items()
        ]
        votes = tuple(Vote(model, b" lighthouse", -0.5, 0.5, -0.5) for model in "ab")
        shown = Delta(" lighthouse", (_token(votes),))
        return [
            *figures,
            self._figure("maxima of a row, in the worker", lambda _: _maxima(self.rows[0])),
            self._figure("message of a delta", lambda _: _serialised(Delta(" a", (_token(),)))),
            self._figure("message of a delta with votes", lambda _: _serialised(shown)),
        ]

    def steps(self) -> list[Figure]:
        """The whole loop, to the bytes of its messages."""
        default = SamplingOptions()
        say("the loop")
        one = [self._loop_ms(1, _GREEDY) for _ in range(self.rounds)]
        drawn = [self._loop_ms(1, default) for _ in range(self.rounds)]
        many = [self._loop_ms(_STREAMS, _GREEDY) for _ in range(self.rounds)]
        many_drawn = [self._loop_ms(_STREAMS, default) for _ in range(self.rounds)]
        detail = f"CPU time of {_STEPS} steps, median of {self.rounds} rounds"
        name = f"{_STREAMS} streams"
        return [
            figure("a step, greedy", statistics.median(one), "ms", detail, at_most=0.25),
            figure("a step, sampled", statistics.median(drawn), "ms", detail, at_most=0.25),
            figure(f"{name}, greedy", statistics.median(many), "ms", detail, at_most=5.0),
            figure(f"{name}, sampled", statistics.median(many_drawn), "ms", detail, at_most=5.0),
            *self._lagging(name),
        ]

    def _lagging(self, name: str) -> list[Figure]:
        """Streams that show votes, to readers that take long for each message."""
        say("readers that lag")
        counts: list[float] = []

        def lagging() -> float:
            messages: list[int] = []
            took = self._loop_ms(_STREAMS, _GREEDY, _VOTES, _LAG_SECONDS, messages)
            counts.append(sum(messages) / (_STREAMS * _STEPS))
            return took

        ours, theirs, ratio = side_by_side(
            lagging, lambda: self._loop_ms(_STREAMS, _GREEDY, _VOTES), self.rounds
        )
        detail = f"{ours:.2f} against {theirs:.2f} ms"
        return [
            figure(f"{name} with votes, readers that lag / that keep up", ratio, "x", detail),
            figure("messages a token, readers that lag", statistics.median(counts), "x", ""),
        ]

    def _choose(
        self, rule: CombinationRule, options: SamplingOptions, view: Callable[[Mixture], Mixture]
    ) -> Callable[[int], object]:
        fuser, sampler = Fuser(rule), Sampler(options, _VOCABULARY, 1, range(100))

        def choose(at: int) -> int:
            maxima = [self.maxima[at % _ROWS], self.maxima[(at + 1) % _ROWS]]
            return sampler.sample(view(fuser.fuse(self._pair(at), [0.5, 0.5], maxima)))

        return choose

    def _weigh(self, weigher: Weigher) -> Callable[[int], object]:
        return lambda at: weigher.weights(self._pair(at))

    def _pair(self, at: int) -> list[LogProbs]:
        return [self.rows[at % _ROWS], self.rows[(at + 1) % _ROWS]]

    def _figure(self, name: str, work: Callable[[int], object]) -> Figure:
        value = statistics.median(_ms(work) for _ in range(self.rounds))
        return figure(name, value, "ms", f"CPU time, median of {self.rounds} rounds")

    def _in_turn(
        self, ours: Callable[[int], object], theirs: Callable[[int], object]
    ) -> tuple[float, float, float]:
        pairs = [(_ms(ours), _ms(theirs)) for _ in range(self.rounds)]
        return (
            statistics.median(a for a, _ in pairs),
            statistics.median(b for _, b in pairs),
            statistics.median(a / b for a, b in pairs),
        )

    def _loop_ms(
        self,
        streams: int,
        options: SamplingOptions,
        response: ResponseOptions = _NOTHING_SHOWN,
        lag_seconds: float = 0.0,
        messages: list[int] | None = None,
    ) -> float:
        """Milliseconds of one step of all streams; ``messages`` is given how many each needs.

        Readers take ``lag_seconds`` for each of them.
        """

        async def run() -> float:
            loops = [self._stream(number, options, response) for number in range(streams)]
            began = time.thread_time()
            written = await asyncio.gather(*(_written(steps, lag_seconds) for steps in loops))
            took = time.thread_time() - began
            if messages is not None:
                messages.extend(written)
            return took

        return 1e3 * asyncio.run(run()) / _STEPS

    def _stream(
        self, number: int, options: SamplingOptions, response: ResponseOptions
    ) -> AsyncIterator[Step]:
        members: list[Member[int]] = []
        for index, model in enumerate("ab"):
            predictor = _InMemory(self, number + index)
            prompt = MemberPrompt([1, 2, 3], _STEPS)
            members.append(Member(model, predictor, prompt, predictor))  # type: ignore[arg-type]
        alignment = TokenAlignment(self.vocabulary)
        weigher = StaticWeights([0.5, 0.5])
        ensemble: Ensemble[int] = Ensemble(
            alignment, members, Losses(FailurePolicy.FAIL), weigher, plan=["a", "b"]
        )
        ensemble.start()
        params = DecodeParams(
            CombinationRule.LINEAR,
            Sampler(options, _VOCABULARY, number, (1, 2, 3)),
            StoppingOptions(),
            response,
            Limit(_STEPS, FinishReason.MAX_TOKENS),
        )
        return ahead_of_laggards(decode(ensemble, params))


class _InMemory(TokenPredictor):
    """A member whose rows are there; they come in a later turn of the event loop."""

    cached_tokens, busy_seconds, dropped_mass, masked_mass = 0, 0.0, None, 0.0
    worked_seconds = 0.0
    length = forwards = 0
    maxima: Maxima | None = None

    def __init__(self, bench: Bench, at: int) -> None:
        self.vocabulary = bench.vocabulary
        self._bench = bench
        self._rows = bench.rows
        self._at = at

    def start(self, ahead: Sequence[int] = ()) -> Awaitable[LogProbs]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[LogProbs] = loop.create_future()
        self._at = (self._at + 2) % len(self._rows)
        self.maxima = self._bench.maxima[self._at]
        loop.call_soon(future.set_result, self._rows[self._at])
        return future

    def feed(self, symbol: int, ahead: Sequence[int] = ()) -> Awaitable[LogProbs]:
        self.length += 1
        return self.start()

    def close(self) -> None:
        pass


async def _written(steps: AsyncIterator[Step], lag_seconds: float) -> int:
    """Writes the messages of an answer; returns how many deltas there were."""
    count = 0
    async for step in steps:
        if isinstance(step, Delta):
            count += 1
            _serialised(step)
            if lag_seconds:
                await asyncio.sleep(lag_seconds)
    return count


def _serialised(delta: Delta) -> bytes:
    return generate_response(delta).SerializeToString()


def _token(votes: Sequence[Vote] = ()) -> Token:
    return Token(5, b" lighthouse", -0.5, votes=tuple(votes))


def _row(seed: int) -> LogProbs:
    """Log-probs of few likely tokens and a long tail, as those of a language model."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=_VOCABULARY) * 2.0
    likely = np.random.default_rng(seed // 2).integers(0, _VOCABULARY, 200)
    logits[likely] += generator.exponential(3.0, len(likely)) + 8.0
    logits -= np.log(np.exp(logits - logits.max()).sum()) + logits.max()
    return logits.astype(np.float32)


def _maxima(row: LogProbs) -> Maxima:
    """What a worker writes beside a row."""
    maxima = np.empty(count_of_maxima(len(row)), np.float32)
    write_maxima(row, maxima)
    return maxima


def _ms(work: Callable[[int], object]) -> float:
    work(0)
    began = time.thread_time()
    for at in range(_STEPS):
        work(at)
    return 1e3 * (time.thread_time() - began) / _STEPS


if __name__ == "__main__":
    main()
