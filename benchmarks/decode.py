"""What the vote and the service cost over bare llama.cpp, side by side on this machine.

    .venv/bin/python benchmarks/decode.py [--json] [--model PATH.gguf] [--tokens 96] [--rounds 9]

Every ratio compares two processes that run in turn on the same cores, with greedy decoding from the
same prompt; figures are medians over rounds. The model defaults to SmolLM2-135M from the extra
``demo``.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
from collections.abc import Sequence
from pathlib import Path

from figures import Figure, figure, report, say, side_by_side
from processes import (
    Bare,
    children,
    configuration,
    model_table,
    proportional_bytes,
    resident_bytes,
    server,
)
from streams import PROMPT, first_token_seconds, per_token_seconds, throughput

LONG_PROMPT = " ".join([PROMPT] * 8)
STREAMS = 8
CONTEXT = 1024
SIZES = {"sessions": STREAMS, "context_length": CONTEXT, "cells": STREAMS * CONTEXT}


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description="What the vote costs over bare llama.cpp.")
    parser.add_argument("--json", action="store_true", help="one JSON line per figure")
    parser.add_argument("--model", type=Path, default=None, help="a GGUF file")
    parser.add_argument("--tokens", type=int, default=96, help="tokens per answer")
    parser.add_argument("--rounds", type=int, default=9, help="rounds per comparison")
    arguments = parser.parse_args()
    model = arguments.model or embedded_model()
    cores = sorted(os.sched_getaffinity(0))[:2]
    bench = Bench(model, arguments.tokens, arguments.rounds)
    figures = [
        *bench.single(cores),
        *([] if len(cores) < 2 else bench.single(cores[:1], beside=cores)),
        *([] if len(cores) < 2 else bench.ensemble(cores)),
        *bench.concurrent(cores),
    ]
    report(figures, "json" if arguments.json else "table")


def embedded_model() -> Path:
    """The model of the extra ``demo``."""
    from quorate_registry import Registry

    return Registry().resolve("smollm2-135m-instruct").path


class Bench:
    """The comparisons."""

    def __init__(self, model: Path, tokens: int, rounds: int) -> None:
        self.model = model
        self.tokens = tokens
        self.rounds = rounds

    def single(self, cores: Sequence[int], beside: Sequence[int] = ()) -> list[Figure]:
        """One model through gRPC against the bare loop, in as many threads.

        Args:
            cores: Cores of the model and of the bare loop.
            beside: Cores of everything; where it has more than ``cores``, the coordinator and the
                client have a core that the model leaves free.
        """
        threads = len(cores)
        say(f"one model, {threads} threads")
        bare = Bare(self.model, cores, PROMPT, 1)
        with server(self._config(["a"], len(cores)), beside or cores, 1) as served:
            ours, theirs, ratio = side_by_side(
                lambda: self._per_token(served.address, ["a"]),
                lambda: bare.run(1, self.tokens)["seconds"] / (self.tokens - 1),
                self.rounds,
            )
            found = [
                figure(
                    f"single model, {threads} thread{'s' * (threads > 1)}, gRPC / bare loop",
                    ratio,
                    "x",
                    f"{ours * 1e3:.2f} ms against {theirs * 1e3:.2f} ms per token",
                    at_most=1.05,
                )
            ]
            if not beside:
                found += self._service_figures(served.address, served.pid)
        bare.close()
        return found

    def ensemble(self, cores: Sequence[int]) -> list[Figure]:
        """Two members on one core each against the slower one alone on one core."""
        say("two members, one core each")
        with server(self._config(["a", "b"], 1), cores, 2) as served:
            alone = {
                name: statistics.median(self._per_token(served.address, [name]) for _ in range(3))
                for name in ("a", "b")
            }
            slower = max(alone, key=lambda name: alone[name])
            ours, theirs, ratio = side_by_side(
                lambda: self._per_token(served.address, ["a", "b"]),
                lambda: self._per_token(served.address, [slower]),
                self.rounds,
            )
        return [
            figure(
                "two members, one core each / the slower one alone",
                ratio,
                "x",
                f"{ours * 1e3:.2f} ms against {theirs * 1e3:.2f} ms per token",
                at_most=1.08,
            )
        ]

    def concurrent(self, cores: Sequence[int]) -> list[Figure]:
        """Eight streams against bare batched decoding of eight sequences."""
        say(f"{STREAMS} concurrent streams")
        bare = Bare(self.model, cores, PROMPT, STREAMS)
        with server(self._config(["a"], len(cores)), cores, 1) as served:
            ours, theirs, ratio = side_by_side(
                lambda: self._throughput(served.address),
                lambda: STREAMS * (self.tokens - 1) / bare.run(STREAMS, self.tokens)["seconds"],
                self.rounds,
            )
        bare.close()
        return [
            figure(
                f"{STREAMS} streams, gRPC / bare batched decoding, throughput",
                ratio,
                "x",
                f"{ours:.0f} against {theirs:.0f} tokens/s",
                at_least=0.90,
            )
        ]

    def _service_figures(self, address: str, pid: int) -> list[Figure]:
        """Time to first token and memory of a running service."""
        first = statistics.median(
            asyncio.run(first_token_seconds(address, f"{index} {LONG_PROMPT}", "a"))
            for index in range(5)
        )
        again = statistics.median(
            asyncio.run(first_token_seconds(address, f"4 {LONG_PROMPT}", "a")) for _ in range(5)
        )
        found = [
            figure("time to first token, new prompt", first * 1e3, "ms", "about 260 tokens"),
            figure("time to first token, same prompt", again * 1e3, "ms", "prefix reused"),
            figure(
                "memory of the coordinator",
                resident_bytes(pid) / 2**20,
                "MiB",
                "resident",
                at_most=120,
            ),
        ]
        size = self.model.stat().st_size
        for worker in children(pid):
            over = proportional_bytes(worker) - size
            found.append(
                figure(
                    "memory of a worker over its file",
                    over / 2**20,
                    "MiB",
                    f"file {size / 2**20:.0f} MiB, {STREAMS * CONTEXT} KV cells",
                )
            )
        return found

    def _config(self, names: Sequence[str], cores: int) -> str:
        return configuration(
            *(model_table(name, self.model, cores, "llama_cpp", **SIZES) for name in names)
        )

    def _per_token(self, address: str, models: Sequence[str]) -> float:
        return per_token_seconds(address, PROMPT, models, self.tokens)

    def _throughput(self, address: str) -> float:
        return throughput(address, PROMPT, ["a"], self.tokens, STREAMS)


if __name__ == "__main__":
    main()
