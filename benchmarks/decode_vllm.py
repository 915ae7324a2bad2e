"""What the vote costs over vLLM's plain generation, side by side on this machine.

    .venv-vllm/bin/python benchmarks/decode_vllm.py CHECKPOINT [--gguf PATH.gguf] [--json]
        [--tokens 96] [--rounds 7]

Every ratio compares two processes that run in turn on the same cores, with greedy decoding from the
same prompt; figures are medians over rounds. ``scripts/checkpoint_from_gguf`` makes a checkpoint of
the GGUF file, which defaults to SmolLM2-135M from the extra ``demo``.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path

from decode import embedded_model
from figures import Figure, figure, report, say, side_by_side
from local import local_service
from processes import Bare, configuration, model_table, server
from streams import PLACES, PROMPT, STREAMS, per_token_seconds, throughput

from quorate.engines.registry import process_environment

CONTEXT = 512
SIZES = {"sessions": PLACES, "context_length": CONTEXT, "cells": PLACES * CONTEXT}


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description="What the vote costs over vLLM alone.")
    parser.add_argument("checkpoint", type=Path, help="a checkpoint's folder")
    parser.add_argument("--gguf", type=Path, default=None, help="the same model for llama.cpp")
    parser.add_argument("--json", action="store_true", help="one JSON line per figure")
    parser.add_argument("--tokens", type=int, default=96, help="tokens per answer")
    parser.add_argument("--rounds", type=int, default=7, help="rounds per comparison")
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))[:2]
    checkpoint = arguments.checkpoint.resolve()
    bench = Bench(checkpoint, arguments.gguf or embedded_model(), arguments.tokens)
    figures = bench.alone(cores, arguments.rounds)
    if len(cores) > 1:
        figures += bench.pair(cores, arguments.rounds)
    report(figures, "json" if arguments.json else "table")


class Bench:
    """The comparisons.

    Args:
        checkpoint: Folder of the model that vLLM runs.
        gguf: The model that llama.cpp runs beside it.
        tokens: Tokens of an answer.
    """

    def __init__(self, checkpoint: Path, gguf: Path, tokens: int) -> None:
        self._checkpoint = checkpoint
        self._gguf = gguf
        self._tokens = tokens

    def alone(self, cores: Sequence[int], rounds: int) -> list[Figure]:
        """One member, voted and plain, against vLLM's own generation."""
        found = []
        say(f"one member, {len(cores)} threads")
        bare = Bare(
            self._checkpoint,
            cores,
            PROMPT,
            STREAMS,
            "bare_vllm.py",
            process_environment("vllm", os.environ),
        )
        bare.run(STREAMS, 8)

        def against(name: str, ours: Callable[[int], float], streams: int, **goal: float) -> None:
            found.append(self._against(bare, name, lambda: ours(streams), streams, rounds, **goal))

        config = configuration(self._large(len(cores)))
        with local_service(tomllib.loads(config), cores) as local:

            def voted(streams: int) -> float:
                return local.throughput(PROMPT, "large", self._tokens, streams)

            against("voted", voted, 1, at_least=0.95)
            against("voted", voted, STREAMS, at_least=0.80)
        with server(config, cores, 1) as served:
            for name, votes in (("voted, gRPC", True), ("plain, gRPC", False)):

                def asked(streams: int, votes: bool = votes) -> float:
                    return throughput(
                        served.address, PROMPT, ["large"], self._tokens, streams, votes=votes
                    )

                against(name, asked, 1)
                against(name, asked, STREAMS)
        bare.close()
        return found

    def pair(self, cores: Sequence[int], rounds: int) -> list[Figure]:
        """The mixed pair on a core each against the slower member alone on one core."""
        say("a pair of both engines, one core each")
        small = model_table("small", self._gguf, 1, "llama_cpp", **SIZES)
        config = configuration(self._large(1), small)
        with server(config, cores, 2) as served:

            def voted(*models: str) -> float:
                return per_token_seconds(served.address, PROMPT, models, self._tokens, votes=True)

            alone = {one: statistics.median(voted(one) for _ in range(3)) for one in _PAIR}
            slower = max(alone, key=lambda one: alone[one])
            ours, theirs, ratio = side_by_side(lambda: voted(*_PAIR), lambda: voted(slower), rounds)
        detail = f"{ours * 1e3:.2f} ms against {theirs * 1e3:.2f} ms per token ({slower})"
        name = "vLLM and llama.cpp, one core each / the slower one alone"
        return [figure(name, ratio, "x", detail, at_most=1.25)]

    def _large(self, cores: int) -> str:
        return model_table("large", self._checkpoint, cores, "vllm", **SIZES)

    def _against(
        self,
        bare: Bare,
        name: str,
        ours: Callable[[], float],
        streams: int,
        rounds: int,
        **goal: float,
    ) -> Figure:
        def theirs() -> float:
            seconds = float(bare.run(streams, self._tokens)["seconds"])
            return streams * (self._tokens - 1) / seconds

        ours()
        mine, floor, ratio = side_by_side(ours, theirs, rounds)
        many = f"{streams} stream{'s' * (streams > 1)}"
        detail = f"{mine:.1f} against {floor:.1f} tokens/s"
        return figure(f"{name}, {many} / vLLM alone, throughput", ratio, "x", detail, **goal)


_PAIR = ("large", "small")


if __name__ == "__main__":
    main()
