"""What the vote of a large model and a small one costs over one of them alone.

"Alone" is a server that serves nothing else, on the same cores. The service divides the cores as it
does where nobody tells it how.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from continuations import KINDS
from figures import Figure, figure, round_by_round, say
from pace import Pace, drafting, pace, reading_seconds, score_seconds
from processes import configuration, model_table, server
from texts import texts

from quorate.client.arguments import GenerateOptions

CONTEXT = 1024
SIZES = {"sessions": 16, "context_length": CONTEXT, "cells": 4 * CONTEXT}
SCORED_BYTES = 2000
GREEDY: Mapping[str, Any] = {"temperature": 0.0}
AS_IT_IS: Mapping[str, Any] = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}
_SEEDS = 8


class VotingBench:
    """The comparisons, by what ``--only`` calls them.

    Args:
        large: The model that a vote should not cost more than.
        small: One with the same vocabulary.
        other: One with another, for a byte-exact vote with the small one; None leaves that out.
        cores: Cores of every server.
        tokens: Tokens of an answer.
        rounds: Rounds of a comparison; each has another prompt of its kind.
    """

    def __init__(
        self,
        large: Path,
        small: Path,
        other: Path | None,
        cores: Sequence[int],
        tokens: int,
        rounds: int,
    ) -> None:
        self._paths = {"large": large, "small": small}
        if other is not None:
            self._paths["other"] = other
        self._cores = cores
        self._tokens = tokens
        self._rounds = rounds

    def comparisons(self) -> Mapping[str, Callable[[], list[Figure]]]:
        """What can be compared, in the order of the table."""
        found: dict[str, Callable[[], list[Figure]]] = {
            "code": lambda: self._vote("code", "code, greedy", GREEDY, 0.85),
            "prose": lambda: self._vote("prose", "prose, greedy", GREEDY, 1.1),
            "letters": lambda: self._vote("letters", "letters, greedy", GREEDY, 1.1),
            "sampled": lambda: self._vote("prose", "prose at 0.8", {"temperature": 0.8}, 1.2),
            "member_first": lambda: [*self._member_first("code"), *self._member_first("prose")],
            "bytes": self._byte_exact,
            "idle": self._idle,
            "score": self._score,
            "lockstep": self._lock_step,
            "refused": self._refused,
        }
        if "other" not in self._paths:
            del found["bytes"]
        if not drafting("off"):
            del found["refused"]
        if "omit_logprobs" not in GenerateOptions.__annotations__:
            del found["member_first"]
        return found

    def _vote(
        self, kind: str, told: str, sampling: Mapping[str, Any], at_most: float
    ) -> list[Figure]:
        say(f"vote of the pair, {told}")
        with self._serving(["large"], ["large", "small"]) as (alone, both):
            ours, theirs, ratio = round_by_round(
                lambda index: self._time(both, ["large", "small"], kind, index, sampling),
                lambda index: self._time(alone, ["large"], kind, index, sampling),
                self._rounds,
            )
        return [
            _times(f"vote of the pair / the large one alone, {told}", ours, theirs, ratio, at_most)
        ]

    def _member_first(self, kind: str) -> list[Figure]:
        """Tokens drawn from one member each, against the large one alone and against drafts.

        Nothing is truncated and no log-prob is told; for drafts they are, so that the members mix.
        """
        told = f"{kind} at 1, whole"
        say(f"tokens of one member each, {told}")
        pair = ["large", "small"]
        with self._serving(["large"], pair) as (alone, both):
            sides: Sequence[tuple[str, Sequence[str], bool]] = [
                (both, pair, True),
                (alone, ["large"], True),
                (both, pair, False),
            ]
            times: list[list[float]] = [[], [], []]
            for index in range(self._rounds):
                for at in sorted(range(3), key=lambda at: (at + index) % 3):
                    address, models, omit = sides[at]
                    options = {**AS_IT_IS, "omit_logprobs": omit}
                    times[at].append(self._long(address, models, kind, index, options))
        first, large, drafted = times
        return [
            _ratio(f"tokens of one member each / the large one alone, {told}", first, large, 1.2),
            _ratio(f"tokens of one member each / drafts, {told}", first, drafted, 1.0),
        ]

    def _long(
        self,
        address: str,
        models: Sequence[str],
        kind: str,
        index: int,
        options: Mapping[str, Any],
    ) -> float:
        """As ``_time``; where a sampled answer is too short to tell, of the next seed's."""
        for again in range(_SEEDS):
            with suppress(RuntimeError):
                seed = {"seed": index + self._rounds * again}
                return self._time(address, models, kind, index, {**options, **seed})
        raise RuntimeError(f"no answer of {_SEEDS} was long enough; take another model")

    def _byte_exact(self) -> list[Figure]:
        say("byte-exact vote of the small one and the other")
        most = {"max_bytes": 4 * self._tokens, "max_tokens": 4 * self._tokens}
        with self._serving(["small"], ["small", "other"]) as (alone, both):
            ours, theirs, ratio = round_by_round(
                lambda index: (
                    self._pace(
                        both, ["small", "other"], "prose", index, {**GREEDY, **most}
                    ).bytes_per_second
                ),
                lambda index: (
                    self._pace(
                        alone, ["small"], "prose", index, {**GREEDY, **most}
                    ).bytes_per_second
                ),
                self._rounds,
            )
        return [
            figure(
                "byte-exact vote / the small one alone, bytes per second",
                ratio,
                "x",
                f"{ours:.0f} against {theirs:.0f} bytes/s",
                at_least=0.75,
            )
        ]

    def _idle(self) -> list[Figure]:
        say("the large one beside an idle one")
        with self._serving(["large"], ["large", "small"]) as (alone, both):
            ours, theirs, ratio = round_by_round(
                lambda index: self._time(both, ["large"], "prose", index, GREEDY),
                lambda index: self._time(alone, ["large"], "prose", index, GREEDY),
                self._rounds,
            )
        name = "the large one beside a loaded idle one / alone"
        return [_times(name, ours, theirs, ratio, 1.02)]

    def _score(self) -> list[Figure]:
        say(f"score of {SCORED_BYTES} bytes")
        text = scored_text()
        models = ["large", "small"]
        with self._serving(["large", "small"]) as (both,):
            # Another beginning each time, since what was read before is kept.
            ours, theirs, ratio = round_by_round(
                lambda index: score_seconds(both, f"Text {index}.", text, models=models),
                lambda index: reading_seconds(both, f"Page {index}. {text}", models=models),
                self._rounds,
            )
        return [
            figure(
                f"score of {SCORED_BYTES} bytes by the pair / reading them as a prompt",
                ratio,
                "x",
                f"{ours:.2f} s against {theirs:.2f} s",
                at_most=1.3,
            )
        ]

    def _lock_step(self) -> list[Figure]:
        say("the vote in lock-step")
        sampling = {**GREEDY, **drafting("off")}
        with self._serving(["large"], ["small"], ["large", "small"]) as (large, small, both):
            ours, theirs, ratio = round_by_round(
                lambda index: self._time(both, ["large", "small"], "prose", index, sampling),
                lambda index: (
                    self._time(large, ["large"], "prose", index, GREEDY)
                    + self._time(small, ["small"], "prose", index, GREEDY)
                ),
                self._rounds,
            )
        name = "vote without drafts / both alone with all cores, one after the other"
        return [_times(name, ours, theirs, ratio, 1.03)]

    def _refused(self) -> list[Figure]:
        say("drafts that are refused")
        models = ["large", "small"]
        with self._serving(models) as (both,):
            ours, theirs, ratio = round_by_round(
                lambda index: self._time(
                    both, models, "noise", index, {**GREEDY, **drafting("auto")}
                ),
                lambda index: self._time(
                    both, models, "noise", index, {**GREEDY, **drafting("off")}
                ),
                self._rounds,
            )
        name = "vote with drafts / without, prompts that refuse them"
        return [_times(name, ours, theirs, ratio, 1.03)]

    def _time(
        self,
        address: str,
        models: Sequence[str],
        kind: str,
        index: int,
        options: Mapping[str, Any],
    ) -> float:
        return self._pace(address, models, kind, index, options).seconds_per_token

    def _pace(
        self,
        address: str,
        models: Sequence[str],
        kind: str,
        index: int,
        options: Mapping[str, Any],
    ) -> Pace:
        prompts = KINDS[kind]
        named = {"model": models[0]} if len(models) == 1 else {"models": models}
        given = {"max_tokens": self._tokens, "seed": index, **named, **options}
        if len(models) == 1:
            # What says how a vote is done is no option of one model.
            given.pop("drafts", None)
        return pace(address, prompts[index % len(prompts)], **given)

    @contextmanager
    def _serving(self, *groups: Sequence[str]) -> Iterator[tuple[str, ...]]:
        """Servers of these models; yields their addresses."""
        with ExitStack() as stack:
            addresses = []
            for names in groups:
                tables = [
                    model_table(name, self._paths[name].absolute(), 0, "llama_cpp", **SIZES)
                    for name in names
                ]
                served = stack.enter_context(
                    server(configuration(*tables), self._cores, len(names))
                )
                addresses.append(served.address)
            yield tuple(addresses)


def scored_text() -> str:
    """Prose and code of ``SCORED_BYTES`` bytes, in ASCII."""
    kinds = texts("reported")
    whole = "\n\n".join([*kinds["prose and code"], *kinds["stories"]])
    return whole.encode("ascii", "ignore")[:SCORED_BYTES].decode("ascii")


def _times(name: str, ours: float, theirs: float, ratio: float, at_most: float) -> Figure:
    detail = f"{ours * 1e3:.1f} ms against {theirs * 1e3:.1f} ms per token"
    return figure(name, ratio, "x", detail, at_most=at_most)


def _ratio(name: str, ours: Sequence[float], theirs: Sequence[float], at_most: float) -> Figure:
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    return _times(name, statistics.median(ours), statistics.median(theirs), ratio, at_most)
